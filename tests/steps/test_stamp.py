"""What our sampler tells other services of the traces that begin here, and what it records beyond that."""

from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace.span import TraceState

from ajolo_fanout.steps.sampling import ConsistentSampler, upstream_threshold
from ajolo_fanout.steps.weights import weight_of

SAMPLED, ONLY, DROP = Decision.RECORD_AND_SAMPLE, Decision.RECORD_ONLY, Decision.DROP
HIGH, MIDDLE, LOW = (1 << 56) - 1, 1 << 55, 1


def test_a_trace_that_is_sampled_here_says_with_which_threshold() -> None:
    sampler = ConsistentSampler(0.25, recorded=0.75)
    state = sampler.should_sample(None, HIGH, "x").trace_state
    assert state is not None
    assert state.to_header() == "ot=th:c"
    given = TraceState([("vendor", "x"), ("ot", "rv:ffffffffffffff;th:1")])
    assert (sampler.should_sample(None, LOW, "x", trace_state=given).trace_state or given).to_header() == (
        "ot=th:c;rv:ffffffffffffff,vendor=x"
    )


@pytest.mark.parametrize(("everything", "beyond"), [(False, ONLY), (True, SAMPLED)])
def test_what_only_rules_may_want_is_recorded_and_goes_out_as_it_is_told(
    everything: bool, beyond: Decision
) -> None:
    sampler = ConsistentSampler(0.25, recorded=0.5, ignored=0.5, everything_out=everything)
    found = [sampler.should_sample(None, value, "x") for value in (HIGH, MIDDLE, LOW)]
    assert [one.decision for one in found] == [SAMPLED, beyond, DROP]
    state = found[1].trace_state
    assert upstream_threshold(state) == (MIDDLE if everything else None)
    unsampled = SpanContext(MIDDLE, 2, is_remote=True, trace_flags=TraceFlags(0))
    parent = set_span_in_context(NonRecordingSpan(unsampled))
    assert sampler.should_sample(parent, MIDDLE, "x").decision is beyond
    assert sampler.should_sample(parent, LOW, "x").decision is DROP
    assert sampler.never_recorded == 2


def test_the_weights_that_go_out_add_up_to_the_traces_there_were() -> None:
    sampler = ConsistentSampler(0.1)
    numbers = random.Random(20261124)
    total, count = 0.0, 100_000
    for _ in range(count):
        result = sampler.should_sample(None, numbers.getrandbits(128), "x")
        if result.decision is SAMPLED:
            total += weight_of(upstream_threshold(result.trace_state) or 0)
    assert abs(total - count) <= 3 * (count * 0.9 / 0.1) ** 0.5
    assert sampler.never_recorded + total / 10 == pytest.approx(count)
