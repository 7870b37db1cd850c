"""The way of a span through one backend's steps, as pure functions: decide, then shape.

The router calls these; so do preview, explain and the tests in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.steps.draft import NO_USAGE, Draft, Usage
from ajolo_fanout.steps.redaction import Removal
from ajolo_fanout.steps.sampling import SamplingSettings, randomness, sampled, threshold
from ajolo_fanout.steps.select import SelectSettings, selector
from ajolo_fanout.steps.shape import Shape, Shaped, Shaper, shape_span, shaper
from ajolo_fanout.steps.values import identity
from ajolo_fanout.steps.weights import WeightForm
from ajolo_fanout.values import BUILT_IN, Origin

__all__ = [
    "Decision",
    "Fate",
    "Result",
    "Shape",
    "Shaped",
    "Shaper",
    "Steps",
    "decide",
    "decider",
    "passes_sampled",
    "run",
    "shape_span",
    "shaper",
]

Fate = Literal["sent", "filtered", "sampled_out"]
"""What a backend's steps decide: whether it gets the span."""

_NO_ORIGINS: Mapping[str, Origin] = MappingProxyType({})


@attrs.frozen
class Steps:
    """Everything that decides about a span, and what is done to it, at one backend.

    Attributes:
        sampling: Which traces it gets.
        shape: What is done to a span's content.
        origins: Dotted key below the backend -> where its value came from.
        select: Which spans it gets at all.
        weight: The form in which it reads what a kept trace stands for.
    """

    sampling: SamplingSettings = attrs.field(factory=SamplingSettings)
    shape: Shape = attrs.field(factory=Shape)
    origins: Mapping[str, Origin] = attrs.field(default=_NO_ORIGINS, repr=False)
    select: SelectSettings = attrs.field(factory=SelectSettings)
    weight: WeightForm = "tracestate"

    @property
    def needs_whole_traces(self) -> bool:
        """Whether nothing can be decided about a span before its trace is finished."""
        return bool(self.sampling.keep) or self.select.orphans != "keep" or self.shape.needs_lineage

    @property
    def decision_key(self) -> Any:
        """Equal for two backends that decide alike about every span."""
        return identity((self.select, self.sampling))

    def origin_of(self, key: str) -> Origin:
        """Where the value of `key`, dotted and below the backend, came from."""
        return self.origins.get(key, BUILT_IN)


@attrs.frozen
class Decision:
    """Whether a backend gets a span.

    Attributes:
        fate: What was decided.
        origin: Where the rule stands that decided; None for a span that is sent, for no rule was against it.
        would: With `sampling.dry_run`, the key that would have left the span out.
        key: The key of the rule that left the span out; empty for one that is sent.
    """

    fate: Fate
    origin: Origin | None = None
    would: str = ""
    key: str = ""


@attrs.frozen
class Result:
    """What became of a span at one backend.

    Attributes:
        draft: What is sent; None where nothing is.
        fate: What was decided.
        origin: Where the rule stands that decided.
        removed: What redaction took out.
    """

    draft: Draft | None
    fate: Fate
    origin: Origin | None = None
    removed: tuple[Removal, ...] = ()

    @property
    def redacted(self) -> int:
        """How many values redaction removed."""
        return len(self.removed)


Decider = Callable[[ReadableSpan], Decision]


def decider(steps: Steps) -> Decider | None:
    """A function that decides about a span; None where every span is sent whatever it is."""
    sampling = steps.sampling
    against = selector(steps.select)
    if against is None and sampling.ratio >= 1 and sampling.parent == "ignore":
        return None
    sent = Decision("sent")
    out = _left_out(steps, "sampling.ratio")
    unsampled = _left_out(steps, "sampling.parent")

    filtered = {key: _filtered(steps, f"select.{key}") for key in ("include", "exclude")}

    def decide_one(span: ReadableSpan) -> Decision:
        key = against(span) if against is not None else None
        if key is not None:
            return filtered[key]
        if sampled(span, sampling):
            return sent
        return unsampled if _refused(span, sampling) else out

    return decide_one


def passes_sampled(steps: Steps) -> bool:
    """Whether the backend gets every span whose sampled flag is set, so that nothing has to be decided."""
    return selector(steps.select) is None and steps.sampling.ratio >= 1


def _left_out(steps: Steps, key: str) -> Decision:
    origin = steps.origin_of(key)
    if steps.sampling.dry_run:
        return Decision("sent", origin, would=key)
    return Decision("sampled_out", origin, key=key)


def _filtered(steps: Steps, key: str) -> Decision:
    return Decision("filtered", steps.origin_of(key), key=key)


def decide(span: ReadableSpan, steps: Steps) -> Decision:
    """Whether the backend of `steps` gets `span`: select, then sample."""
    decides = decider(steps)
    return Decision("sent") if decides is None else decides(span)


def run(span: ReadableSpan, steps: Steps, *, usage_below: Usage = NO_USAGE) -> Result:
    """Take `span` through all of a backend's steps: decide, then process, redact and limit.

    Args:
        span: An ended span.
        steps: The backend's.
        usage_below: What of tokens and cost other spans carry (`Lineage`).

    Raises:
        Exception: whatever a processor raises.
    """
    decision = decide(span, steps)
    if decision.fate != "sent":
        return Result(None, decision.fate, decision.origin)
    shaped = shape_span(span, steps.shape, usage_below=usage_below)
    return Result(shaped.draft, decision.fate, decision.origin, shaped.removed)


def _refused(span: ReadableSpan, sampling: SamplingSettings) -> bool:
    """Whether it is only what was decided upstream that leaves a span out.

    What is outside the ratio bears an unsampled flag, too, where it is recorded for another backend's rules.
    """
    context = span.context
    if context is None or sampling.parent == "ignore" or context.trace_flags.sampled:
        return False
    return randomness(context.trace_id, context.trace_state) >= threshold(sampling.ratio)
