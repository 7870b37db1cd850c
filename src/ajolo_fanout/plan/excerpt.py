"""The piece of a file that a problem is about, as it may be shown: no string value, no comment.

A text that doesn't parse can't be told apart into keys and values, so of its lines only keys that the
grammar knows are shown; anything else could be a secret.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import attrs

from ajolo_fanout.config.backend import COMMON_KEYS, BackendSettings
from ajolo_fanout.config.convert import fields_of
from ajolo_fanout.config.document import Document
from ajolo_fanout.config.model import FileSettings
from ajolo_fanout.config.report import keys_of
from ajolo_fanout.errors import Problem
from ajolo_fanout.profiles import catalog
from ajolo_fanout.values import key_of

__all__ = ["Excerpt", "excerpt", "excerpt_of_text"]

_HIDDEN = '"…"'
_TOKEN = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*'")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}|\'\'\'(?:[^\']|\'{1,2}(?!\'))*\'{3,5}|"(?:[^"\\]|\\.)*"|\'[^\']*\''
)
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'")
_HARMLESS = re.compile(r"[\w.*?/-]{1,60}")
_KEY = re.compile(r"\s*([a-z_]+(?:\.[a-z_]+)*)\s*=\s*")
_HEADER = re.compile(r"\s*\[{1,2}([a-z_]+(?:\.[a-z_]+)*)\]{1,2}")


@attrs.frozen
class Excerpt:
    """One line of a file, and what in it is meant.

    Attributes:
        line: 1-based.
        text: The line as it may be shown.
        start: The 0-based character of `text` at which the key begins.
        length: How many characters it has, at least 1.
    """

    line: int
    text: str
    start: int
    length: int


def excerpt(problem: Problem, document: Document) -> Excerpt | None:
    """The line that `problem` is about; None where it has no line in `document`."""
    if problem.line is None or problem.file != document.name:
        return None
    text = document.line_text(problem.line)
    lines = document.text.split("\n")
    if not text.strip() or problem.line > len(lines):
        return None
    start = min(_shown_at(lines[problem.line - 1], text, (problem.column or 1) - 1), len(text) - 1)
    text, start = _without_odd_keys(text, start)
    return Excerpt(problem.line, text, start, _length(text, start))


def excerpt_of_text(problem: Problem, text: str) -> Excerpt | None:
    """The same for a text that doesn't parse."""
    lines = text.replace("\r\n", "\n").split("\n")
    if problem.line is None or problem.line > len(lines):
        return None
    raw = lines[problem.line - 1]
    found = _KEY.match(raw) or _HEADER.match(raw)
    if found is None or not set(found[1].split(".")) <= _words():
        return Excerpt(problem.line, "…", 0, 1) if raw.strip() else None
    more = bool(raw[found.end() :].strip())
    shown = found[0] + "…" * more
    start = min((problem.column or 1) - 1, len(shown) - more)
    return Excerpt(problem.line, shown, start, _length(shown, start))


def _length(text: str, start: int) -> int:
    token = _TOKEN.match(text, start)
    return len(token[0]) if token is not None else 1


def _without_odd_keys(text: str, start: int) -> tuple[str, int]:
    """A line less odd quoted keys: somebody may have pasted a whole `Authorization: …` there."""
    parts, at, moved = [], 0, start
    for found in _QUOTED.finditer(text):
        if not _HARMLESS.fullmatch(found[0][1:-1]):
            parts += [text[at : found.start()], _HIDDEN]
            shorter = len(found[0]) - len(_HIDDEN)
            if found.end() <= start:
                moved -= shorter
            elif found.start() < start:
                moved -= start - found.start()
            at = found.end()
    return "".join([*parts, text[at:]]), moved


def _shown_at(raw: str, shown: str, offset: int) -> int:
    """Where the character at `offset` of a line stands once its string values are `"…"`."""
    if shown.startswith("…"):
        return 0  # the line begins inside a string of several lines
    at = to = 0
    while at < offset:
        if raw[at] in "\"'" and shown.startswith(_HIDDEN, to):
            string = _STRING.match(raw, at)
            at = string.end() if string is not None else len(raw)
            if at > offset:
                return to
            to += len(_HIDDEN)
        else:
            at, to = at + 1, to + 1
    return to


@functools.cache
def _words() -> frozenset[str]:
    """Every key that a file may have, and the profiles' names, which many backends bear."""
    inputs = {one.name for name in catalog.names() for one in catalog.load(name).inputs}
    return COMMON_KEYS | inputs | frozenset(catalog.names()) | _keys(FileSettings) | _keys(BackendSettings)


def _keys(cls: type[Any]) -> frozenset[str]:
    found = set(keys_of(cls))
    for field in fields_of(cls):
        if attrs.has(field.type) and key_of(field) != "tests":  # type: ignore[arg-type]
            found |= _keys(field.type)
    return frozenset(found)
