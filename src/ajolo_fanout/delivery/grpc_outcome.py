"""What a gRPC answer to an OTLP request means.

OTLP's own rules: retryable are CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and
DATA_LOSS; RESOURCE_EXHAUSTED only with a RetryInfo. Beyond them: a message that is too large comes as
RESOURCE_EXHAUSTED (grpc-go, grpc-java) or OUT_OF_RANGE (tonic) and names a size; a certificate that can't be
verified comes as UNAVAILABLE and doesn't mend itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import attrs

from ajolo_fanout.delivery.answers import CA_HINT, CERTIFICATE_HINT, Reading, refused
from ajolo_fanout.delivery.outcome import Outcome, excerpt, names_a_size
from ajolo_fanout.delivery.rpc_status import retry_delay
from ajolo_fanout.otlp.response import read_response

__all__ = ["ANSWER_LIMIT", "grpc_failure", "grpc_success"]

RETRYABLE = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)

_UNTRUSTED = re.compile(r"certificate[ _]verify[ _]failed|hostname verification|peer name", re.IGNORECASE)

# gRPC's words where the other side ends TLS without having been asked anything yet; its reason isn't among them.
_CUT = re.compile(r"TSI_|handshake|socket closed|connection reset", re.IGNORECASE)

ANSWER_LIMIT = 4 * 1024**2 + 1
"""Bytes of an answer that are taken; OTLP's own are tiny. Odd, so that gRPC's words for an answer that is
larger ("Received message larger than max (5000000 vs. 4194305)") aren't taken for those of a server to which
a request was too large: the usual limit is 4 MiB."""

Trailers = Sequence[tuple[str, str | bytes]]


def grpc_success(reading: Reading, body: bytes, count: int) -> Outcome:
    """The outcome of status OK with `body`, an ExportTraceServiceResponse of a request of `count` spans."""
    response = read_response("application/x-protobuf", body)
    said = excerpt(response.message, reading.mask)
    if response.rejected > 0:
        rejected = min(response.rejected, count)
        message = f"{reading.backend} took {count - rejected} of {count} spans"
        return Outcome("partial", "OK", message + (f': "{said}"' if said else ""), rejected=rejected)
    return Outcome("delivered", "OK", f'{reading.backend} warns: "{said}"' if said else "")


def grpc_failure(
    reading: Reading, code: str, details: str, trailers: Trailers, *, certificate: bool = True
) -> Outcome:
    """The outcome of any other status. Whatever the server sent, this doesn't raise.

    Args:
        reading: How this backend's answers are read.
        code: The status code's name, such as `"UNAVAILABLE"`.
        details: The status message.
        trailers: The trailing metadata.
        certificate: False where we showed none on a TLS connection.
    """
    if code == "RESOURCE_EXHAUSTED" and f"vs. {ANSWER_LIMIT})" in details:
        # Only a success has a message: the spans were taken, and would be again.
        warning = f"OK from {reading.backend} with an answer of more than {ANSWER_LIMIT - 1} bytes"
        return Outcome("delivered", "OK", warning)
    asked, delay = retry_delay(trailers)
    meaning: Literal["retry", "too_large", "rejected"] = "rejected"
    if code in ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE") and names_a_size(details):
        meaning = "too_large"
    elif code in RETRYABLE or (code == "RESOURCE_EXHAUSTED" and asked):
        meaning = "retry"
    if code == "UNAVAILABLE" and _UNTRUSTED.search(details):
        why = excerpt(details, reading.mask)
        message = f"the certificate of {reading.backend} can't be verified: {why} ({CA_HINT})"
        return Outcome("rejected", "TLS", message, mendable=True)
    outcome = refused(reading, meaning, said=details, code=code, delay=delay)
    if code == "UNAVAILABLE" and not certificate and _CUT.search(details):
        return attrs.evolve(outcome, message=f"{outcome.message} ({CERTIFICATE_HINT})")
    return outcome
