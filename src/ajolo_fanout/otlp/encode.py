"""One span to the bytes of an OTLP `Span` message, in pure Python.

Field numbers are those of opentelemetry-proto's `trace/v1/trace.proto` (1.10). The reference is the stock
encoder, `opentelemetry.exporter.otlp.proto.common.trace_encoder.encode_spans`: wherever that one encodes,
both messages parse equal, down to its habits: a status is always present, the flags of spans and links say
only whether the context is remote, a link's trace state isn't sent. Where it raises or drops, ours repairs
and counts. Everything with ReadableSpan's public properties is a span, a draft included.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode, TraceState

from ajolo_fanout.otlp.attributes import append_attributes
from ajolo_fanout.otlp.wire import (
    MAX_UINT32,
    MAX_UINT64,
    Lengths,
    Tally,
    clamp,
    delimited,
    text_bytes,
    varint,
)

__all__ = ["Tally", "encode_resource", "encode_scope", "encode_span"]

# Enum members hash in Python code; their identities don't change and hash for nothing.
_KINDS = {
    id(SpanKind.INTERNAL): b"\x30\x01",
    id(SpanKind.SERVER): b"\x30\x02",
    id(SpanKind.CLIENT): b"\x30\x03",
    id(SpanKind.PRODUCER): b"\x30\x04",
    id(SpanKind.CONSUMER): b"\x30\x05",
}
_CODES = {id(StatusCode.UNSET): b"", id(StatusCode.OK): b"\x18\x01", id(StatusCode.ERROR): b"\x18\x02"}
_BARE_STATUS = {code: delimited(b"\x7a", content) for code, content in _CODES.items()}

_FLAGS_LOCAL = (0x100).to_bytes(4, "little")  # CONTEXT_HAS_IS_REMOTE
_FLAGS_REMOTE = (0x300).to_bytes(4, "little")  # CONTEXT_HAS_IS_REMOTE | CONTEXT_IS_REMOTE
_SPAN_FLAGS_LOCAL = b"\x85\x01" + _FLAGS_LOCAL
_SPAN_FLAGS_REMOTE = b"\x85\x01" + _FLAGS_REMOTE
_LINK_FLAGS_LOCAL = b"\x35" + _FLAGS_LOCAL
_LINK_FLAGS_REMOTE = b"\x35" + _FLAGS_REMOTE

_ATTRIBUTES_OF_SPAN = b"\x4a"
_ATTRIBUTES_OF_EVENT = b"\x1a"
_ATTRIBUTES_OF_LINK = b"\x22"
_ATTRIBUTES_OF_SCOPE = b"\x1a"
_ATTRIBUTES_OF_RESOURCE = b"\x0a"

_pack_times = struct.Struct("<BQBQ").pack
_pack_time = struct.Struct("<BQ").pack
_name_length = Lengths(b"\x2a")
_event_length = Lengths(b"\x5a")
_link_length = Lengths(b"\x6a")
_event_name_length = Lengths(b"\x12")


def encode_span(span: Any, tally: Tally) -> bytes:
    """The bytes of the `Span` message, without tag and length. Never raises over what a span holds.

    Args:
        span: A ReadableSpan or a draft.
        tally: Counts what had to be repaired.
    """
    context = span.context
    parts = _ids(context, tally)
    parent = span.parent
    if parent:
        try:
            parts += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
        except (OverflowError, AttributeError):
            parts += (b"\x22\x08", _id(parent.span_id, 8, tally))
    raw = text_bytes(span.name, tally)
    parts += (_name_length[len(raw)], raw)
    start, end = span.start_time, span.end_time
    try:
        times = _pack_times(0x39, start, 0x41, end)
    except struct.error:  # None, negative or no integer at all
        times = _pack_times(0x39, clamp(start, MAX_UINT64, tally), 0x41, clamp(end, MAX_UINT64, tally))
    parts += (
        _kind(span.kind, tally),
        times,
        _SPAN_FLAGS_REMOTE if parent and parent.is_remote else _SPAN_FLAGS_LOCAL,
    )
    append_attributes(parts, _ATTRIBUTES_OF_SPAN, span.attributes, tally)
    for event in span.events or ():
        _append_event(parts, event, tally)
    for link in span.links or ():
        _append_link(parts, link, tally)
    if span.dropped_attributes:
        parts.append(_count(b"\x50", span.dropped_attributes, tally))
    if span.dropped_events:
        parts.append(_count(b"\x60", span.dropped_events, tally))
    if span.dropped_links:
        parts.append(_count(b"\x70", span.dropped_links, tally))
    parts.append(_status(span.status, tally))
    return b"".join(parts)


def encode_resource(attributes: Mapping[str, Any], tally: Tally) -> bytes:
    """`ResourceSpans.resource` with tag and length; present even where there are no attributes."""
    parts: list[bytes] = []
    append_attributes(parts, _ATTRIBUTES_OF_RESOURCE, attributes, tally)
    return delimited(b"\x0a", b"".join(parts))


def encode_scope(scope: Any, tally: Tally) -> bytes:
    """`ScopeSpans.scope` with tag and length, of an `InstrumentationScope` or None."""
    parts: list[bytes] = []
    if scope is not None:
        for tag, text in ((b"\x0a", scope.name), (b"\x12", scope.version)):
            raw = text_bytes(text, tally)
            if raw:
                parts.append(delimited(tag, raw))
        append_attributes(parts, _ATTRIBUTES_OF_SCOPE, scope.attributes, tally)
    return delimited(b"\x0a", b"".join(parts))


def _ids(context: Any, tally: Tally) -> list[bytes]:
    """Trace id, span id and trace state: the first three fields."""
    if context is None:
        tally.repaired += 1
        return [b"\x0a\x10", bytes(16), b"\x12\x08", bytes(8)]
    trace_id, span_id = context.trace_id, context.span_id
    try:
        parts = [b"\x0a\x10", trace_id.to_bytes(16, "big"), b"\x12\x08", span_id.to_bytes(8, "big")]
    except (OverflowError, AttributeError):
        parts = [b"\x0a\x10", _id(trace_id, 16, tally), b"\x12\x08", _id(span_id, 8, tally)]
    trace_state = context.trace_state
    if trace_state:
        parts.append(_trace_state(trace_state, tally))
    return parts


def _id(number: object, size: int, tally: Tally) -> bytes:
    """An id that may not fit: the nearest that does."""
    return clamp(number, (1 << 8 * size) - 1, tally).to_bytes(size, "big")


_latest_state: tuple[TraceState | None, bytes] = (None, b"")
"""All spans of a trace bear one trace state object, which can't be changed: encoded once for most of them."""


