"""Whole traces through the router: rules, orphans, bounds, late spans, and counts that add up."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from tests.pipeline.lanes import Taker, adds_up, soon
from tests.pipeline.rig import (
    NOTHING,
    attributes_of,
    messages,
    remote,
    rigged,
    run_agent,
)

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.pipeline.context import exclude, keep, only
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.pipeline import Shape, Steps
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.values import Duration


def test_the_finished_trace_is_kept_or_not_as_a_whole() -> None:
    errors, everything = Taker("errors", Steps(NOTHING)), Taker("everything")
    with rigged(errors, everything) as rig:
        run_agent(rig, fails=False)
        run_agent(rig, fails=True)
        rig.drain()
        assert adds_up(errors.counts, 6)
        assert errors.counts.sampled_out == 3
        assert rig.router.encoded == 6, "what was encoded for one was kept for the other"
    assert [one.name for one in messages(errors)] == ["child 0", "child 1", "root"]
    assert [attributes_of(one) for one in messages(errors)] == [{}, {}, {"ajolo_fanout.kept_by": "errors"}]
    assert all(attributes_of(one) == {} for one in messages(everything)), "it is one backend's alone"
    assert errors.got[0] is everything.got[3], "and what adds nothing is shared"


def test_what_only_rules_may_want_goes_out_unsampled() -> None:
    taker = Taker("errors", Steps(NOTHING))
    with rigged(taker) as rig, rig.tracer.start_as_current_span("root") as span:
        assert span.is_recording()
        assert not span.get_span_context().trace_flags.sampled
        assert not span.get_span_context().trace_state
    with rigged(taker, propagate_all=True) as rig, rig.tracer.start_as_current_span("root") as span:
        assert span.get_span_context().trace_flags.sampled
        assert span.get_span_context().trace_state.get("ot") == "th:0"


def test_a_flush_sends_what_is_finished_and_the_rest_is_pending_and_the_end_decides_everything() -> None:
    taker = Taker("errors", Steps(NOTHING))
    with rigged(taker) as rig:
        run_agent(rig, fails=True)
        root = rig.tracer.start_span("open")
        rig.tracer.start_span("child", set_span_in_context(root)).end()
        rig.drain()
        assert len(taker.got) == 3
        assert taker.counts.pending == 1
        bad = rig.tracer.start_span("bad child", set_span_in_context(root))
        bad.set_status(Status(StatusCode.ERROR))
        bad.end()
    assert [one.name for one in messages(taker)[3:]] == ["child", "bad child"]
    assert adds_up(taker.counts, 5)


def test_what_ends_late_follows_the_decision() -> None:
    """Also where a late span alone would have been decided otherwise."""
    taker = Taker("errors", Steps(NOTHING))
    with rigged(taker, bounds=BufferSettings(max_wait=Duration(0.02))) as rig:
        good, bad = rig.tracer.start_span("good"), rig.tracer.start_span("bad")
        rig.tracer.start_span("child", set_span_in_context(good)).end()
        failing = rig.tracer.start_span("failing child", set_span_in_context(bad))
        failing.set_status(Status(StatusCode.ERROR))
        failing.end()
        deadline = soon()
        while rig.router.whole.buffer.forced["max_wait"] < 2:
            assert soon(0) < deadline
            rig.drain()
        good.set_status(Status(StatusCode.ERROR))
        good.end()
        bad.end()
        rig.drain()
        assert adds_up(taker.counts, 4)
    assert [one.name for one in messages(taker)] == ["failing child", "bad"]
    assert attributes_of(messages(taker)[1]) == {"ajolo_fanout.kept_by": "errors"}


@pytest.mark.parametrize(
    ("bounds", "forced"),
    [
        (BufferSettings(max_traces=3), "max_traces"),
        (BufferSettings(max_spans_per_trace=1), "max_spans_per_trace"),
        (BufferSettings(max_bytes=10_000), "max_bytes"),  # type: ignore[arg-type]
    ],
)
def test_what_the_bounds_force_is_counted_and_nothing_is_lost(bounds: BufferSettings, forced: str) -> None:
    taker = Taker("errors", Steps(NOTHING))
    with rigged(taker, bounds=bounds) as rig:
        roots = [rig.tracer.start_span("root") for _ in range(10)]
        for root in roots:
            rig.tracer.start_span("child", set_span_in_context(root), attributes={"text": "x" * 1000}).end()
        rig.drain()
        buffer = rig.router.whole.buffer
        assert buffer.forced[forced] >= 5
        assert sum(buffer.forced.values()) == buffer.forced[forced]
        assert buffer.traces <= 3
        assert taker.counts.pending == buffer.spans
        for root in roots:
            root.end()
        rig.drain()
        assert (buffer.traces, buffer.spans, buffer.size) == (0, 0, 0)
    assert adds_up(taker.counts, 20)


def test_two_calls_in_one_trace_are_two_fragments_each_with_its_root() -> None:
    steps = Steps(NOTHING, select=SelectSettings(orphans="reparent", remote_parent="promote"))
    taker = Taker("langfuse", steps)
    with rigged(taker) as rig:
        one, two = (rig.tracer.start_span(name, remote()) for name in ("one", "two"))
        for root in (one, two):
            child = rig.tracer.start_span("child", set_span_in_context(root))
            child.set_status(Status(StatusCode.ERROR))
            child.end()
        one.end()
        rig.drain()
        assert len(taker.got) == 2
        two.end()
    got = messages(taker)
    roots = [span for span in got if not span.parent_span_id]
    assert [span.name for span in roots] == ["one", "two"]
    assert {attributes_of(span)["ajolo_fanout.parent_id"] for span in roots} == {"b7ad6b7169203331"}
    assert {span.parent_span_id for span in got} - {b""} == {span.span_id for span in roots}
    assert all(span.flags == 0x100 for span in got)


def test_code_keeps_a_trace_and_is_told_whether_that_took_effect() -> None:
    rules, none = Taker("rules", Steps(NOTHING)), Taker("none", Steps(SamplingSettings(ratio=1.0)))
    assert keep("nothing runs") is False
    with rigged(none) as rig, rig.tracer.start_as_current_span("root"):
        assert keep("no rules") is False
    with rigged(rules) as rig:
        with rig.tracer.start_as_current_span("root"), rig.tracer.start_as_current_span("child"):
            assert keep("vip") is True
            assert keep("another reason") is True
        with rig.tracer.start_as_current_span("root") as root:
            context = set_span_in_context(root)
        rig.drain()
        with rig.tracer.start_as_current_span("late", context):
            assert keep("too late") is False
        with exclude("rules"), rig.tracer.start_as_current_span("root"):
            assert keep("not for the one with rules") is False
        with rig.tracer.start_as_current_span("service", remote(sampled=False)):
            assert keep("not recorded") is False
    assert [attributes_of(one) for one in messages(rules)] == [{}, {"ajolo_fanout.kept_by": "vip"}]
    other = TracerProvider(shutdown_on_exit=False).get_tracer("other")
    with rigged(rules), other.start_as_current_span("theirs"):
        assert keep("not ours") is False


def test_code_says_where_a_trace_goes() -> None:
    a, b, whole = Taker("a"), Taker("b"), Taker("whole", Steps(select=SelectSettings(orphans="reparent")))
    with rigged(a, b, whole, follow=False) as rig:
        with only("a", "whole"), rig.tracer.start_as_current_span("tenant") as span:
            context = set_span_in_context(span)
        with exclude("whole"):
            rig.tracer.start_span("no whole").end()
            with only("a", "whole"):
                rig.tracer.start_span("a alone").end()
            with only():
                rig.tracer.start_span("nowhere").end()
        rig.tracer.start_span("everywhere").end()
        rig.tracer.start_span("child of tenant", context).end()
        rig.drain()
        for taker in (a, b, whole):
            assert adds_up(taker.counts, 6)

    def names(taker: Taker) -> list[str]:
        return [one.name for one in messages(taker)]

    assert names(a) == ["tenant", "no whole", "a alone", "everywhere", "child of tenant"]
    assert names(b) == ["no whole", "everywhere"]
    assert names(whole) == ["tenant", "everywhere", "child of tenant"]
    assert whole.counts.filtered == 3


def test_a_name_that_no_backend_has_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    taker = Taker("a")
    with rigged(taker) as rig:
        for _ in range(3):
            with only("a", "tpyo"):
                rig.tracer.start_span("x").end()
        rig.drain()
    assert len(taker.got) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "only() or exclude() names a backend 'tpyo', and there is none of that name"
    ]


def test_a_rule_that_raises_costs_its_backend_that_trace_and_nobody_else_anything() -> None:
    class Raises(Condition):
        """A condition that fails on what a span holds."""

        def holds(self, value: Any) -> bool:
            raise ValueError("SECRET")

    broken = KeepRule("broken", match=Match(name=Raises("x")))
    bad, good = Taker("bad", Steps(SamplingSettings(0.0, keep=(broken,)))), Taker("good", Steps(NOTHING))
    with rigged(bad, good) as rig:
        context = set_span_in_context(rig.tracer.start_span("open"))
        run_agent(rig, fails=True)
        with rig.tracer.start_as_current_span("root") as root:
            pass
        rig.drain()
        rig.tracer.start_span("late", set_span_in_context(root)).end()
        rig.tracer.start_span("unfinished", context).end()
    assert dict(bad.counts.lost) == {"error": 6}
    assert adds_up(bad.counts, 6)
    assert len(good.got) == 3
    assert adds_up(good.counts, 6)


def test_backends_of_one_shape_share_what_was_held_and_shapes_stay_apart() -> None:
    drop = Shape(redaction=RedactionSettings(content="drop"))
    takers = [Taker("now"), Taker("later", Steps(NOTHING)), Taker("no content", Steps(NOTHING, drop))]
    with rigged(*takers) as rig, rig.tracer.start_as_current_span("root") as root:
        root.set_status(Status(StatusCode.ERROR))
        rig.tracer.start_span("chat", attributes={"gen_ai.prompt": "SECRET", "n": 1}).end()
    now, later, without = (messages(taker)[0] for taker in takers)
    assert takers[0].got[0] is takers[1].got[0]
    assert attributes_of(later) == {"gen_ai.prompt": "SECRET", "n": 1} == attributes_of(now)
    assert attributes_of(without)["n"] == 1
    assert "SECRET" not in str(without)


@pytest.mark.parametrize(
    "number", [5_000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_open_traces_stay_under_the_bound_however_many_there_are(number: int) -> None:
    """What is held is bounded by traces and by bytes; what had to go was decided, and counted.

    A hundred thousand of a real program's are measured, and printed, by `benchmarks/open_traces.py`.
    """
    taker = Taker("errors", Steps(NOTHING), does=lambda _: None)
    most, limit = number // 10, number * 320
    bounds = BufferSettings(max_traces=most, max_bytes=limit)  # type: ignore[arg-type]
    with rigged(taker, bounds=bounds, follow=False) as rig:
        tracer, buffer = rig.tracer, rig.router.whole.buffer
        gc.collect()
        tracemalloc.start()
        for n in range(number):
            parent = set_span_in_context(trace.NonRecordingSpan(_open_root(n)))
            tracer.start_span("child", parent, attributes={"n": n, "text": "x" * 500}).end()
            if n % 1_000 == 999:
                rig.drain()
                assert buffer.traces <= most
                assert buffer.size <= limit
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        besides = 1024**2  # what else is new in the process; without a bound it would be five times all that
        assert used <= limit * 1.25 + besides
        assert sum(buffer.forced.values()) >= number - most
    assert adds_up(taker.counts, number)
    assert taker.counts.sampled_out == number


def _open_root(number: int) -> trace.SpanContext:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.SpanContext(number + 1, number + 1, is_remote=False, trace_flags=flags)


def test_what_is_held_when_a_hanging_step_outlives_the_shutdown_is_counted_as_lost() -> None:
    hangs, stuck = threading.Event(), threading.Event()

    def offer(_: object) -> None:
        stuck.set()
        hangs.wait(60)

    taker = Taker("errors", Steps(NOTHING), does=offer)
    with rigged(taker) as rig:
        root = rig.tracer.start_span("open")
        rig.tracer.start_span("held", set_span_in_context(root)).end()
        rig.drain()
        with rig.tracer.start_as_current_span("sent") as span:
            span.set_status(Status(StatusCode.ERROR))
        assert stuck.wait(20)
        assert not rig.router.stop(soon(0.05))
        assert dict(taker.counts.lost) == {"shutdown": 1}
        assert taker.counts.pending == 1
        hangs.set()
    assert adds_up(taker.counts, 2)
    assert len(taker.got) == 1
