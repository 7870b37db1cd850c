"""Shares and weights through the whole pipeline: the provider's sampler, the router, the bytes that are sent."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import INVALID_SPAN, Status, StatusCode, set_span_in_context
from opentelemetry.trace.span import TraceState
from tests.conftest import LONG
from tests.pipeline.lanes import Taker, adds_up
from tests.pipeline.rig import attributes_of, messages, remote, rigged

from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.pipeline import Steps
from ajolo_fanout.steps.sampling import NEVER, SamplingSettings, upstream_threshold
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.steps.weights import weight_of

COUNT = 100_000 if LONG else 6_000
pytestmark = pytest.mark.scaled
ERRORS = KeepRule("errors", match=Match(status="error"))
HALF_OF_THEM = KeepRule("half", match=Match(status="error"), ratio=0.5)
WHOLE = SelectSettings(orphans="drop")

BACKENDS = {
    "a quarter": Steps(SamplingSettings(0.25)),
    "a tenth": Steps(SamplingSettings(0.1)),
    "a tenth of whole traces": Steps(SamplingSettings(0.1), select=WHOLE),
    "a tenth, whatever the parent": Steps(SamplingSettings(0.1, "ignore")),
    "a tenth and errors": Steps(SamplingSettings(0.1, keep=(ERRORS,))),
    "a tenth and half of the errors": Steps(SamplingSettings(0.1, keep=(HALF_OF_THEM,))),
    "errors alone, whatever the parent": Steps(SamplingSettings(0.0, "ignore", (ERRORS,))),
    "a quarter, for Honeycomb": Steps(SamplingSettings(0.25), weight="sample_rate"),
    "a fifth and errors, for Honeycomb": Steps(SamplingSettings(0.2, keep=(ERRORS,)), weight="sample_rate"),
}


@cache
def played(*, propagate_all: bool) -> dict[str, list[tuple[bytes, bool, float]]]:
    """What each backend got: each trace, whether it has an error, and its weight as the backend reads it.

    A third of the traces begins here. The others come from a service that samples half of all traces, says
    so, and passes the rest on unsampled. A tenth has an error.
    """
    takers = {name: Taker(name, steps) for name, steps in BACKENDS.items()}
    numbers = random.Random(20261128)
    half = TraceState([("ot", "th:8")])
    with rigged(*takers.values(), propagate_all=propagate_all) as rig:
        rig.tracer.id_generator = _Ids(numbers)
        for number in range(COUNT):
            trace_id = numbers.getrandbits(128) | 1 << 100
            sampled = trace_id % NEVER >= NEVER // 2
            where = remote(sampled=sampled, state=half if sampled else None, trace_id=trace_id)
            here = set_span_in_context(INVALID_SPAN)
            with rig.tracer.start_as_current_span("root", here if number % 3 == 0 else where) as span:
                span.set_status(Status(StatusCode.ERROR if number % 10 == 0 else StatusCode.OK))
    for taker in takers.values():
        assert adds_up(taker.counts, COUNT)
    return {name: [_read(one) for one in messages(taker)] for name, taker in takers.items()}


class _Ids(IdGenerator):
    """The same ids every time: three standard deviations are left once in 370 tries."""

    def __init__(self, numbers: random.Random) -> None:
        self._numbers = numbers

    def generate_trace_id(self) -> int:
        return self._numbers.getrandbits(128) | 1 << 100

    def generate_span_id(self) -> int:
        return self._numbers.getrandbits(64) | 1


def _read(message: Any) -> tuple[bytes, bool, float]:
    rate = attributes_of(message).get("SampleRate")
    claimed = upstream_threshold(TraceState.from_header([message.trace_state]))
    fails = message.status.code == StatusCode.ERROR.value
    return message.trace_id, fails, rate or weight_of(claimed or 0)


@pytest.mark.parametrize("propagate_all", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_weights_of_what_arrived_add_up_to_what_there_was(backend: str, propagate_all: bool) -> None:
    """Within three standard deviations of the estimate: of all traces, and of those with an error."""
    got = played(propagate_all=propagate_all)[backend]
    errors = [weight for _, error, weight in got if error]
    for weights, truth in ((errors, COUNT / 10), ([weight for *_, weight in got], COUNT)):
        if weights is not errors and backend.startswith("errors alone"):
            continue  # it gets nothing that stands for the others
        variance = sum(weight * weight - weight for weight in weights)  # of Horvitz and Thompson's estimate
        assert abs(sum(weights) - truth) <= 3 * variance**0.5 + 1e-6


def test_only_what_a_rule_keeps_for_certain_stands_for_itself() -> None:
    got = played(propagate_all=False)
    assert {weight for *_, weight in got["errors alone, whatever the parent"]} == {1.0}
    ruled = got["a tenth and half of the errors"]
    assert {weight for _, error, weight in ruled if error} == {2.0}
    assert {round(weight, 6) for _, error, weight in ruled if not error} == {10.0}


@pytest.mark.parametrize("propagate_all", [False, True])
def test_the_traces_of_a_smaller_share_are_among_those_of_a_larger(propagate_all: bool) -> None:
    """At backends that decide span by span, by whole traces, and with rules: one R, held against all ratios."""
    got = {
        name: {trace for trace, _, _ in spans} for name, spans in played(propagate_all=propagate_all).items()
    }
    assert got["a tenth"] == got["a tenth of whole traces"]
    assert got["a tenth"] < got["a quarter"] == got["a quarter, for Honeycomb"]
    assert got["a tenth"] == got["a tenth, whatever the parent"], "upstream's half holds that tenth"
    assert got["a tenth"] < got["a tenth and half of the errors"] < got["a tenth and errors"]
    assert got["a tenth and errors"] < got["a fifth and errors, for Honeycomb"]
