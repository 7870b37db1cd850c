"""What an intake says of a request that it answered with success.

OTLP wants an `ExportTraceServiceResponse`, in protobuf or JSON as the request was; an empty body is its
empty form. Vendors answer with JSON of their own, with nothing, and proxies with a page of HTML: what it is
decides whether a success is believed. Bodies are somebody else's text; nothing here raises over one.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import attrs

__all__ = ["Response", "read_response"]

Kind = Literal["otlp", "empty", "json", "html", "other"]

_PAGES = ("text/html", "application/xhtml+xml")
_HTML_STARTS = (b"<!doctype html", b"<html")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@attrs.frozen
class Response:
    """The body of a success.

    Attributes:
        rejected: Spans that were not taken although the request was; 0 is full success. Never negative.
        message: What the intake says of it; with `rejected == 0` a warning. Empty unless `kind == "otlp"`.
        kind: `"otlp"`: an ExportTraceServiceResponse; `"empty"`: no body; `"json"`: other JSON, such as
            Langfuse's `{"message": "OK"}`; `"html"`: a page, so nobody who takes spans; `"other"`.
    """

    rejected: int = 0
    message: str = ""
    kind: Kind = "other"


def read_response(content_type: str | None, body: bytes) -> Response:
    """Read the body of a 2xx answer, or the message of a gRPC OK.

    Args:
        content_type: The header as it came; what the body looks like counts where it says nothing useful.
        body: Decompressed.
    """
    media = (content_type or "").partition(";")[0].strip().lower()
    start = body.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not start:
        return Response(kind="empty")
    if start[:15].lower().startswith(_HTML_STARTS):
        return Response(kind="html")
    if start[:1] in (b"{", b"["):  # no ExportTraceServiceResponse starts so: these would be fields 15 and 11
        found = _from_json(start)
        if found.kind != "other" or media not in _PAGES:
            return found
    if media in _PAGES:
        return Response(kind="html")
    if media in ("application/x-protobuf", "application/protobuf", "application/octet-stream", ""):
        return _from_protobuf(body, strict=media != "application/x-protobuf")
    return Response(kind="json" if media == "application/json" and _is_json(start) else "other")


def _from_protobuf(body: bytes, *, strict: bool) -> Response:
    """`strict`: bytes that say nothing of ours are other; many a short text parses as unknown fields."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        message = ExportTraceServiceResponse.FromString(body)
    except DecodeError:
        return Response(kind="other")
    if strict and not message.HasField("partial_success"):
        return Response(kind="other")
    partial = message.partial_success
    return Response(max(partial.rejected_spans, 0), partial.error_message, "otlp")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _from_json(body: bytes) -> Response:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return Response(kind="other")
    if not isinstance(content, dict):
        return Response(kind="json")
    partial = content.get("partialSuccess", content.get("partial_success"))
    if partial is None:
        return Response(kind="json" if content and "partialSuccess" not in content else "otlp")
    if not isinstance(partial, dict):
        return Response(kind="json")
    message = partial.get("errorMessage", partial.get("error_message", ""))
    rejected = _count(partial.get("rejectedSpans", partial.get("rejected_spans", 0)))
    return Response(rejected, message if isinstance(message, str) else "", "otlp")


def _count(value: Any) -> int:
    """An int64 of the JSON mapping, which writes it as a string; 0 for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, (int, float)) and 0 < value < 2**63:
        return int(value)
    return 0
