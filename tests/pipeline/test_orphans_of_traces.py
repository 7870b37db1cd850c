"""Orphans of whole traces: whose parent was left out, runs still, came late, or is another provider's."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from tests.pipeline.lanes import Taker, adds_up, soon
from tests.pipeline.rig import (
    CHOSEN,
    ERRORS,
    NOTHING,
    OTHER,
    Rig,
    attributes_of,
    messages,
    remote,
    rigged,
    run_agent,
)

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.steps.orphans import Orphans, RemoteParent
from ajolo_fanout.steps.pipeline import Steps
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.values import Duration


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
            run_agent(rig, fails=True)
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
