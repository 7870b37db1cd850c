"""4,000 agent traces through tracing.toml beside this file: what each backend gets, and what that stands for.

    python examples/sampling/shares.py

The backends are fakes on this machine. The ids are the same every time, and so are the figures.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Status, StatusCode

from ajolo_fanout.testing import Harness, fanout

TRACES = 4_000
FILE = Path(__file__).with_name("tracing.toml")


class SameIds(IdGenerator):
    """Drawn at random, and the same every time."""

    def __init__(self) -> None:
        self._random = Random(2)

    def generate_trace_id(self) -> int:
        """128 bits."""
        return self._random.getrandbits(128) | 1

    def generate_span_id(self) -> int:
        """64 bits."""
        return self._random.getrandbits(64) | 1


def trace_agents(harness: Harness) -> Counter[str]:
    """One trace in twenty has an error, one in forty costs a dollar; how many there were of each."""
    there = Counter[str]()
    tracer = harness.provider.get_tracer("weather-agent")
    if isinstance(tracer, Tracer):
        tracer.id_generator = SameIds()
    for number in range(TRACES):
        fails, dear = number % 20 == 7, number % 40 == 3
        with tracer.start_as_current_span("agent") as agent, tracer.start_as_current_span("chat") as call:
            call.set_attribute("gen_ai.cost_usd", 1.0 if dear else 0.001)
            if fails:
                call.set_status(Status(StatusCode.ERROR))
        there["all"] += 1
        there["errors"] += fails
        there["expensive"] += dear
        if number % 250 == 0:
            harness.flush()  # as nobody who serves requests traces faster than a queue takes
        there["flag"] += agent.get_span_context().trace_flags.sampled
    return there


def weight_of(span: Any) -> float:
    """How many traces a span's own stands for, as its backend reads it."""
    if "SampleRate" in span.attributes:
        return float(span.attributes["SampleRate"])
    if "ot=th:" not in span.trace_state:
        return 1.0
    digits = span.trace_state.partition("th:")[2].partition(";")[0].partition(",")[0]
    return float(2**56 / (2**56 - int(digits.ljust(14, "0"), 16)))


def main() -> None:
    """Trace, flush, count, print."""
    with fanout(FILE, environ={}) as harness:
        there = trace_agents(harness)
        if not harness.flush():
            raise SystemExit(f"spans were lost, the figures mean nothing: {harness.health()}")
        spans = {name: harness.spans(name) for name in harness.backends}
    print(f"{there['all']} traces: {there['errors']} with an error, {there['expensive']} expensive")
    print(f"{'':12}{'arrived':>8}{'by a rule':>11}{'stand for':>11}{'errors':>8}{'expensive':>11}")
    by_ratio: dict[str, set[str]] = {}
    for name, got in spans.items():
        roots = [span for span in got if not span.parent_id]
        calls = [span for span in got if span.name == "chat"]
        kept = {span.trace_id for span in roots if "ajolo_fanout.kept_by" in span.attributes}
        by_ratio[name] = {span.trace_id for span in roots} - kept
        errors = sum(weight_of(span) for span in calls if span.status.code == "error")
        dear = sum(weight_of(span) for span in calls if span.attributes["gen_ai.cost_usd"] == 1.0)
        stands = sum(map(weight_of, roots))
        print(f"{name:12}{len(roots):8}{len(kept):11}{stands:11.0f}{errors:8.0f}{dear:11.0f}")
    nested = by_ratio["honeycomb"] <= {span.trace_id for span in spans["datadog"]}
    nested = nested and by_ratio["datadog"] <= by_ratio["tempo"]
    print(f"the smaller shares are among the larger ones: {'yes' if nested else 'no'}")
    print(f"traces whose flag tells other services to record them: {there['flag']}")


if __name__ == "__main__":
    main()
