"""Renditions left to a backend's own thread, because a step of the user's own is part of them."""

from __future__ import annotations

from functools import partial

from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.otlp.rendition import Deferred, Rendition, sampled_context
from ajolo_fanout.pipeline.buffer import size_of_span
from ajolo_fanout.pipeline.renditions import Encoder, Made, Press
from ajolo_fanout.steps.additions import Addition
from ajolo_fanout.steps.draft import NO_USAGE, Usage
from ajolo_fanout.steps.redaction import NOTHING_REDACTED
from ajolo_fanout.steps.shape import Shape

__all__ = ["DeferringPress"]


class _Promised(Made):
    """What a span of one backend will be made of."""

    __slots__ = ("usage_below",)

    def __init__(self, rendition: Rendition, *, usage_below: Usage) -> None:
        super().__init__(rendition, NOTHING_REDACTED, 0, None)
        self.usage_below = usage_below


class DeferringPress(Press):
    """Makes nothing on the router's thread: it gives out what makes it, on the thread of its one backend.

    A shape with a step of the user's own is no other backend's, so what is counted goes to that one's ledger.
    """

    def __init__(self, shape: Shape, ledger: Ledger, *, stock: bool) -> None:
        super().__init__(shape, Encoder())
        self._ledger = ledger
        self._stock = stock

    def make(self, span: ReadableSpan, *, usage_below: Usage = NO_USAGE) -> Made:
        """Nothing yet; an estimate of its size is the gate's measure until then."""
        return _Promised(self._promise(span, None, usage_below=usage_below), usage_below=usage_below)

    def rendition(
        self, made: Made, span: ReadableSpan, addition: Addition | None, *, stock: bool
    ) -> Rendition:
        """The same, with what the backend adds to it; `stock` is known already."""
        del stock
        if addition is None:
            return made.rendition
        below = made.usage_below if isinstance(made, _Promised) else NO_USAGE
        return self._promise(span, addition, usage_below=below)

    def _promise(self, span: ReadableSpan, addition: Addition | None, *, usage_below: Usage) -> Deferred:
        make = partial(self._make_now, span, addition, usage_below)
        return Deferred(sampled_context(span.context), size_of_span(span), make)

    def _make_now(self, span: ReadableSpan, addition: Addition | None, usage_below: Usage) -> Rendition:
        try:
            made = super().make(span, usage_below=usage_below)
            rendition = super().rendition(made, span, addition, stock=self._stock)
        finally:
            self.encoder.forget()
        if made.redacted:
            self._ledger.redacted(made.redacted)
        if made.repaired:
            self._ledger.repaired(made.repaired)
        return rendition
