"""Sampling: absolute, nested shares of all traces, decided alike at every backend and at the provider."""

from __future__ import annotations

import math
import os
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context
from tests.forked import exit_code_of
from tests.steps.spans import RESOURCE, Collect

from ajolo_fanout.steps.counter import Counter
from ajolo_fanout.steps.sampling import (
    NEVER,
    ConsistentSampler,
    SamplingSettings,
    randomness,
    sampled,
    threshold,
    upstream_threshold,
)

trace_ids = st.integers(1, 2**128 - 1)
ratios = st.floats(0, 1)


def _context(trace_id: int, flags: int, state: str, *, remote: bool) -> SpanContext:
    trace_state = TraceState([("ot", state)]) if state else TraceState()
    return SpanContext(trace_id, 1, is_remote=remote, trace_flags=TraceFlags(flags), trace_state=trace_state)


def _span(trace_id: int, *, state: str = "", flags: int = TraceFlags.SAMPLED) -> ReadableSpan:
    return ReadableSpan("s", _context(trace_id, flags, state, remote=False), resource=RESOURCE)


@given(st.lists(trace_ids, max_size=50), ratios, ratios)
def test_the_traces_of_a_smaller_ratio_are_among_those_of_a_larger(
    ids: list[int], one: float, two: float
) -> None:
    small, large = SamplingSettings(ratio=min(one, two)), SamplingSettings(ratio=max(one, two))
    kept_small = {trace_id for trace_id in ids if sampled(_span(trace_id), small)}
    kept_large = {trace_id for trace_id in ids if sampled(_span(trace_id), large)}
    assert kept_small <= kept_large


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.1, 0.25, 1 / 3, 0.5, 0.9])
def test_a_ratio_keeps_its_share_within_three_sigma(ratio: float) -> None:
    generator = random.Random(20261124)
    count = 100_000
    settings = SamplingSettings(ratio=ratio)
    kept = sum(sampled(_span(generator.getrandbits(128) | 1), settings) for _ in range(count))
    assert abs(kept - count * ratio) <= 3 * math.sqrt(count * ratio * (1 - ratio))


@given(trace_ids)
def test_one_is_everything_and_zero_nothing(trace_id: int) -> None:
    assert sampled(_span(trace_id), SamplingSettings(ratio=1.0))
    assert not sampled(_span(trace_id), SamplingSettings(ratio=0.0))


@given(ratios)
def test_the_threshold_is_that_of_the_specification(ratio: float) -> None:
    assert 0 <= threshold(ratio) <= NEVER
    assert threshold(ratio) == pytest.approx((1 - ratio) * 2**56, abs=2**4)


def test_thresholds_of_the_specifications_examples() -> None:
    assert threshold(1) == 0
    assert threshold(0.5) == 0x80000000000000
    assert threshold(0.25) == 0xC0000000000000
    assert threshold(1e-300) < NEVER, "a share above zero is never nothing"


def test_randomness_is_rv_or_the_low_56_bits() -> None:
    assert randomness(0xFFFF_00AABBCCDDEEFF11, None) == 0xAABBCCDDEEFF11
    assert randomness(5, TraceState([("ot", "th:c;rv:1234567890abcd")])) == 0x1234567890ABCD
    assert randomness(5, TraceState([("ot", "rv:1234567890abcd")])) == 0x1234567890ABCD
    assert randomness(5, TraceState([("ot", "rv:xyz")])) == 5
    assert randomness(5, TraceState([("other", "rv:1234567890abcd")])) == 5


def test_the_upstream_threshold_is_th_with_its_zeros_put_back() -> None:
    assert upstream_threshold(TraceState([("ot", "th:c")])) == 0xC0000000000000
    assert upstream_threshold(TraceState([("ot", "rv:1234567890abcd;th:8")])) == 0x80000000000000
    assert upstream_threshold(TraceState([("ot", "th:0")])) == 0
    assert upstream_threshold(TraceState([("ot", "xth:8")])) is None
    assert upstream_threshold(None) is None


@given(trace_ids, st.integers(0, NEVER - 1), ratios)
def test_rv_decides_instead_of_the_trace_id(trace_id: int, rv: int, ratio: float) -> None:
    kept = sampled(_span(trace_id, state=f"rv:{rv:014x}"), SamplingSettings(ratio=ratio))
    assert kept is (ratio >= 1 or rv >= threshold(ratio))


