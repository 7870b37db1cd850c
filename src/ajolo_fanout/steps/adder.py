"""What a backend that decides span by span adds: its weight, a new parent of a root, a dry run's mark."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace.span import TraceState

from ajolo_fanout.steps.additions import DRY_RUN, PARENT_ID, ROOT, Addition, merged
from ajolo_fanout.steps.pipeline import Steps
from ajolo_fanout.steps.weights import claimed, weigh

__all__ = ["Adds", "adder"]

Adds = Callable[[ReadableSpan, str], "Addition | None"]
"""What is added to a span that is sent, given the key that would have left it out in a dry run."""


def adder(steps: Steps, *, weighs: bool = True) -> Adds | None:
    """A function that says what a backend adds to a span; None where it never adds anything.

    Args:
        steps: The backend's, which don't need whole traces.
        weighs: Whether weights are claimed: not where another's sampler decides what is recorded.
    """
    weight = _weigher(steps) if weighs else None
    promotes = steps.select.remote_parent == "promote"
    if not promotes and not steps.sampling.dry_run:
        return None if weight is None else lambda span, _: weight(span)

    def add(span: ReadableSpan, would: str) -> Addition | None:
        own: Addition | None = None
        parent = span.parent
        if promotes and parent is not None and parent.is_remote:
            own = Addition(parent=ROOT, attributes={PARENT_ID: f"{parent.span_id:016x}"})
        if would:
            own = merged(own, Addition(attributes={DRY_RUN: would}))
        return own if weight is None else merged(own, weight(span))

    return add


def _weigher(steps: Steps) -> Callable[[ReadableSpan], Addition | None]:
    """The weight's addition for a span. All spans of a trace bear the same trace state object."""
    sampling = steps.sampling
    ignores = sampling.parent == "ignore"
    share = 1.0 if sampling.dry_run else sampling.ratio
    last: tuple[TraceState | None, int, Addition | None] = (None, -1, None)

    def weight(span: ReadableSpan) -> Addition | None:
        nonlocal last
        context = span.context
        if context is None:
            return None
        state, flags, made = last
        if state is not context.trace_state or flags != context.trace_flags:
            state, flags = context.trace_state, context.trace_flags
            made = weigh(steps.weight, state, claimed(state, flags, own=ignores, share=share))
            last = (state, flags, made)
        return made

    return weight
