"""Where something stands in a file, and how its key is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import attrs

from ajolo_fanout.config.veil import veiled
from ajolo_fanout.errors import Problem, Severity

__all__ = ["KeyPath", "Locate", "Place", "Position", "dotted"]

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""The way to a value: table keys, and 0-based indexes of array elements."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@attrs.frozen
class Position:
    """A place in a text: 1-based line, and 1-based column in characters."""

    line: int
    column: int


@attrs.frozen
class Place:
    """A problem without its message.

    Attributes:
        file: The file's name as the user gave it.
        line: 1-based, None where there is no line.
        column: 1-based, None where there is no line.
        key: The dotted key, as the user would write it.
    """

    file: str = ""
    line: int | None = None
    column: int | None = None
    key: str = ""

    def problem(self, message: str, code: str, severity: Severity = "error") -> Problem:
        """The problem that stands here."""
        return Problem(message, severity, self.file, self.line, self.column, self.key, code)


Locate: TypeAlias = Callable[[KeyPath], Place]
"""Says where the value at a path came from; a path that isn't there has the place of its nearest ancestor."""


def dotted(path: KeyPath) -> str:
    """`path` as one would write it: `backends.x.processors[0].attributes."team.name"`.

    Characters that can't be printed are escaped, so that no key steers a terminal; what may be a credential
    stands as `"…"`.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = veiled(part)
            text += ("." if text else "") + (shown if _BARE.fullmatch(shown) else _quoted(shown))
    return text


def _quoted(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
