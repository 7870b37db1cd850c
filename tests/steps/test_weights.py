"""Weights: what a span says of how many it stands for, in both forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState

from ajolo_fanout.steps.additions import Addition
from ajolo_fanout.steps.sampling import NEVER, th_of, threshold, upstream_threshold
from ajolo_fanout.steps.weights import (
    OWN,
    Upstream,
    WeightForm,
    claimed,
    is_one_in_n,
    upstream_of,
    weigh,
    weight_of,
)

OTHERS = TraceState([("vendor", "x"), ("ot", "rv:6e6d1a75832a2f;th:8"), ("another", "y")])


@pytest.mark.parametrize(("ratio", "th"), [(1, "0"), (0.5, "8"), (0.25, "c"), (1 / 16, "f"), (0.75, "4")])
def test_thresholds_are_written_as_the_specification_does(ratio: float, th: str) -> None:
    assert th_of(threshold(ratio)) == th


@given(st.floats(1e-9, 1))
def test_what_is_written_reads_back_as_the_same_threshold(ratio: float) -> None:
    wanted = threshold(ratio)
    assert upstream_threshold(TraceState([("ot", f"th:{th_of(wanted)}")])) == wanted
    assert weight_of(wanted) == pytest.approx(1 / ratio, rel=1e-6)


def test_where_the_weight_is_one_nothing_is_appended_but_honeycombs_rate() -> None:
    assert weigh("tracestate", None, 0) is None
    assert weigh("tracestate", TraceState([("vendor", "x")]), 0) is None
    assert weigh("sample_rate", None, 0) == Addition(attributes={"SampleRate": 1})


def test_a_right_claim_stays_as_it_is() -> None:
    assert weigh("tracestate", OTHERS, threshold(0.5)) is None
    assert weigh("tracestate", TraceState([("ot", "th:0")]), 0) is None


def test_the_trace_state_keeps_everything_else() -> None:
    made = weigh("tracestate", OTHERS, threshold(0.25))
    assert made == Addition(trace_state="ot=th:c;rv:6e6d1a75832a2f,vendor=x,another=y")
    assert weigh("tracestate", None, threshold(0.5)) == Addition(trace_state="ot=th:8")
    back = weigh("tracestate", OTHERS, 0)
    assert back == Addition(trace_state="ot=th:0;rv:6e6d1a75832a2f,vendor=x,another=y")


@pytest.mark.parametrize("form", ["tracestate", "sample_rate"])
@pytest.mark.parametrize("wanted", [None, NEVER])
def test_an_unknown_weight_is_not_claimed_and_a_claim_that_stands_there_goes(
    form: WeightForm, wanted: int | None
) -> None:
    assert weigh(form, None, wanted) is None
    assert weigh(form, TraceState([("vendor", "x")]), wanted) is None
    assert weigh(form, OTHERS, wanted) == Addition(trace_state="ot=rv:6e6d1a75832a2f,vendor=x,another=y")
    assert weigh(form, TraceState([("ot", "th:8")]), wanted) == Addition(trace_state="")


@pytest.mark.parametrize(("ratio", "rate"), [(0.1, 10), (1 / 3, 3), (0.4, 2), (0.7, 1), (0.0001, 10_000)])
def test_honeycomb_gets_whole_numbers(ratio: float, rate: int) -> None:
    assert weigh("sample_rate", OTHERS, threshold(ratio)) == Addition(attributes={"SampleRate": rate})


@pytest.mark.parametrize(
    ("ratio", "whole"),
    [(1, True), (0.5, True), (0.333, True), (0.1, True), (0.4, False), (0.7, False), (0, False)],
)
def test_one_in_n(ratio: float, whole: bool) -> None:
    assert is_one_in_n(ratio) is whole


def _parent(flags: int, state: TraceState | None = None) -> SpanContext:
    return SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state)


def test_what_a_parent_says() -> None:
    assert upstream_of(None) is OWN
    assert upstream_of(_parent(0, OTHERS)) == Upstream(sampled=False, threshold=None)
    assert upstream_of(_parent(1)) == Upstream(sampled=True, threshold=None)
    assert upstream_of(_parent(1, OTHERS)) == Upstream(sampled=True, threshold=threshold(0.5))


def test_what_a_span_may_claim_by_itself() -> None:
    """The larger threshold; nothing where upstream is unknown; the ratio alone where upstream is ignored."""
    tenth, half = threshold(0.1), threshold(0.5)
    assert claimed(OTHERS, 1, own=False, share=0.1) == tenth
    assert claimed(OTHERS, 1, own=False, share=1.0) == half
    assert claimed(None, 1, own=False, share=0.1) is None
    assert claimed(OTHERS, 1, own=True, share=1.0) == 0
    assert claimed(None, 0, own=False, share=0.1) == tenth
