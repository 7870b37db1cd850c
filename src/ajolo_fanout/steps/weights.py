"""Weights: how many traces a kept one stands for, in the form that the backend reads.

The weight is 1 / the probability that this trace had at this backend, whatever came before included. It is
carried as a threshold T (see `sampling`): the probability is (2**56 - T) / 2**56. Where nobody can know it
(sampled upstream without a `th`; kept by a rate limit) none is claimed, and one that the trace state claims
already is taken off.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import attrs
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState

from ajolo_fanout.steps.additions import SAMPLE_RATE, Addition
from ajolo_fanout.steps.sampling import NEVER, th_of, threshold, upstream_threshold

__all__ = [
    "OWN",
    "Upstream",
    "WeightForm",
    "claimed",
    "is_one_in_n",
    "th_of",
    "upstream_of",
    "weigh",
    "weight_of",
]

WeightForm = Literal["tracestate", "sample_rate"]
"""`ot=th:` in the trace state, as OpenTelemetry has it; or the attribute `SampleRate`, for Honeycomb."""


@attrs.frozen
class Upstream:
    """What was decided about a trace before it came to this process.

    Attributes:
        sampled: Whether it was sampled there.
        threshold: With which threshold; None where nobody said.
    """

    sampled: bool = True
    threshold: int | None = 0


OWN = Upstream()
"""A trace that began here: nothing was decided before."""


def upstream_of(parent: SpanContext | None) -> Upstream:
    """What the parent of a local root says; `OWN` where there is none."""
    if parent is None:
        return OWN
    if not parent.trace_flags & TraceFlags.SAMPLED:
        return Upstream(sampled=False, threshold=None)
    return Upstream(sampled=True, threshold=upstream_threshold(parent.trace_state))


def weight_of(wanted: int) -> float:
    """How many traces one stands for that was kept with the threshold `wanted`.

    Raises:
        ZeroDivisionError: with the threshold that nothing reaches.
    """
    return NEVER / (NEVER - wanted)


def is_one_in_n(ratio: float) -> bool:
    """Whether `ratio` is 1/n of a whole number n, as far as anybody writes one: 0.333 is 1/3."""
    return ratio > 0 and abs(1 / ratio - round(1 / ratio)) <= 0.005 * (1 / ratio)


def weigh(form: WeightForm, trace_state: TraceState | None, wanted: int | None) -> Addition | None:
    """What a span carries so that its backend knows what it stands for; None where nothing is to be said.

    Args:
        form: How the backend reads it.
        trace_state: The span's own.
        wanted: The threshold with which the trace came to the backend; None where that is unknown.
    """
    if wanted is not None and wanted >= NEVER:
        wanted = None
    if form == "sample_rate" and wanted is not None:
        return _sample_rate(wanted)
    if form == "sample_rate" and upstream_threshold(trace_state) is None:
        return None
    state = _stamped(trace_state, wanted)
    return None if state is None else Addition(trace_state=state)


@lru_cache(maxsize=1024)
def _sample_rate(wanted: int) -> Addition:
    return Addition(attributes={SAMPLE_RATE: max(1, round(weight_of(wanted)))})


def _stamped(trace_state: TraceState | None, wanted: int | None) -> str | None:
    """The trace state with the right `th`, as in its header; None where it is right already."""
    if not trace_state:
        return f"ot=th:{th_of(wanted)}" if wanted else None  # where the weight is 1, nothing is appended
    own = trace_state.get("ot", "") or ""
    members = [member for member in own.split(";") if member]
    before = upstream_threshold(trace_state)
    if before == wanted or (before is None and not wanted):
        return None
    others = [member for member in members if not member.startswith("th:")]
    ot = ";".join(others if wanted is None else [f"th:{th_of(wanted)}", *others])
    # What changed a member moves it to the front (W3C trace context, 3.3.1.3); an empty one goes.
    rest = [f"{key}={value}" for key, value in trace_state.items() if key != "ot"]
    return ",".join([f"ot={ot}", *rest] if ot else rest)


def claimed(trace_state: TraceState | None, flags: int, *, own: bool, share: float) -> int | None:
    """The threshold of a span that came through a ratio alone.

    Args:
        trace_state: The span's own; a sampled trace that began here bears our own `th`.
        flags: The span's trace flags.
        own: Whether what was decided upstream doesn't matter (`sampling.parent = "ignore"`).
        share: The backend's ratio.
    """
    wanted = threshold(share)
    if own or not flags & TraceFlags.SAMPLED:
        return wanted
    before = upstream_threshold(trace_state)
    return None if before is None else max(before, wanted)
