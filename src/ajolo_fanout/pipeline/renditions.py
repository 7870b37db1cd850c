"""Renditions: one span encoded once for each shape, and only once where shapes leave its content alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.health.notices import LimitedSpans
from ajolo_fanout.otlp.encode import Tally, encode_span
from ajolo_fanout.otlp.envelopes import Envelopes
from ajolo_fanout.otlp.extra import extend
from ajolo_fanout.otlp.rendition import Rendition, sampled_context
from ajolo_fanout.steps.additions import Addition, added
from ajolo_fanout.steps.draft import NO_USAGE, Draft, Usage
from ajolo_fanout.steps.notes import LIMITED
from ajolo_fanout.steps.redaction import NOTHING_REDACTED, by_reason
from ajolo_fanout.steps.shape import Shape, shaper

__all__ = ["Encoder", "Made", "Press"]


@attrs.define
class Encoder:
    """Encodes spans, and counts how often.

    Attributes:
        encoded: How many spans were encoded since the start: the proof of what is shared.
        fresh: Bytes encoded since somebody set this to 0.
        tally: Counts what had to be repaired.
    """

    encoded: int = 0
    fresh: int = 0
    envelopes: Envelopes = attrs.field(factory=Envelopes)
    tally: Tally = attrs.field(factory=Tally)
    _plain: tuple[ReadableSpan | None, bytes, int] = (None, b"", 0)

    def plain(self, span: ReadableSpan) -> tuple[bytes, int]:
        """The bytes of `span` as it is and how many values were repaired; once for the span at hand."""
        known, content, repaired = self._plain
        if known is not span:
            content, repaired = self.encode(span)
            self._plain = (span, content, repaired)
        return content, repaired

    def encode(self, span: ReadableSpan | Draft) -> tuple[bytes, int]:
        """The bytes of `span` and how many values were repaired."""
        tally = self.tally
        before = tally.repaired
        content = encode_span(span, tally)
        self.encoded += 1
        self.fresh += len(content)
        return content, tally.repaired - before

    def forget(self) -> None:
        """Keep nothing of the span at hand."""
        self._plain = (None, b"", 0)

    def after_fork(self) -> None:
        """In a forked child: count from zero, and hold no lock that a thread of the parent held."""
        self.encoded = 0
        self.envelopes = Envelopes()
        self.forget()

    def envelope(self, resource: Any, scope: Any) -> Any:
        """The envelope of an SDK resource and scope."""
        return self.envelopes.get(resource, scope, self.tally)


class Made:
    """One span in one shape, made.

    Attributes:
        rendition: The bytes, for every backend of the shape.
        redacted: How many values redaction removed, by reason.
        repaired: How many values had to be repaired to be encoded.
        draft: What was encoded; None where the shape left the span's own content alone.
    """

    __slots__ = ("draft", "redacted", "rendition", "repaired")

    def __init__(
        self, rendition: Rendition, redacted: Mapping[str, int], repaired: int, draft: Draft | None
    ) -> None:
        self.rendition = rendition
        self.redacted = redacted
        self.repaired = repaired
        self.draft = draft


class Press:
    """Makes the renditions of one shape.

    Attributes:
        encoder: Encodes them.
        limited: Says of the first span that was cut; None where the shape has no limits.
    """

    def __init__(self, shape: Shape, encoder: Encoder) -> None:
        self._shaper = shaper(shape)
        self.encoder = encoder
        self.limited = None if shape.limits.none else LimitedSpans()

    def make(self, span: ReadableSpan, *, usage_below: Usage = NO_USAGE) -> Made:
        """Give `span` the shape and encode it, or share the bytes where its content stays as it is.

        Raises:
            BaseException: whatever a step raises.
        """
        encoder = self.encoder
        context = sampled_context(span.context)
        if self._shaper.passive:
            content, repaired = encoder.plain(span)
            envelope = encoder.envelope(self._shaper.laid(span.resource), span.instrumentation_scope)
            return Made(Rendition(context, content, envelope), NOTHING_REDACTED, repaired, None)
        shaped = self._shaper(span, usage_below=usage_below)
        draft = shaped.draft
        if self.limited is not None and not self.limited.over and LIMITED in draft.attributes:
            self.limited(draft.attributes.raw()[LIMITED])
        content, repaired = encoder.encode(draft) if draft.changed else encoder.plain(span)
        envelope = encoder.envelope(draft.sdk_resource(), draft.instrumentation_scope)
        return Made(Rendition(context, content, envelope), shaped.redacted_by, repaired, draft)

    def redacted(self, addition: Addition) -> tuple[Addition, Mapping[str, int]]:
        """What a backend adds, as its shape lets it leave, and how many values that cost, by reason."""
        made, removed = self._shaper.addition(addition)
        return made, by_reason(removed)

    def rendition(
        self, made: Made, span: ReadableSpan, addition: Addition | None, *, stock: bool
    ) -> Rendition:
        """The rendition of one backend: the shared one, or that with what this backend adds.

        Args:
            made: What its shape shares.
            span: What that was made of.
            addition: What the backend adds; None for nothing.
            stock: Whether a stock exporter sends, which wants the SDK's form.
        """
        rendition = made.rendition
        if addition is not None:
            rendition = extend(rendition, made.draft or span, addition, self.encoder.tally)
        if stock:
            draft = made.draft or Draft(span, self._shaper.laid(span.resource))
            readable = draft.readable() if addition is None else added(draft.readable(), addition)
            rendition = Rendition(
                rendition.context, rendition.span, rendition.envelope, rendition.extra, readable
            )
        return rendition