def _trace_state(trace_state: Any, tally: Tally) -> bytes:
    global _latest_state  # noqa: PLW0603 - replaced as a whole, so that any thread sees a pair that belongs together
    if type(trace_state) is TraceState:
        known, content = _latest_state
        if known is trace_state:
            return content
        text = trace_state.to_header()
        if text.isascii():
            content = delimited(b"\x1a", text_bytes(text, tally))
            _latest_state = (trace_state, content)
            return content
    elif isinstance(trace_state, Mapping):
        text = ",".join([f"{key}={value}" for key, value in trace_state.items()])
    else:
        tally.repaired += 1
        text = str(trace_state)
    return delimited(b"\x1a", text_bytes(text, tally))


def _kind(kind: object, tally: Tally) -> bytes:
    found = _KINDS.get(id(kind))
    if found is None:
        tally.repaired += 1
        return b""  # SPAN_KIND_UNSPECIFIED
    return found


def _count(tag: bytes, count: object, tally: Tally) -> bytes:
    return tag + varint(clamp(count, MAX_UINT32, tally))


def _time(tag: int, time: Any, tally: Tally) -> bytes:
    try:
        return _pack_time(tag, time)
    except struct.error:
        return _pack_time(tag, clamp(time, MAX_UINT64, tally))


def _status(status: Any, tally: Tally) -> bytes:
    if status is None:
        return b""
    description = status.description
    code = id(status.status_code)
    if code not in _CODES:
        tally.repaired += 1
        code = id(StatusCode.UNSET)
    if description is None:
        return _BARE_STATUS[code]
    return delimited(b"\x7a", delimited(b"\x12", text_bytes(description, tally)) + _CODES[code])


def _append_event(parts: list[bytes], event: Any, tally: Tally) -> None:
    raw = text_bytes(event.name, tally)
    inner = [_time(0x09, event.timestamp, tally), _event_name_length[len(raw)], raw]
    append_attributes(inner, _ATTRIBUTES_OF_EVENT, event.attributes, tally)
    if event.dropped_attributes:
        inner.append(_count(b"\x20", event.dropped_attributes, tally))
    content = b"".join(inner)
    parts += (_event_length[len(content)], content)


def _append_link(parts: list[bytes], link: Any, tally: Tally) -> None:
    context = link.context
    inner = _ids(context, tally)[:4]  # without the trace state, as the stock encoder
    append_attributes(inner, _ATTRIBUTES_OF_LINK, link.attributes, tally)
    if link.dropped_attributes:
        inner.append(_count(b"\x28", link.dropped_attributes, tally))
    inner.append(_LINK_FLAGS_REMOTE if context and context.is_remote else _LINK_FLAGS_LOCAL)
    content = b"".join(inner)
    parts += (_link_length[len(content)], content)
