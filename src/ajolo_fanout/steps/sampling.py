"""Consistent sampling: which traces a backend gets, decided alike wherever the same trace is asked about.

As OpenTelemetry's consistent probability sampling does it (specification, `tracestate-probability-sampling`):
a trace has a randomness R of 56 bits, a share p a threshold T = (1 - p) * 2**56, and the trace is in when
R >= T. So the traces of a smaller share are always among those of a larger one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import attrs
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceFlags, get_current_span
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

from ajolo_fanout.steps.counter import Counter
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.values import option

__all__ = [
    "ConsistentSampler",
    "SamplingSettings",
    "randomness",
    "sampled",
    "th_of",
    "threshold",
    "upstream_threshold",
]

NEVER = 1 << 56
"""The threshold that no randomness reaches."""

_LOW_56_BITS = NEVER - 1
_RANDOMNESS = re.compile(r"(?:^|;)rv:([0-9a-f]{14})(?:;|$)")
_THRESHOLD = re.compile(r"(?:^|;)th:([0-9a-f]{1,14})(?:;|$)")


@attrs.frozen
class SamplingSettings:
    """`sampling` of one backend."""

    ratio: float = option(
        "The share of all traces that this backend gets, 0 to 1. Nested: the traces of a smaller ratio are "
        "among those of a larger one.",
        default=1.0,
        minimum=0,
        maximum=1,
        example="0.2",
    )
    parent: Literal["respect", "ignore"] = option(
        'What a remote parent that was not sampled means here: "respect" leaves the trace out, "ignore" lets '
        "the ratio alone decide.",
        default="respect",
        choices=("respect", "ignore"),
        example='"ignore"',
    )
    keep: tuple[KeepRule, ...] = option(
        "Rules on finished traces: what they fit is kept although the ratio would leave it out. The first "
        "that keeps a trace is the reason.",
        default=(),
        example='[{ name = "errors", match = { status = "error" } }]',
    )
    dry_run: bool = option(
        "Whether everything is sent, and what sampling would have left out bears the reason as "
        "ajolo_fanout.would_drop.",
        default=False,
        example="true",
    )


@lru_cache(maxsize=256)
def threshold(ratio: float) -> int:
    """T of the share `ratio`, 0 (everything) to 2**56 (nothing); a share above zero is never nothing."""
    if ratio <= 0:
        return NEVER
    return NEVER - min(NEVER, max(1, round(ratio * NEVER)))


@lru_cache(maxsize=1024)
def th_of(wanted: int) -> str:
    """A threshold as `th` has it: up to 14 digits of a fraction, without trailing zeros."""
    return f"{wanted:014x}".rstrip("0") or "0"


def randomness(trace_id: int, trace_state: TraceState | None) -> int:
    """R of a trace: `rv` of the trace state's `ot`, else the low 56 bits of the trace id."""
    if trace_state:
        found = _RANDOMNESS.search(trace_state.get("ot", "") or "")
        if found is not None:
            return int(found[1], 16)
    return trace_id & _LOW_56_BITS


def upstream_threshold(trace_state: TraceState | None) -> int | None:
    """T with which the trace was sampled before it came here (`th` of `ot`); None where nobody said."""
    if not trace_state:
        return None
    found = _THRESHOLD.search(trace_state.get("ot", "") or "")
    return int(found[1].ljust(14, "0"), 16) if found is not None else None


def sampled(span: ReadableSpan, settings: SamplingSettings) -> bool:
    """Whether the trace of `span` is in the backend's share.

    The flag says what the parent decided, or our own sampler for a root; a `th` from upstream and the ratio
    are held against the same R, so the larger threshold of the two decides (a ratio of 1 takes all that was
    sampled, also where a `th` contradicts its R). Who ignores the parent asks neither.
    """
    context = span.context
    if context is None:
        return settings.ratio > 0  # a span made by hand; nothing to decide by
    respects = settings.parent == "respect"
    if respects and not context.trace_flags & TraceFlags.SAMPLED:
        return False
    if settings.ratio >= 1:
        return True
    wanted = threshold(settings.ratio)
    trace_state = context.trace_state
    if not trace_state:
        return bool((context.trace_id & _LOW_56_BITS) >= wanted)
    if respects:
        wanted = max(wanted, upstream_threshold(trace_state) or 0)
    return randomness(context.trace_id, trace_state) >= wanted


