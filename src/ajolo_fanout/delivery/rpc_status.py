"""Reading `google.rpc.Status` and `RetryInfo`: what servers say of an error besides its code."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

__all__ = ["retry_delay", "status_message"]

_DETAILS = "grpc-status-details-bin"
_RETRY_INFO = "google.rpc.retryinfo-bin"


def status_message(body: bytes) -> str | None:
    """The message of a serialized `google.rpc.Status`; None when `body` is none."""
    try:
        return str(Status.FromString(body).message)
    except DecodeError:
        return None


def retry_delay(trailers: Sequence[tuple[str, str | bytes]]) -> tuple[bool, float | None]:
    """Whether a RetryInfo allows another try, and after how many seconds (None: it doesn't say).

    Args:
        trailers: The trailing metadata of a gRPC answer; details that can't be read say nothing.
    """
    for name, value in trailers:
        raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
        try:
            if name == _RETRY_INFO:
                return True, _seconds(raw)
            if name == _DETAILS:
                for detail in Status.FromString(raw).details:
                    if detail.Is(RetryInfo.DESCRIPTOR):
                        return True, _seconds(detail.value)
        except DecodeError:
            continue
    return False, None


def _seconds(retry_info: bytes) -> float | None:
    info = RetryInfo.FromString(retry_info)
    if not info.HasField("retry_delay"):
        return None
    return max(0.0, float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9)
