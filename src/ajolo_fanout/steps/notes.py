"""What the steps note on a span about themselves: what was taken out of it, and why; never what it was."""

from __future__ import annotations

from collections.abc import Iterable

from ajolo_fanout.steps.attributes import Attributes

__all__ = ["LIMITED", "NOTES", "REDACTED", "write_note"]

REDACTED = "ajolo_fanout.redacted"
"""An array of `path: reason`, put there by redaction."""

LIMITED = "ajolo_fanout.limited"
"""An array of `path: what was cut`, put there by limits."""

NOTES = frozenset({REDACTED, LIMITED})

_MAX_LINES = 32
_MAX_LENGTH = 200


def write_note(attributes: Attributes, name: str, lines: Iterable[str]) -> None:
    """Note `lines` under `name`, each once: at most 32, of at most 200 characters. No lines, no note."""
    told = [_short(line) for line in dict.fromkeys(lines)]
    if len(told) > _MAX_LINES:
        told[_MAX_LINES - 1 :] = [f"and {len(told) - _MAX_LINES + 1} more"]
    if told:
        attributes[name] = tuple(told)


def _short(line: str) -> str:
    """The end of a line is its reason, so what is too long loses its middle."""
    if len(line) <= _MAX_LENGTH:
        return line
    end = min(len(line.rpartition(": ")[2]) + 2, _MAX_LENGTH // 2)
    return f"{line[: _MAX_LENGTH - end - 1]}…{line[-end:]}"
