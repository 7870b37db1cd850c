"""Whole traces through the router: rules, orphans, bounds, late spans, and counts that add up."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from opentelemetry.trace.span import TraceState
from tests.pipeline.lanes import Taker, adds_up, soon
from tests.pipeline.rig import Rig, attributes_of, messages, remote, rigged

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.pipeline.context import exclude, keep, only
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.orphans import Orphans, RemoteParent
from ajolo_fanout.steps.pipeline import Shape, Steps
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.values import Duration

ERRORS = KeepRule("errors", match=Match(status="error"))
NOTHING = SamplingSettings(ratio=0.0, keep=(ERRORS,))
OTHER = TracerProvider(shutdown_on_exit=False).get_tracer("other")
CHOSEN = SelectSettings(include=(Match(name=Condition("chosen*")),))


def _run(rig: Rig, *, fails: bool, children: int = 2) -> None:
    with rig.tracer.start_as_current_span("root"):
        for n in range(children):
            with rig.tracer.start_as_current_span(f"child {n}") as span:
                if fails and n == 0:
                    span.set_status(Status(StatusCode.ERROR))


def test_the_finished_trace_is_kept_or_not_as_a_whole() -> None:
    errors, everything = Taker("errors", Steps(NOTHING)), Taker("everything")
    with rigged(errors, everything) as rig:
        _run(rig, fails=False)
        _run(rig, fails=True)
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
        _run(rig, fails=True)
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


def test_a_local_parent_of_another_provider_counts_as_left_out_after_max_wait() -> None:
    taker = Taker("one", Steps(select=SelectSettings(orphans="reparent")))
    other = TracerProvider(shutdown_on_exit=False).get_tracer("other")
    with rigged(taker, bounds=BufferSettings(max_wait=Duration(0.05))) as rig:
        with other.start_as_current_span("theirs"), rig.tracer.start_as_current_span("ours"):
            rig.tracer.start_span("child").end()
        deadline = soon()
        while not taker.got:
            assert soon(0) < deadline
            rig.drain()
    child, ours = messages(taker)
    assert ours.parent_span_id == b""
    assert child.parent_span_id == ours.span_id


def test_where_nobody_repairs_orphans_nothing_waits_for_another_providers_parent() -> None:
    """The topmost span of ours stands for the local root: rules need no more than it."""
    taker = Taker("errors", Steps(NOTHING))
    with rigged(taker) as rig:
        with OTHER.start_as_current_span("theirs"):
            _run(rig, fails=True)
        rig.drain()
        assert len(taker.got) == 3
        assert sum(rig.router.whole.buffer.forced.values()) == 0
    assert [attributes_of(one).get("ajolo_fanout.kept_by") for one in messages(taker)] == [
        None,
        None,
        "errors",
    ]


def test_a_parent_that_is_still_running_is_no_orphans_parent() -> None:
    """A long trace is sent in parts, and no part of it is cut off."""
    taker = Taker("one", Steps(select=SelectSettings(include=CHOSEN.include, orphans="reparent")))
    with rigged(taker, bounds=BufferSettings(max_spans_per_trace=1)) as rig:
        root = rig.tracer.start_span("chosen root")
        middle = rig.tracer.start_span("middle", set_span_in_context(root))
        rig.tracer.start_span("chosen child", set_span_in_context(middle)).end()
        rig.drain()
        middle.end()
        root.end()
    child, above = messages(taker)
    assert (child.name, above.name) == ("chosen child", "chosen root")
    assert child.parent_span_id == above.span_id
    assert adds_up(taker.counts, 3)


def test_a_parent_that_still_runs_at_the_shutdown_counts_as_left_out() -> None:
    """It never comes: its child becomes a root, and doesn't hang from nothing."""
    taker = Taker("one", Steps(select=SelectSettings(orphans="reparent")))
    with rigged(taker) as rig:
        root = rig.tracer.start_span("never ends")
        with rig.tracer.start_as_current_span("child", set_span_in_context(root)):
            rig.tracer.start_span("grandchild").end()
        rig.drain()
        assert taker.got == []
    grandchild, child = messages(taker)
    assert child.parent_span_id == b""
    assert attributes_of(child) == {"ajolo_fanout.parent_id": f"{root.get_span_context().span_id:016x}"}
    assert grandchild.parent_span_id == child.span_id


