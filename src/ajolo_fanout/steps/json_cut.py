"""Cuts a JSON text so that it is JSON still: strings get shorter, what comes after the cut is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["cut_json"]

_MARK = "..."
"""Ends a string that was cut. ASCII, so that what is added has no more bytes than what made room for it."""

# Every alternative matches whatever follows, so that no match fails and is tried again: linear on any text.
_TOKEN = re.compile(
    r'\s+|"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"?|[\[\]{},:]|[^\s\[\]{},:"]+'
)
_LITERAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_BROKEN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_CLOSER = {"{": "}", "[": "]"}
# What may come next, by what there was: a state is a set of kinds of tokens.
_VALUE, _FIRST_VALUE, _KEY, _FIRST_KEY, _COLON, _MORE, _END = range(7)

_Open = Any  # None, or the innermost open bracket and what it stands in: ("[", ("{", None))


class _NotJson(Exception):  # noqa: N818 - control flow within this module
    """The text isn't JSON as far as it was read."""


def cut_json(text: str, length: int) -> str | None:
    """As much of the array or object `text` as fits into `length` characters, and all of it JSON.

    One pass over the text up to the cut. A string that the cut is in ends with `...`, where there is room for
    it; a key goes with its value.

    Returns:
        JSON; None where the text isn't JSON as far as it was read, or nothing of it fits.
    """
    if text[:1] not in _CLOSER and text.lstrip()[:1] not in _CLOSER:
        return None
    try:
        return _Cut(text, length).run()
    except _NotJson:
        return None


class _Cut:
    """One cut: where the text may end, as far as it was read."""

    __slots__ = ("_best", "_depth", "_length", "_open", "_part", "_state", "_text")

    def __init__(self, text: str, length: int) -> None:
        self._text = text
        self._length = length
        self._state = _VALUE
        self._open: _Open = None
        self._depth = 0
        self._best: tuple[int, str, _Open] | None = None
        self._part = text[:length]

    def run(self) -> str | None:
        for start, token in self._tokens():
            if not self._take(start, token):
                break
        if self._best is None:
            return None
        end, added, still_open = self._best
        closers = "".join(_CLOSER[bracket] for bracket in _brackets(still_open))
        return f"{self._text[:end]}{added}{closers}"

    def _tokens(self) -> Iterator[tuple[int, str]]:
        end = 0
        for found in _TOKEN.finditer(self._part):
            if found.start() != end:  # a control character within a string, a backslash that escapes nothing
                raise _NotJson
            end = found.end()
            if not found[0].isspace():
                yield found.start(), found[0]

    def _take(self, start: int, token: str) -> bool:
        """Go on with `token`; whether there may be room for more."""
        state, end = self._state, start + len(token)
        if token in ("{", "["):
            self._expect(state in (_VALUE, _FIRST_VALUE))
            self._open, self._depth = (token, self._open), self._depth + 1
            self._state = _FIRST_KEY if token == "{" else _FIRST_VALUE  # noqa: S105 - a bracket
            return self._may_end(end)
        if token in ("}", "]"):
            self._expect(state in (_MORE, _FIRST_KEY, _FIRST_VALUE) and _CLOSER[self._open[0]] == token)
            self._open, self._depth = self._open[1], self._depth - 1
            return self._complete(end)
        if token == ",":  # noqa: S105
            self._expect(state == _MORE)
            self._state = _KEY if self._open[0] == "{" else _VALUE
            return True
        if token == ":":  # noqa: S105
            self._expect(state == _COLON)
            self._state = _VALUE
            return True
        if token[0] == '"':
            return self._string(start, token)
        if end == len(self._part) and end < len(self._text):
            return False  # there may be more of it behind the cut
        self._expect(state in (_VALUE, _FIRST_VALUE) and _LITERAL.fullmatch(token) is not None)
        return self._complete(end)

    def _string(self, start: int, token: str) -> bool:
        end = start + len(token)
        closed = len(token) > 1 and token[-1] == '"'
        if not closed:
            self._expect(end == len(self._part) or _BROKEN_ESCAPE.match(self._part, end) is not None)
        if self._state in (_KEY, _FIRST_KEY):
            self._state = _COLON
            return closed
        self._expect(self._state in (_VALUE, _FIRST_VALUE))
        if closed and end + self._depth <= self._length:
            return self._complete(end)
        room = self._length - start - 2 - self._depth  # less two quotes and the brackets
        if room >= 0:
            mark = _MARK if room >= len(_MARK) else ""
            content = _whole(token[1 : 1 + room - len(mark)])
            self._best = (start + 1 + len(content), f'{mark}"', self._open)
        return False

    def _complete(self, end: int) -> bool:
        """A value ends here."""
        self._state = _MORE if self._open is not None else _END
        return self._may_end(end)

    def _may_end(self, end: int) -> bool:
        if end + self._depth > self._length:
            return False
        self._best = (end, "", self._open)
        return True

    def _expect(self, right: bool) -> None:
        if not right:
            raise _NotJson


def _brackets(still_open: _Open) -> Iterator[str]:
    while still_open is not None:
        yield still_open[0]
        still_open = still_open[1]


def _whole(content: str) -> str:
    """The content of a string without the half of an escape, or of a pair of escapes, at its end."""
    broken = _last_escape(content, _BROKEN_ESCAPE)
    content = content[:broken]
    return content[: _last_escape(content, _HIGH_SURROGATE)]


def _last_escape(content: str, pattern: re.Pattern[str]) -> int:
    """Where an escape at the end of `content` that fits `pattern` begins; the end where there is none."""
    found = pattern.search(content, max(0, len(content) - 6))
    if found is None:
        return len(content)
    start = found.start()
    before = len(content[:start]) - len(content[:start].rstrip("\\"))
    return start if before % 2 == 0 else len(content)
