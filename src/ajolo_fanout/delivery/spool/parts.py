"""A spooled request back into the renditions it was joined from, to be split and sent like any."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanContext, TraceFlags

from ajolo_fanout.otlp.rendition import Envelope, Rendition
from ajolo_fanout.otlp.wire import delimited

__all__ = ["renditions_of"]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def renditions_of(body: bytes) -> list[Rendition]:
    """The spans of an `ExportTraceServiceRequest`, each with its resource and scope.

    Joined again (`otlp.request.requests`) they parse to an equal message, fields that this version doesn't
    know included.

    Raises:
        google.protobuf.message.DecodeError: when `body` is no such request.
    """
    found: list[Rendition] = []
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = delimited(b"\x0a", resource_spans.resource.SerializeToString())
        resource_url = _url(resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            scope = delimited(b"\x0a", scope_spans.scope.SerializeToString())
            envelope = Envelope(resource, resource_url, scope, _url(scope_spans.schema_url))
            for span in scope_spans.spans:
                context = SpanContext(
                    int.from_bytes(span.trace_id, "big"),
                    int.from_bytes(span.span_id, "big"),
                    is_remote=False,
                    trace_flags=_SAMPLED,
                )
                found.append(Rendition(context, span.SerializeToString(), envelope))
    return found


def _url(url: str) -> bytes:
    return delimited(b"\x1a", url.encode()) if url else b""
