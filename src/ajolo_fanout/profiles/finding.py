"""What resolving a backend found wrong, placed by key and not yet by line."""

from __future__ import annotations

import re
from typing import Literal

import attrs

from ajolo_fanout.config.substitution import FromEnvironment

__all__ = ["Finding", "shown"]

_HARMLESS = re.compile(r"[A-Za-z0-9 ._:/\[\]-]{1,24}")


@attrs.frozen
class Finding:
    """One thing that is wrong with a backend.

    Attributes:
        key: The key below the backend's own table, such as `("site",)` or `("headers", "x-team")`;
            empty for the backend as a whole.
        message: What was found, what is expected, and the nearest thing that works. Never a secret.
        severity: `"error"` or `"warning"`.
        code: A short stable name of the kind of finding.
    """

    key: tuple[str, ...]
    message: str
    severity: Literal["error", "warning"] = "error"
    code: str = ""


def shown(text: str) -> str:
    """A user's text in quotes.

    `"…"` for one that came from the environment, or is so long or odd that it may be something else pasted.
    """
    harmless = _HARMLESS.fullmatch(text) and not isinstance(text, FromEnvironment)
    return f'"{text}"' if harmless else '"…"'
