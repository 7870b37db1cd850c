"""What is claimed of whole traces: dry runs, weights, what upstream said, and why one was kept."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.span import TraceState
from tests.pipeline.lanes import Taker
from tests.pipeline.rig import (
    CHOSEN,
    ERRORS,
    NOTHING,
    attributes_of,
    messages,
    remote,
    rigged,
    run_agent,
)

from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.pipeline import Steps
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings


def test_a_dry_run_sends_everything_with_what_would_have_left_it_out() -> None:
    steps = Steps(SamplingSettings(ratio=0.0, dry_run=True))
    plain, ruled = (
        Taker("plain", steps),
        Taker("ruled", Steps(SamplingSettings(0.0, keep=(ERRORS,), dry_run=True))),
    )
    with rigged(plain, ruled) as rig:
        run_agent(rig, fails=True)
        run_agent(rig, fails=False, children=1)
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
