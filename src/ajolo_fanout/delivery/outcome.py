"""What became of one request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, Protocol

import attrs

from ajolo_fanout.wording import printable, shortened

__all__ = ["EXCERPT_LENGTH", "Outcome", "Sender", "excerpt", "names_a_size"]

Kind = Literal["delivered", "partial", "retry", "rejected"]

EXCERPT_LENGTH = 200
"""Characters of a server's answer that may appear in an error."""


@attrs.frozen
class Outcome:
    """What became of one request, and what an operator should know of it.

    Attributes:
        kind: `delivered`; `partial` (some spans were refused, the request is never sent again); `retry`
            (nothing was taken, time may mend it); `rejected` (nothing was taken, the same again would not be
            either).
        status: What answered, short and stable, so that it can name a cause: `"403"`, `"UNAVAILABLE"`,
            `"time-out"`, `"refused"`.
        message: One line for the operator: the status, a masked excerpt of what the server said, the
            profile's hint. Of a delivered request: a warning, or empty.
        rejected: Of a partial outcome: how many spans were refused.
        delay: Seconds that the server asked to wait, or None where it said nothing.
        too_large: A smaller request might be taken: halve this one.
        refused_key: The credentials were refused (HTTP 401 or 403, gRPC UNAUTHENTICATED or
            PERMISSION_DENIED).
        mendable: Refused for something that an operator can mend on either side without another program: a
            key, a right, an address (HTTP 401, 403, 404 and their like in gRPC), a certificate.
        times: How often the request was made for it: a connection that was kept open had been closed, or a key
            had been renewed.
    """

    kind: Kind
    status: str = ""
    message: str = ""
    rejected: int = 0
    delay: float | None = None
    too_large: bool = False
    refused_key: bool = False
    mendable: bool = False
    times: int = 1


class Sender(Protocol):
    """Sends one request of one backend. `send` may run on two threads at a time; nothing of it raises."""

    def start(self) -> None:
        """Begin in this process: at first, and again in a forked child. Starts what threads `send` wants.

        CPython 3.12 starts none at exit, where the first request may be made.
        """
        ...

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:
        """Send an ExportTraceServiceRequest of `count` spans (uncompressed), within `timeout` seconds."""
        ...

    def may_have_arrived(self, thread: int) -> bool:
        """Whether anything of the request that `thread` (its ident) makes may have left, as far as can be told."""
        ...

    def abort(self) -> None:
        """End what is in flight and refuse everything from now on; never blocks."""
        ...

    def forsake(self) -> None:
        """In a forked child where the parent's greenlets live on: have them leave its connections alone."""
        ...

    def close(self) -> None:
        """Let go of connections, when nothing is in flight any more."""
        ...


_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_SPACES = re.compile(r"\s+")


def excerpt(text: str, mask: Callable[[str], str]) -> str:
    """The beginning of what a server said: no secrets, no control characters, at most 200 characters.

    Masked before and after the cleaning: cleaning may put together a secret that the server took apart, and
    may take apart one with several spaces in it. Cut last, so that no half of a secret slips past the mask.
    """
    shown = _SPACES.sub(" ", _CONTROLS.sub("", mask(text))).strip()
    shown = printable(shown, "")  # invisible letters of other kinds, and those that Unicode doesn't know
    return shortened(mask(shown), EXCERPT_LENGTH)


_A_REQUEST = r"(?:message|request|body|payload|entity)"
_TOO_LARGE = re.compile(rf"{_A_REQUEST}[^.]{{0,60}}?(?:larger than|too large|too big)", re.IGNORECASE)
_EXCEEDS = re.compile(rf"{_A_REQUEST}[^.]{{0,60}}?exceed", re.IGNORECASE)
_A_SIZE = re.compile(r"size|length|byte|\d ?[kmg]i?b\b|(?:body|payload|entity) exceed", re.IGNORECASE)
_A_RATE = re.compile(r"\b(?:rate|quota)", re.IGNORECASE)


def names_a_size(text: str) -> bool:
    """Whether a server's words are about the size of a request.

    Sources: grpc-go "grpc: received message larger than max (5 vs. 4)", tonic "Error, decoded message length
    too large: found 5 bytes, the limit is: 4 bytes", grpc-java "gRPC message exceeds maximum size 4", the
    Collector "request body too large". Tempo's "TRACE_TOO_LARGE: max size of trace … exceeded" is none: a
    smaller request doesn't mend it. Nor are "request rate limit exceeded", which would be answered with more
    requests, and "request failed: deadline exceeded".
    """
    if _A_RATE.search(text):
        return False
    return bool(_TOO_LARGE.search(text) or (_EXCEEDS.search(text) and _A_SIZE.search(text)))
