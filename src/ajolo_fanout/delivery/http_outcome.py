"""What an HTTP answer to an OTLP request means.

OTLP's own rules (opentelemetry-proto, docs/specification.md): success is 2xx, retryable are 429, 502, 503 and
504 only, `Retry-After` is obeyed. Beyond them, from experience: a redirect or a page of HTML is nobody who
took spans, and an unparsable 2xx body is taken at its word, with a warning.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import http
import math
import re
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Literal

from ajolo_fanout.delivery.answers import CA_HINT, CERTIFICATE_HINT, Reading, refused
from ajolo_fanout.delivery.outcome import Outcome, excerpt, names_a_size
from ajolo_fanout.delivery.rpc_status import status_message
from ajolo_fanout.otlp.response import read_response

__all__ = ["http_outcome", "retry_after", "unreachable"]

RETRYABLE = frozenset({429, 502, 503, 504})


def http_outcome(
    reading: Reading,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    count: int,
    *,
    now: Callable[[], float] = time.time,
) -> Outcome:
    """The outcome of one answer. Whatever the server sent, this doesn't raise.

    Args:
        reading: How this backend's answers are read.
        status: The HTTP status.
        headers: Response headers, names in any case.
        body: The decompressed body, or its beginning.
        count: Spans in the request.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    content_type = lower.get("content-type", "")
    if 200 <= status < 300:
        return _success(reading, status, content_type, body, count)
    said = _said(content_type, body)
    label = _label(status)
    if 300 <= status < 400 and "location" in lower:
        where = excerpt(lower["location"], reading.mask)
        said = f"redirects to {where}; redirects are never followed, they would carry the key. {said}"
    otlp: Literal["retry", "too_large", "rejected"] = "rejected"
    if status in RETRYABLE:
        otlp = "retry"
    elif status == 413 or (status == 400 and names_a_size(said)):
        otlp = "too_large"
    delay = retry_after(lower.get("retry-after", ""), now)
    return refused(reading, otlp, said=said, status=status, label=label, delay=delay)


def _success(reading: Reading, status: int, content_type: str, body: bytes, count: int) -> Outcome:
    response = read_response(content_type, body)
    if response.kind == "html":
        text = excerpt(body.decode("utf-8", "replace"), reading.mask)
        return Outcome(
            "rejected",
            f"{status} HTML",
            f"{_label(status)} with a page of HTML: a proxy or a login page answered, "
            f'not {reading.backend}: "{text}"',
        )
    said = excerpt(response.message, reading.mask)
    if response.rejected > 0:
        rejected = min(response.rejected, count)
        message = f"{reading.backend} took {count - rejected} of {count} spans"
        return Outcome("partial", str(status), message + (f': "{said}"' if said else ""), rejected=rejected)
    if response.kind == "other":
        text = excerpt(body.decode("utf-8", "replace"), reading.mask)
        warning = f'{_label(status)} from {reading.backend} with a body that isn\'t OTLP: "{text}"'
        return Outcome("delivered", str(status), warning)
    if said and response.kind == "otlp":  # `error_message` beside no rejected span: a warning, as OTLP says
        return Outcome("delivered", str(status), f'{reading.backend} warns: "{said}"')
    return Outcome("delivered", str(status))


def _said(content_type: str, body: bytes) -> str:
    """What an error's body says; of a `google.rpc.Status`, which OTLP puts there, its message."""
    if "protobuf" in content_type:
        message = status_message(body)
        if message is not None:
            return message
    return body.decode("utf-8", "replace")


def _label(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after(value: str, now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait as a `Retry-After` says, a number or an HTTP date; None where it says nothing."""
    value = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
        if when.tzinfo is None:  # "-0000": no zone was said; HTTP dates are GMT
            when = when.replace(tzinfo=dt.timezone.utc)
        seconds = when.timestamp() - now()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def unreachable(reading: Reading, error: BaseException, host: str, *, certificate: bool = True) -> Outcome:
    """The outcome of a request that got no answer: almost always worth another try.

    Args:
        reading: How this backend's answers are read.
        error: What came in the answer's place.
        host: Whose answer it would have been.
        certificate: False where we showed none on a TLS connection. TLS 1.3 lets the other side refuse that
            only after the request has begun, and whether its reason arrives before its reset is luck.
    """
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            why = excerpt(one.verify_message or str(one), reading.mask)
            message = f"the certificate of {host} can't be verified: {why} ({CA_HINT})"
            return Outcome("rejected", "TLS", message, mendable=True)
    kind = _kind(chain)
    hint = "" if certificate else f" ({CERTIFICATE_HINT})"
    if kind in _WORDS:
        return Outcome("retry", kind, f"{host}: {_WORDS[kind]}{hint if kind == 'reset' else ''}")
    text = excerpt(_innermost(chain), reading.mask)
    if kind == "TLS":
        return Outcome("rejected", "TLS", f"no TLS connection with {host}: {text}{hint}", mendable=True)
    return Outcome("retry", kind, f"{host}: the connection failed: {text}")


_WORDS = {
    "time-out": "no answer in time",
    "unknown host": "the host's name can't be resolved",
    "refused": "the connection was refused",
    "reset": "the connection was closed before the answer",
}


def _innermost(chain: list[BaseException]) -> str:
    """The operating system's or OpenSSL's own words, where there are any: urllib3 names its objects."""
    for one in reversed(chain):
        if isinstance(one, OSError) and one.strerror:
            return str(one.strerror)
    return str(chain[0])


def _kind(chain: list[BaseException]) -> str:
    """A short stable name of what happened, from an exception and its causes."""
    names = {type(one).__name__ for one in chain}
    if any(isinstance(one, TimeoutError) for one in chain) or names & {
        "ReadTimeoutError",
        "ConnectTimeoutError",
    }:
        return "time-out"
    if "NameResolutionError" in names or "gaierror" in names:
        return "unknown host"
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return "refused"
    # A TLS connection that ends in the middle is a network's failure; one that the other side refuses
    # (a client certificate is missing, no common version) stays refused.
    cut = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
    if any(isinstance(one, ssl.SSLError) and not isinstance(one, cut) for one in chain):
        return "TLS"
    return "reset" if any(isinstance(one, cut) for one in chain) else "connection"


def _chain(error: BaseException) -> list[BaseException]:
    """`error` and everything it was raised from, wherever it is kept: cause, context, `reason`, arguments."""
    found: list[BaseException] = []
    todo: list[BaseException] = [error]
    while todo and len(found) < 20:
        one = todo.pop()
        if one in found:
            continue
        found.append(one)
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        todo.extend(nested for nested in inner if isinstance(nested, BaseException))
    return found