def test_what_was_said_of_a_running_span_stands() -> None:
    """Its child hangs from it already, so it is sent although at its end it is another."""
    taker = Taker("one", Steps(select=SelectSettings(include=CHOSEN.include, orphans="promote")))
    with rigged(taker, bounds=BufferSettings(max_spans_per_trace=1)) as rig:
        for name, later in (("chosen", "not"), ("not", "chosen")):
            root = rig.tracer.start_span(name)
            rig.tracer.start_span("chosen child", set_span_in_context(root)).end()
            rig.drain()
            root.update_name(later)
            root.end()
            rig.drain()
    child, root, promoted = messages(taker)
    assert (root.name, root.span_id) == ("not", child.parent_span_id)
    assert promoted.parent_span_id == b""
    assert adds_up(taker.counts, 4)


def test_a_late_span_whose_parent_is_another_providers_is_an_orphan_too() -> None:
    taker = Taker("one", Steps(select=SelectSettings(orphans="reparent")))
    theirs = set_span_in_context(
        TracerProvider(shutdown_on_exit=False).get_tracer("other").start_span("theirs")
    )
    with rigged(taker, bounds=BufferSettings(max_spans_per_trace=1)) as rig:
        ours = rig.tracer.start_span("ours", theirs)
        rig.tracer.start_span("child", set_span_in_context(ours)).end()
        rig.drain()
        ours.end()
    child, top = messages(taker)
    assert child.parent_span_id == top.span_id
    assert top.parent_span_id == b""


actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "start", "start", "root", "remote", "foreign", "foreign", "end", "end", "end"]
        ),
        st.integers(0, 10**6),
        st.booleans(),
    ),
    min_size=6,
    max_size=40,
)


def _place(what: str, number: int, running: list[Any]) -> Any:
    """The context in which a span starts."""
    if what == "remote":
        return remote(trace_id=number + 1)
    if what == "foreign":
        return set_span_in_context(OTHER.start_span("theirs"))
    inside = what == "start" and running
    return set_span_in_context(running[number % len(running)] if inside else trace.INVALID_SPAN)


def _play(rig: Rig, script: list[tuple[str, int, bool]], *, eager: bool) -> dict[int, Any]:
    """Start and end spans as written; what is left open ends at last. Each span's id and true parent."""
    running: list[Any] = []
    parents: dict[int, Any] = {}

    def end(span: Any, number: int, *, fails: bool) -> None:
        if fails:
            span.set_status(Status(StatusCode.ERROR))
        if number % 3 == 0:  # while it ran it looked otherwise
            span.update_name("not" if span.name == "chosen" else "chosen")
        span.end()
        if eager:
            rig.drain()

    for what, number, flag in script:
        if what == "end":
            if running:
                end(running.pop(number % len(running)), number, fails=flag)
            continue
        span = rig.tracer.start_span("chosen" if flag else "not", _place(what, number, running))
        if span.is_recording():
            running.append(span)
            parents[span.get_span_context().span_id] = getattr(span, "parent", None)
    while running:
        running.pop(0).end()
    return parents


@settings(deadline=None, max_examples=300)
@given(
    actions,
    st.sampled_from(get_args(Orphans)),
    st.sampled_from(get_args(RemoteParent)),
    st.sampled_from(
        [SamplingSettings(), SamplingSettings(0.5), NOTHING, SamplingSettings(0.3, keep=(ERRORS,))]
    ),
    st.integers(1, 6),
    st.booleans(),
)
def test_whatever_is_left_out_nothing_hangs_from_it_and_every_span_has_one_fate(
    script: list[tuple[str, int, bool]],
    orphans: Orphans,
    remote_parent: RemoteParent,
    sampling: SamplingSettings,
    most: int,
    eager: bool,
) -> None:
    """Traces that are decided early, spans that end late, parents elsewhere: all at once."""
    select = SelectSettings(CHOSEN.include, (), orphans, remote_parent)
    taker = Taker("one", Steps(sampling, select=select))
    with rigged(taker, bounds=BufferSettings(max_spans_per_trace=most)) as rig:
        parents = _play(rig, script, eager=eager)
    assert adds_up(taker.counts, len(parents))
    got = {int.from_bytes(one.span_id, "big"): one for one in messages(taker)}
    assert len(got) == len(taker.got), "none twice"
    for span_id, one in got.items():
        parent, true = int.from_bytes(one.parent_span_id, "big"), parents[span_id]
        if parent and one.flags == 0x300:
            assert remote_parent == "keep"
        elif parent and orphans != "keep":
            assert parent in got, f"its parent was left out, under {orphans}"
        if true is not None and not true.is_remote and true.span_id in got:
            assert parent == true.span_id, "whose parent is sent stays its child"
        if orphans == "reparent" and not parent:
            while true is not None and not true.is_remote:
                assert true.span_id not in got, "a tree was cut"
                true = parents.get(true.span_id)


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


