"""OTLP's JSON form back into the SDK's spans: what recordings and the `file` backend hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from ajolo_fanout.otlp.decode import DecodedSpan, from_json

__all__ = ["read_spans", "readable"]

_REMOTE = 0x200  # OTLP's SpanFlags: the parent, or the link's context, is remote
_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_CODES = {code.name.lower(): code for code in StatusCode}


def read_spans(text: str) -> list[ReadableSpan]:
    """The spans of OTLP JSON, in its order.

    Args:
        text: One document with `resourceSpans` at its top, as `examples/recorded/*.json` have it, or several
            after one another, as the `file` backend writes them.

    Raises:
        ValueError: when it isn't that; the message says in which line.
    """
    return [readable(span) for span in from_json(text)]


def readable(span: DecodedSpan) -> ReadableSpan:
    """A decoded span in the SDK's form: arrays are tuples, a time of 0 is None.

    What the SDK's own class can't say is left out: dropped counts, a kind that isn't specified (it becomes
    INTERNAL), and the description of a status that isn't an error. Flags of 0 are those of an exporter that
    writes none; what it exported was sampled.
    """
    flags = span.flags or TraceFlags.SAMPLED
    parent = None
    if span.parent_id:
        parent = _context(span.trace_id, span.parent_id, flags, "", remote=bool(span.flags & _REMOTE))
    code = _CODES[span.status.code] if span.status is not None else StatusCode.UNSET
    message = span.status.message if span.status is not None and code is StatusCode.ERROR else ""
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id, flags, span.trace_state, remote=False),
        parent=parent,
        resource=Resource(_attributes(span.resource), span.resource_schema_url or None),
        attributes=_attributes(span.attributes),
        events=tuple(
            Event(event.name, _attributes(event.attributes), event.timestamp or None) for event in span.events
        ),
        links=tuple(
            Link(
                _context(
                    link.trace_id,
                    link.span_id,
                    link.flags,
                    link.trace_state,
                    remote=bool(link.flags & _REMOTE),
                ),
                _attributes(link.attributes),
            )
            for link in span.links
        ),
        kind=_KINDS.get(span.kind, SpanKind.INTERNAL),
        status=Status(code, message or None),
        start_time=span.start_time or None,
        end_time=span.end_time or None,
        instrumentation_scope=InstrumentationScope(
            span.scope.name, span.scope.version, span.scope.schema_url, _attributes(span.scope.attributes)
        ),
    )


def _context(trace_id: str, span_id: str, flags: int, trace_state: str, *, remote: bool) -> SpanContext:
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=remote,
        trace_flags=TraceFlags(flags & 0xFF),  # W3C's eight bits; OTLP's own are above
        trace_state=TraceState.from_header([trace_state]) if trace_state else TraceState(),
    )


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in attributes.items()}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    return _attributes(value) if isinstance(value, dict) else value
