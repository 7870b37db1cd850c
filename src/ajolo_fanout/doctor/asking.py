"""Requests that carry no span: the server's clock, and the vendor's own check of the credentials."""

from __future__ import annotations

import datetime as dt
import email.utils
import time
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.delivery.connection import Line
from ajolo_fanout.delivery.headers import reveal, user_agent
from ajolo_fanout.delivery.http import exchange, pool_manager
from ajolo_fanout.delivery.http_outcome import unreachable
from ajolo_fanout.delivery.outcome import excerpt
from ajolo_fanout.delivery.tls import make_context
from ajolo_fanout.doctor.findings import Check
from ajolo_fanout.profiles.target import SelfTestRequest
from ajolo_fanout.values import Secret

__all__ = ["Reply", "Said", "ask", "clock", "credentials"]

_MOST_SKEW = 5 * 60
"""Seconds that two clocks may differ by. Vendors refuse or misplace spans from some ten minutes on (Dynatrace's
OTLP page names 10 for the future), and TLS and signed requests have their own limits around there."""

_MINUTE = 60


@attrs.frozen
class Reply:
    """An answer, and when it came.

    Attributes:
        status: The HTTP status.
        headers: By name in lower case.
        body: The beginning of the body.
        at: The middle between asking and being answered, seconds since the epoch.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float


def ask(
    method: str,
    url: str,
    headers: Mapping[str, Secret],
    tls: TlsSettings,
    seconds: float,
    reading: Reading,
) -> Reply | str:
    """One request, by the same proxy and the same trust as the spans; never follows a redirect.

    Returns:
        The answer, or why there is none, in words without secrets.
    """
    line = Line()
    line.begin(time.monotonic() + seconds)
    host = url.partition("://")[2].partition("/")[0]
    try:
        context = make_context(tls) if url.startswith("https://") else None
        manager = pool_manager(url, line, context)
        try:
            started = time.time()
            all_headers = {"user-agent": user_agent(), **reveal(headers)}
            status, answered, body = exchange(manager, line, method, url, all_headers)
            at = (started + time.time()) / 2
        finally:
            manager.clear()
    except UnicodeEncodeError:
        return "a header holds a character that HTTP can't carry"
    except Exception as error:  # whatever keeps a request from being answered is what is to be told
        return unreachable(reading, error, host).message
    return Reply(status, {name.lower(): value for name, value in answered.items()}, body, at)


def clock(reply: Reply | str) -> Check:
    """The check `clock`: the `Date` of an answer against this machine's time."""
    if isinstance(reply, str):
        return Check("clock", "skipped", f"not known: {reply}")
    try:
        server = email.utils.parsedate_to_datetime(reply.headers.get("date", ""))
        age = float(reply.headers.get("age", 0))  # an answer out of a cache bears the time of its making
    except (ValueError, TypeError, IndexError):
        return Check("clock", "skipped", "not known: the server doesn't say the time")
    if server.tzinfo is None:
        server = server.replace(tzinfo=dt.timezone.utc)
    ahead = reply.at - (server.timestamp() + 0.5 + age)  # the header counts whole seconds
    if abs(ahead) <= _MOST_SKEW:
        return Check("clock", "ok", f"within {max(1, round(abs(ahead)))} s of the server's")
    way = "ahead of" if ahead > 0 else "behind"
    said = f"this machine's clock is {_long(abs(ahead))} {way} the server's"
    advice = "set it (NTP); spans are stamped with it, and land where nobody looks, or are refused"
    return Check("clock", "failed", said, advice, "clock-off")


def _long(seconds: float) -> str:
    minutes = round(seconds / _MINUTE)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{round(minutes / 60)} hours" if minutes < 48 * 60 else f"{round(minutes / 1440)} days"


@attrs.frozen
class Said:
    """What a vendor said of credentials.

    Attributes:
        verdict: `"valid"`, `"invalid"`, or `"unclear"` for anything else.
        said: That in words.
        next: What to do next.
    """

    verdict: Literal["valid", "invalid", "unclear"]
    said: str
    next: str = ""


def credentials(test: SelfTestRequest, reply: Reply | str, mask: Callable[[str], str]) -> Said:
    """What the answer to a self-test means."""
    if isinstance(reply, str):
        return Said("unclear", reply)
    known = next((one for one in test.answers if one.status == reply.status), None)
    if known is not None and known.verdict == "valid":
        return Said("valid", test.proves or "the credentials are good")
    quoted = excerpt(reply.body.decode("utf-8", "replace"), mask)
    said = f"{reply.status} from the vendor's own check" + (f': "{quoted}"' if quoted else "")
    if known is None:
        return Said("unclear", said)
    return Said(known.verdict, said, mask(known.hint))
