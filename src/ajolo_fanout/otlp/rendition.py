"""A rendition: the bytes of one span in one shape, and the envelope it travels in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from opentelemetry.trace import INVALID_SPAN_ID, INVALID_TRACE_ID, SpanContext, TraceFlags

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["Deferred", "Envelope", "Rendition", "sampled_context"]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NO_CONTEXT = SpanContext(INVALID_TRACE_ID, INVALID_SPAN_ID, is_remote=False, trace_flags=_SAMPLED)


@attrs.frozen(eq=False)
class Envelope:
    """What a request says once for many spans: a resource and a scope, each field already framed.

    Interned by `Envelopes`: equal content is the same object, so grouping compares identities.

    Attributes:
        resource: `ResourceSpans.resource`, with its tag and length.
        resource_schema_url: `ResourceSpans.schema_url`, framed; empty where there is none.
        scope: `ScopeSpans.scope`, framed.
        scope_schema_url: `ScopeSpans.schema_url`, framed; empty where there is none.
    """

    resource: bytes
    resource_schema_url: bytes = b""
    scope: bytes = b""
    scope_schema_url: bytes = b""


_NO_ENVELOPE = Envelope(b"")


class Rendition:
    """One span, encoded. Shared by every backend of its shape, so never changed.

    The SDK's BatchSpanProcessor takes it for a span: all it looks at is `context.trace_flags.sampled`.

    Attributes:
        context: The span's own context with the sampled flag set.
        span: The bytes of the OTLP `Span` message, without tag and length.
        extra: Further fields of the same message, written behind `span` (one backend's weight, a new parent).
        envelope: The resource and scope it belongs to.
        size: Bytes of `span` and `extra` together: what gates and batches count.
        readable: The span in the SDK's form; only for a backend with `exporter = "stock"`.
    """

    __slots__ = ("context", "envelope", "extra", "readable", "size", "span")

    def __init__(
        self,
        context: SpanContext,
        span: bytes,
        envelope: Envelope,
        extra: bytes = b"",
        readable: ReadableSpan | None = None,
    ) -> None:
        self.context = context
        self.span = span
        self.envelope = envelope
        self.extra = extra
        self.readable = readable
        self.size = len(span) + len(extra)

    def __repr__(self) -> str:
        return f"Rendition({self.context.span_id:016x}, {self.size} bytes)"

    def with_extra(self, extra: bytes) -> Rendition:
        """The same span for one backend, with `extra` behind what is already appended."""
        return Rendition(self.context, self.span, self.envelope, self.extra + extra, self.readable)


class Deferred(Rendition):
    """A rendition that isn't made yet: a step of the user's own has its say first, on its backend's thread.

    It passes gate and queue like any other, its size an estimate, and is never joined into a request.

    Attributes:
        make: Makes it. Raises whatever a step raises; the span must not be sent then.
    """

    __slots__ = ("make",)

    def __init__(self, context: SpanContext, size: int, make: Callable[[], Rendition]) -> None:
        super().__init__(context, b"", _NO_ENVELOPE)
        self.size = size
        self.make = make


def sampled_context(context: SpanContext | None) -> SpanContext:
    """`context` with the sampled flag set: itself where it is set, an invalid one where there is none."""
    if context is None:
        return _NO_CONTEXT
    if context.trace_flags & TraceFlags.SAMPLED:
        return context
    flags = TraceFlags(context.trace_flags | TraceFlags.SAMPLED)
    return SpanContext(context.trace_id, context.span_id, context.is_remote, flags, context.trace_state)
