"""What the answers of both protocols have in common: the profile's word on them, and how they are worded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs

from ajolo_fanout.delivery.outcome import Outcome, excerpt
from ajolo_fanout.profiles.model import Answer
from ajolo_fanout.values import Mask, Secret

__all__ = ["CA_HINT", "CERTIFICATE_HINT", "Reading", "refused"]

_NO_MASK = Mask(())

_KEY = frozenset({"401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"})
_MENDABLE = _KEY | {"404", "NOT_FOUND", "UNIMPLEMENTED"}

CA_HINT = "`tls.ca_file` names another authority to trust"
CERTIFICATE_HINT = "if it wants a client certificate: `tls.cert_file` and `tls.key_file` name one"


@attrs.frozen
class Reading:
    """What is needed to read one backend's answers.

    Attributes:
        answers: What its profile knows of its answers, most particular first.
        mask: Takes the secrets of our requests out of what it says of them.
        backend: What the backend is, in words, for messages: `"Datadog"`.
    """

    answers: tuple[Answer, ...] = ()
    mask: Callable[[str], str] = _NO_MASK
    backend: str = "the backend"

    @classmethod
    def of(cls, answers: tuple[Answer, ...], secrets: tuple[Secret, ...], backend: str) -> Reading:
        """A reading that masks `secrets` in every form we make of them."""
        return cls(answers, Mask(secrets), backend)


def refused(
    reading: Reading,
    otlp: Literal["retry", "too_large", "rejected"],
    *,
    said: str,
    status: int | None = None,
    code: str | None = None,
    label: str = "",
    delay: float | None = None,
) -> Outcome:
    """The outcome of an answer that isn't success.

    Args:
        reading: How this backend's answers are read.
        otlp: What OTLP's own rules make of the answer; the profile's entry, where one fits, overrules it.
        said: What the server wrote, as it came.
        status: The HTTP status.
        code: The gRPC code's name.
        label: How status or code stand in the message, such as `"403 Forbidden"`.
        delay: The server's own delay in seconds.
    """
    known = next((answer for answer in reading.answers if answer.fits(status, code, said)), None)
    meaning = known.meaning if known is not None else otlp
    short = str(status) if status is not None else str(code)
    quoted = excerpt(said, reading.mask)
    message = f"{label or short} from {reading.backend}"
    if quoted:
        message += f': "{quoted}"'
    if known is not None and known.hint:
        message += f" ({reading.mask(known.hint)})"
    return Outcome(
        kind="retry" if meaning == "retry" else "rejected",
        status=short,
        message=message,
        delay=delay if meaning == "retry" else None,
        too_large=meaning == "too_large",
        refused_key=short in _KEY,
        mendable=meaning == "rejected" and short in _MENDABLE,
    )