def test_a_dry_run_sends_everything_with_what_would_have_left_it_out() -> None:
    steps = Steps(SamplingSettings(ratio=0.0, dry_run=True))
    plain, ruled = (
        Taker("plain", steps),
        Taker("ruled", Steps(SamplingSettings(0.0, keep=(ERRORS,), dry_run=True))),
    )
    with rigged(plain, ruled) as rig:
        _run(rig, fails=True)
        _run(rig, fails=False, children=1)
        rig.tracer.start_span("service", remote(sampled=False)).end()
    mark = "ajolo_fanout.would_drop"
    assert [attributes_of(one).get(mark) for one in messages(plain)] == ["sampling.ratio"] * 6
    assert [attributes_of(one).get(mark) for one in messages(ruled)] == [None] * 3 + [
        "sampling.ratio"
    ] * 2 + ["sampling.parent"]
    assert all(one.trace_state == "" for one in messages(plain))


HALF = TraceState([("ot", "th:8")])


def test_weights_in_both_forms_for_both_kinds_of_lanes() -> None:
    """SampleRate and th; own traces, upstream's share, an unknown one."""

    def takers(sampling: SamplingSettings) -> list[Taker]:
        return [
            Taker(f"{form} {orphans}", Steps(sampling, select=SelectSettings(orphans=orphans), weight=form))  # type: ignore[arg-type]
            for form in ("tracestate", "sample_rate")
            for orphans in ("keep", "promote")
        ]

    def got(found: list[Taker]) -> list[tuple[str, Any]]:
        [[one] for one in map(messages, found)]
        spans = [messages(taker)[0] for taker in found]
        return [(one.trace_state, attributes_of(one).get("SampleRate")) for one in spans]

    high = 0xFFFFFFFFFFFFFFFF
    for sampling, context, plain, rate in [
        (SamplingSettings(1.0), None, "ot=th:0", 1),
        (SamplingSettings(0.25), remote(state=HALF, trace_id=high), "ot=th:c", 4),
        (SamplingSettings(1.0), remote(state=HALF, trace_id=high), "ot=th:8", 2),
        (SamplingSettings(0.25), remote(trace_id=high), "", None),
    ]:
        found = takers(sampling)
        with rigged(*found) as rig:
            rig.tracer.start_span("root", context).end()
        seen = got(found)
        assert [state for state, _ in seen[:2]] == [plain] * 2
        assert [value for _, value in seen] == [None, None, rate, rate]


def test_what_upstream_did_not_sample_is_respected_or_ignored_even_when_the_flag_says_otherwise() -> None:
    """With `propagate = "all"` the flag is set on all that is recorded."""
    respects, ignores = Taker("respects"), Taker("ignores", Steps(SamplingSettings(parent="ignore")))
    whole = Taker("whole", Steps(SamplingSettings(0.5, keep=(KeepRule("all"),))))
    for everything in (False, True):
        with rigged(respects, ignores, whole, propagate_all=everything) as rig:
            with rig.tracer.start_as_current_span("service", remote(sampled=False)) as span:
                assert span.get_span_context().trace_flags.sampled is everything
                rig.tracer.start_span("child").end()
            rig.drain()
    assert (respects.got, whole.got) == ([], [])
    assert (respects.counts.sampled_out, whole.counts.sampled_out) == (4, 4)
    assert len(ignores.got) == 4