def test_a_parent_sampled_with_th_makes_the_threshold_the_larger_of_the_two() -> None:
    span = _span(0, state="th:c;rv:a0000000000000")  # inconsistent: R is below what the parent claims
    assert not sampled(span, SamplingSettings(ratio=0.9))
    span = _span(0, state="th:8;rv:a0000000000000")
    assert sampled(span, SamplingSettings(ratio=0.9))
    assert not sampled(span, SamplingSettings(ratio=0.25))


def test_a_parent_that_was_not_sampled_is_respected_or_ignored_as_written() -> None:
    span = _span(2**56 - 1, flags=0)
    assert not sampled(span, SamplingSettings(ratio=1.0))
    assert sampled(span, SamplingSettings(ratio=1.0, parent="ignore"))
    assert sampled(span, SamplingSettings(ratio=0.1, parent="ignore"))
    assert not sampled(_span(1, flags=0), SamplingSettings(ratio=0.1, parent="ignore"))


def test_a_span_without_a_context_is_no_trouble() -> None:
    assert sampled(ReadableSpan("s"), SamplingSettings())
    assert not sampled(ReadableSpan("s"), SamplingSettings(ratio=0))


# The provider's.


def _remote(flags: int, state: str = "", trace_id: int = 77) -> Any:
    return set_span_in_context(NonRecordingSpan(_context(trace_id, flags, state, remote=True)))


def test_the_provider_records_every_root_that_any_backend_wants() -> None:
    sampler = ConsistentSampler(0.3)
    generator = random.Random(7)
    out = 0
    for _ in range(2000):
        trace_id = generator.getrandbits(128) | 1
        decision = sampler.should_sample(None, trace_id, "s").decision
        wanted = sampled(_span(trace_id), SamplingSettings(ratio=0.3))
        assert decision is (Decision.RECORD_AND_SAMPLE if wanted else Decision.DROP)
        out += not wanted
    assert sampler.never_recorded == out
    assert sampler.never_recorded == out, "reading doesn't count"


def test_a_parents_flag_is_respected() -> None:
    sampler = ConsistentSampler(0.0)
    assert sampler.should_sample(_remote(1), 77, "s").decision is Decision.RECORD_AND_SAMPLE
    assert sampler.never_recorded == 0
    assert ConsistentSampler(1.0).should_sample(_remote(0), 77, "s").decision is Decision.DROP


def test_a_backend_that_ignores_parents_gets_unsampled_traces_recorded_only() -> None:
    sampler = ConsistentSampler(1.0, ignored=0.5)
    assert sampler.should_sample(_remote(0), 2**56 - 1, "s").decision is Decision.RECORD_ONLY
    assert sampler.should_sample(_remote(0), 1, "s").decision is Decision.DROP
    assert sampler.never_recorded == 1


def test_what_is_recorded_only_is_whole_and_its_flag_stays_unsampled() -> None:
    collect = Collect()
    provider = TracerProvider(sampler=ConsistentSampler(1.0, ignored=1.0), shutdown_on_exit=False)
    provider.add_span_processor(collect)
    tracer = provider.get_tracer("t")
    root = tracer.start_span("root", context=_remote(0))
    child = tracer.start_span("child", context=set_span_in_context(root))
    root.end()
    late = tracer.start_span("late", context=set_span_in_context(root))
    child.end()
    late.end()
    assert [span.name for span in collect.spans] == ["root", "child", "late"]
    assert not any(span.context.trace_flags.sampled for span in collect.spans)


def test_children_of_what_is_not_recorded_are_not_and_count_with_their_root() -> None:
    collect = Collect()
    sampler = ConsistentSampler(0.0)
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(collect)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
        pass
    assert collect.spans == []
    assert sampler.never_recorded == 1


def test_the_trace_state_is_passed_on() -> None:
    result = ConsistentSampler(1.0).should_sample(_remote(1, "th:8"), 77, "s", attributes={"a": 1})
    assert result.trace_state is not None
    assert result.trace_state["ot"] == "th:8"
    assert dict(result.attributes) == {"a": 1}
    assert "0.25" in ConsistentSampler(0.25).get_description()
    assert ConsistentSampler(0.25).ratio == 0.25


def test_a_counter_loses_none_from_many_threads() -> None:
    counter = Counter()

    def count() -> None:
        for _ in range(5000):
            counter.add()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert 0 <= counter.value <= 40_000
    for thread in threads:
        thread.join()
    assert counter.value == 40_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_counts_from_zero() -> None:
    counter = Counter()
    counter.add()
    assert exit_code_of(lambda: counter.value) == 0
    assert counter.value == 1