class ConsistentSampler(Sampler):
    """The provider's sampler: the largest share that any backend needs, and no more.

    A trace that begins here is sampled when its R reaches the threshold, and says so to other services (`th`
    in the trace state), so that they know what it stands for. Whoever has a parent follows its flag. What
    isn't sampled is recorded nevertheless where keep rules may want it, or a backend ignores the decisions of
    remote parents: RECORD_ONLY, so that the flag that goes to other services stays unsampled, or with
    `everything_out` sampled as all that is recorded.
    """

    def __init__(
        self,
        ratio: float,
        *,
        ignored: float = 0.0,
        recorded: float | None = None,
        everything_out: bool = False,
    ) -> None:
        """A sampler.

        Args:
            ratio: The largest ratio of any backend, 0 to 1.
            ignored: What share is recorded of the traces that weren't sampled upstream: the largest that a
                backend with `sampling.parent = "ignore"` may want; 0 where there is none.
            recorded: What share is recorded of the traces that begin here; by default `ratio`.
            everything_out: Whether other services are told to record all that is recorded here.
        """
        self._ratio = ratio
        self._recorded = threshold(ratio if recorded is None else max(ratio, recorded))
        self._threshold = self._recorded if everything_out else threshold(ratio)
        self._ignored = threshold(ignored)
        self._beyond = Decision.RECORD_AND_SAMPLE if everything_out else Decision.RECORD_ONLY
        self._stamp = f"th:{th_of(self._threshold)}"
        self._state = TraceState([("ot", self._stamp)])
        self._never = Counter()

    @property
    def ratio(self) -> float:
        """The share of traces that begin here and are recorded."""
        return self._ratio

    @property
    def never_recorded(self) -> int:
        """How many traces (local roots) were not recorded at all."""
        return self._never.value

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,  # noqa: ARG002 - the SDK's signature
        kind: SpanKind | None = None,  # noqa: ARG002
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a span that is about to start. `attributes` are passed on as they are."""
        parent = get_current_span(parent_context)
        context = parent.get_span_context()
        if not context.is_valid:
            value = randomness(trace_id, trace_state)
            if value >= self._threshold:
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, self._stamped(trace_state))
            if value >= self._recorded:
                return SamplingResult(Decision.RECORD_ONLY, attributes, trace_state)
            self._never.add()
            return SamplingResult(Decision.DROP, None, trace_state)
        inherited = context.trace_state
        if context.trace_flags & TraceFlags.SAMPLED:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, inherited)
        if not context.is_remote:
            # A recorded parent's children are recorded, too, so that no trace is torn. The SDK's own spans
            # are ReadableSpans, ended or not; what stands for one that isn't recorded is none.
            if isinstance(parent, ReadableSpan):
                return SamplingResult(Decision.RECORD_ONLY, attributes, inherited)
            return SamplingResult(Decision.DROP, None, inherited)
        if randomness(trace_id, inherited) >= self._ignored:
            return SamplingResult(self._beyond, attributes, inherited)
        self._never.add()
        return SamplingResult(Decision.DROP, None, inherited)

    def _stamped(self, trace_state: TraceState | None) -> TraceState:
        """The trace state of a trace that is sampled here: as it came, with our threshold."""
        if not trace_state:
            return self._state
        members = (trace_state.get("ot") or "").split(";")
        others = [one for one in members if one and not one.startswith("th:")]
        return trace_state.update("ot", ";".join([self._stamp, *others]))

    def get_description(self) -> str:
        """What it is, for the SDK's own messages."""
        return f"ajolo_fanout.ConsistentSampler{{{self._ratio:g}}}"