def test_a_rule_that_raises_costs_its_backend_that_trace_and_nobody_else_anything() -> None:
    class Raises(Condition):
        """A condition that fails on what a span holds."""

        def holds(self, value: Any) -> bool:
            raise ValueError("SECRET")

    broken = KeepRule("broken", match=Match(name=Raises("x")))
    bad, good = Taker("bad", Steps(SamplingSettings(0.0, keep=(broken,)))), Taker("good", Steps(NOTHING))
    with rigged(bad, good) as rig:
        context = set_span_in_context(rig.tracer.start_span("open"))
        _run(rig, fails=True)
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_with_an_empty_buffer() -> None:
    taker = Taker("errors", Steps(NOTHING))
    with rigged(taker) as rig:
        root = rig.tracer.start_span("root")
        child = rig.tracer.start_span("child", set_span_in_context(root))
        child.set_status(Status(StatusCode.ERROR))
        child.end()
        rig.drain()
        pid = os.fork()
        if pid == 0:
            os._exit(_in_child(taker, rig))
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        root.end()
    assert [one.name for one in messages(taker)] == ["child", "root"]


def _in_child(taker: Taker, rig: Rig) -> int:
    rig.router.after_fork()
    taker.ledger.reset()
    if rig.router.whole.buffer.spans:
        return 1
    _run(rig, fails=True)
    if not rig.router.stop(soon()):
        return 2
    return 0 if len(taker.got) == 3 and adds_up(taker.counts, 3) else 3


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


def test_the_reason_stands_on_what_has_become_the_local_root() -> None:
    """The server's span was left out: what hung from it hangs from the gateway now."""
    select = SelectSettings(include=CHOSEN.include, orphans="reparent")
    taker = Taker("one", Steps(NOTHING, select=select))
    with rigged(taker) as rig:
        with rig.tracer.start_as_current_span("server", remote()):
            for name in ("chosen one", "chosen two"):
                with rig.tracer.start_as_current_span(name) as span:
                    span.set_status(Status(StatusCode.ERROR))
                    rig.tracer.start_span("chosen child").end()
        rig.drain()
    reasons = {one.name: attributes_of(one).get("ajolo_fanout.kept_by") for one in messages(taker)}
    assert reasons == {"chosen one": "errors", "chosen two": "errors", "chosen child": None}


def _header(th: str | None, rv: int | None) -> TraceState | None:
    members = ([] if rv is None else [f"rv:{rv:014x}"]) + ([] if th is None else [f"th:{th}"])
    return TraceState([("ot", ";".join(members))]) if members else None


upstreams = st.builds(
    lambda trace_id, flag, state: (
        None if flag is None else remote(sampled=flag, state=state, trace_id=trace_id)
    ),
    st.integers(1, 2**128 - 1),
    st.one_of(st.none(), st.booleans()),
    st.builds(
        _header,
        st.one_of(st.none(), st.sampled_from(("0", "4", "8", "c", "f"))),
        st.one_of(st.none(), st.integers(0, 2**56 - 1)),
    ),
)
samplings = st.builds(
    SamplingSettings,
    st.sampled_from((0.0, 0.1, 0.25, 0.5, 0.9, 1.0)),
    st.sampled_from(("respect", "ignore")),
    dry_run=st.booleans(),
)


@settings(max_examples=300)
@given(upstreams, samplings, st.sampled_from(("tracestate", "sample_rate")), st.booleans())
def test_a_backend_that_needs_whole_traces_gets_the_same_ones_with_the_same_weight(
    upstream: Any, sampling: SamplingSettings, form: Any, propagate_all: bool
) -> None:
    """Whatever came from upstream: no parent, an unsampled one, a `th`, and one that contradicts itself."""
    unsampled = upstream is not None and not trace.get_current_span(upstream).get_span_context().trace_flags
    assume(not (sampling.dry_run and unsampled))  # what that stands for is no question
    single = Taker("single", Steps(sampling, weight=form))
    whole = Taker("whole", Steps(sampling, select=SelectSettings(orphans="drop"), weight=form))
    everything = Taker("everything", Steps(SamplingSettings(1.0, "ignore")))
    with rigged(single, whole, everything, propagate_all=propagate_all) as rig:
        rig.tracer.start_span("root", upstream).end()
    assert len(everything.got) == 1
    assert whole.ids == single.ids
    assert list(map(_claims, messages(whole))) == list(map(_claims, messages(single)))


def _claims(message: Any) -> object:
    return message.trace_state, attributes_of(message)
