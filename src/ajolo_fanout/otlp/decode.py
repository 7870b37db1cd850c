"""Requests back to plain Python values: for people, files and tests, not for the hot path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ajolo_fanout.otlp.json_form import from_json_text, to_json_text

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = [
    "DecodedEvent",
    "DecodedLink",
    "DecodedScope",
    "DecodedSpan",
    "DecodedStatus",
    "decode_request",
    "from_json",
    "from_json_lines",
    "to_json_line",
]

Kind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]
Code = Literal["unset", "ok", "error"]

_KINDS: tuple[Kind, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
_CODES: tuple[Code, ...] = ("unset", "ok", "error")


@attrs.frozen
class DecodedStatus:
    """A span's status; `message` is empty where there is none."""

    code: Code = "unset"
    message: str = ""


@attrs.frozen
class DecodedEvent:
    """One event; `timestamp` in Unix nanoseconds."""

    name: str
    timestamp: int = 0
    attributes: dict[str, Any] = attrs.field(factory=dict)
    dropped_attributes: int = 0


@attrs.frozen
class DecodedLink:
    """One link; ids in hexadecimal."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = attrs.field(factory=dict)
    dropped_attributes: int = 0
    trace_state: str = ""
    flags: int = 0


@attrs.frozen
class DecodedScope:
    """The instrumentation scope."""

    name: str = ""
    version: str = ""
    attributes: dict[str, Any] = attrs.field(factory=dict)
    schema_url: str = ""


@attrs.frozen
class DecodedSpan:
    """One span of a request, in plain Python.

    Attribute values are None, bool, str, int, float, bytes, lists of these and dicts of these by str. Ids
    are lower-case hexadecimal, times Unix nanoseconds.

    Attributes:
        parent_id: Empty for a root.
        status: None where the message has none.
        flags: As on the wire: 0x100 says that 0x200, "the parent is remote", means something.
        resource: The resource's attributes.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    trace_state: str = ""
    flags: int = 0
    kind: Kind = "unspecified"
    start_time: int = 0
    end_time: int = 0
    attributes: dict[str, Any] = attrs.field(factory=dict)
    events: tuple[DecodedEvent, ...] = ()
    links: tuple[DecodedLink, ...] = ()
    status: DecodedStatus | None = None
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0
    resource: dict[str, Any] = attrs.field(factory=dict)
    resource_schema_url: str = ""
    scope: DecodedScope = attrs.field(factory=DecodedScope)

    @property
    def is_root(self) -> bool:
        """Whether the span has no parent at all."""
        return not self.parent_id

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return (self.end_time - self.start_time) / 1e9


def decode_request(body: bytes) -> list[DecodedSpan]:
    """The spans of an `ExportTraceServiceRequest`, in its order.

    Raises:
        google.protobuf.message.DecodeError: when `body` is no such message.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return _spans(ExportTraceServiceRequest.FromString(body))


def to_json_line(body: bytes) -> str:
    """A request as OTLP JSON in one line without its end: what collectors read from files.

    Raises:
        google.protobuf.message.DecodeError: when `body` is no `ExportTraceServiceRequest`.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return to_json_text(ExportTraceServiceRequest.FromString(body))


def from_json(text: str) -> list[DecodedSpan]:
    """The spans of OTLP JSON: one `ExportTraceServiceRequest` or several after one another, as lines or not.

    Raises:
        ValueError: when a document isn't JSON or no such request; says in which line it starts.
    """
    return [span for _, span in from_json_lines(text)]


def from_json_lines(text: str) -> Iterator[tuple[int, DecodedSpan]]:
    """The same, each span with the line where its request starts.

    Raises:
        OtlpJsonError: when a document isn't JSON or no such request.
    """
    for line, message in from_json_text(text):
        for span in _spans(message):
            yield line, span


def _spans(message: ExportTraceServiceRequest) -> list[DecodedSpan]:
    spans: list[DecodedSpan] = []
    for in_resource in message.resource_spans:
        resource = _attributes(in_resource.resource.attributes)
        for in_scope in in_resource.scope_spans:
            scope = DecodedScope(
                name=in_scope.scope.name,
                version=in_scope.scope.version,
                attributes=_attributes(in_scope.scope.attributes),
                schema_url=in_scope.schema_url,
            )
            spans += [_span(span, resource, in_resource.schema_url, scope) for span in in_scope.spans]
    return spans


def _span(span: Any, resource: dict[str, Any], schema_url: str, scope: DecodedScope) -> DecodedSpan:
    return DecodedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        trace_state=span.trace_state,
        flags=span.flags,
        kind=_KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "unspecified",
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple(
            DecodedEvent(
                name=event.name,
                timestamp=event.time_unix_nano,
                attributes=_attributes(event.attributes),
                dropped_attributes=event.dropped_attributes_count,
            )
            for event in span.events
        ),
        links=tuple(
            DecodedLink(
                trace_id=link.trace_id.hex(),
                span_id=link.span_id.hex(),
                attributes=_attributes(link.attributes),
                dropped_attributes=link.dropped_attributes_count,
                trace_state=link.trace_state,
                flags=link.flags,
            )
            for link in span.links
        ),
        status=_status(span.status) if span.HasField("status") else None,
        dropped_attributes=span.dropped_attributes_count,
        dropped_events=span.dropped_events_count,
        dropped_links=span.dropped_links_count,
        resource=resource,
        resource_schema_url=schema_url,
        scope=scope,
    )


def _status(status: Any) -> DecodedStatus:
    code: Code = _CODES[status.code] if 0 <= status.code < len(_CODES) else "unset"
    return DecodedStatus(code, status.message)


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return [_plain(one) for one in content.values]
    if kind == "kvlist_value":
        return _attributes(content.values)
    return content
