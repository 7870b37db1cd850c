"""What an embedded server received, and what it answers: plain values, the same for HTTP and gRPC."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from ajolo_fanout.otlp.decode import DecodedSpan

__all__ = ["OK", "Answer", "Answers", "ReceivedRequest"]

PROTOBUF = "application/x-protobuf"

_OTHER_SIGNALS = ("/v1/metrics", "/v1/logs", ".MetricsService/Export", ".LogsService/Export")
"""How the paths and methods of OTLP's other signals end (opentelemetry.io/docs/specs/otlp)."""

# The usual reading of HTTP statuses as gRPC codes (gRPC's http-grpc-status-mapping.md); else UNKNOWN.
_GRPC_CODES: Mapping[int, str] = {
    200: "OK",
    400: "INTERNAL",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    405: "UNIMPLEMENTED",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    429: "UNAVAILABLE",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@attrs.frozen
class ReceivedRequest:
    """One request as it came in.

    Attributes:
        protocol: Which of the two it came by.
        method: The HTTP method; `"POST"` for gRPC.
        path: The URL's path with its query, or gRPC's full method name.
        headers: Header or metadata names in lower case; binary metadata (`…-bin`) is left out.
        body: The message, decompressed.
        wire_size: Bytes of the body as it was sent (compressed); for gRPC, which hides it, `len(body)`.
        at: `time.monotonic()` when it was complete.
    """

    protocol: Literal["http/protobuf", "grpc"]
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")
    wire_size: int
    at: float

    def spans(self) -> list[DecodedSpan]:
        """The spans in the body, in its order; none where it is OTLP's metrics or logs, by the path.

        Raises:
            google.protobuf.message.DecodeError: when the body is no `ExportTraceServiceRequest`.
        """
        from ajolo_fanout.otlp.decode import decode_request

        if self.path.partition("?")[0].endswith(_OTHER_SIGNALS):
            return []  # as protobuf it would parse, and be spans without a name
        return decode_request(self.body)


@attrs.frozen
class Answer:
    """One scripted answer.

    Attributes:
        status: The HTTP status.
        code: The gRPC code's name; by default the one that goes with `status`.
        headers: Response headers, or trailing metadata.
        body: The HTTP body, or the gRPC response message. None: what OTLP says belongs there (an
            `ExportTraceServiceResponse` with the `rejected` and `message` below; nothing beside an error).
        content_type: Of the HTTP body.
        message: The gRPC status message, a partial success's message, the body of an HTTP error without one.
        rejected: Spans that a success says were not taken (`partial_success.rejected_spans`).
        retry_after: Seconds: `Retry-After` by HTTP, `google.rpc.RetryInfo` by gRPC.
        delay: Seconds to wait before the answer.
        hang: No answer until the server's `release()`, or until it stops.
        drop: Close the connection without an answer.
    """

    status: int = 200
    code: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = None
    content_type: str = PROTOBUF
    message: str = ""
    rejected: int = 0
    retry_after: float | None = None
    delay: float = 0.0
    hang: bool = False
    drop: bool = False

    @property
    def grpc_code(self) -> str:
        """The gRPC code's name, such as `"UNAVAILABLE"`."""
        return self.code or _GRPC_CODES.get(self.status, "OK" if 200 <= self.status < 300 else "UNKNOWN")

    @property
    def success(self) -> bool:
        """Whether the server took the spans (but for `rejected` of them)."""
        return self.grpc_code == "OK" and 200 <= self.status < 300 and not self.drop

    def payload(self) -> bytes:
        """The body to send."""
        if self.body is not None:
            return self.body
        if not self.success:
            return self.message.encode()
        if not self.rejected and not self.message:
            return b""  # an empty ExportTraceServiceResponse
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = self.rejected
        response.partial_success.error_message = self.message
        return response.SerializeToString()

    def http_headers(self) -> dict[str, str]:
        """The response headers, `Content-Length` and connection headers excepted."""
        content_type = self.content_type
        if self.body is None and not self.success:
            content_type = "text/plain; charset=utf-8"
        headers = {"Content-Type": content_type, **self.headers}
        if self.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(self.retry_after))
        return headers

    def grpc_metadata(self) -> list[tuple[str, str | bytes]]:
        """The trailing metadata."""
        metadata: list[tuple[str, str | bytes]] = [
            (name.lower(), text) for name, text in self.headers.items()
        ]
        if self.retry_after is not None:
            from google.protobuf.any_pb2 import Any as AnyMessage
            from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
            from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
            from grpc import StatusCode  # type: ignore[import-untyped]

            info = RetryInfo()
            info.retry_delay.FromNanoseconds(int(self.retry_after * 1e9))
            packed = AnyMessage()
            packed.Pack(info)
            status = Status(code=StatusCode[self.grpc_code].value[0], message=self.message, details=[packed])
            metadata.append(("grpc-status-details-bin", status.SerializeToString()))
        return metadata


OK = Answer()
"""Full success, as OTLP says it: status 200 or OK and an empty message."""

Answers = Answer | Sequence[Answer] | Callable[[ReceivedRequest], Answer | None] | None
"""How a server is told what to answer.

One answer for every request; a sequence of them, one a request, and success when it is used up; a function of
the request, which may return None for the usual answer; None: the usual answer.
"""
