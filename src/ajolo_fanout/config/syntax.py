"""What is wrong with a text that isn't TOML, in our words.

tomli says where and what, but quotes the file while doing so, and the file may hold secrets. So its message
is only recognised, never passed on, and nothing of the line but keys is ever shown.
"""

from __future__ import annotations

import bisect
import re

import attrs
import tomli

from ajolo_fanout.config.places import KeyPath, Position, dotted
from ajolo_fanout.config.scan import Scan, scan
from ajolo_fanout.errors import Problem

__all__ = ["Lines", "explain", "long_number", "too_deep"]

_TWICE = ("Cannot declare", "Cannot overwrite", "Cannot mutate", "Cannot redefine", "Duplicate inline")
"""How tomli's messages begin where something is written twice."""

_DIGITS = re.compile(r"[0-9](?:_?[0-9]){999,}")
"""CPython can be set to read no more digits than 640; a thousand are no setting of ours in any case."""

_CURLY = "\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"

_WORDS = (
    ("Invalid statement", "expected a key, a [table] header or a comment here"),
    (
        "Invalid initial character for a key part",
        "a key is letters, digits, - and _, or is written in quotes",
    ),
    (
        "Expected '=' after a key",
        'expected "=" behind the key; a key with other characters is written in quotes',
    ),
    (
        "Expected newline or end of document",
        'something follows the value: each key has a line of its own, and a quote in a string is written \\"',
    ),
    ("Unclosed array", 'expected "," or "]" here: the array that begins on line {open} is not closed'),
    (
        "Unclosed inline table",
        'expected "," or "}}" here: the table that begins on line {open} is not closed',
    ),
    ("Unterminated string", "the string that begins on line {open} is not closed"),
    ('Expected "\'"', "the string that begins on line {open} is not closed"),
    ("Expected \"'''\"", "the string that begins on line {open} is not closed"),
    ("Expected ']]'", 'expected "]]" at the end of this header'),
    ("Expected ']'", 'expected "]" at the end of this header'),
    (
        "Unescaped '\\'",
        "a backslash in a string is written \\\\; in a string in single quotes it stands for itself",
    ),
    ("Invalid hex value", "\\x, \\u and \\U in a string take 2, 4 and 8 hexadecimal digits"),
    ("Escaped character is not a Unicode scalar", "a \\u or \\U in a string names no character"),
    ("Invalid date or datetime", "there is no such date or time"),
)


class Lines:
    """Offsets of a text as lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def position(self, offset: int) -> Position:
        """The line and column of `offset`."""
        line = bisect.bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)


def explain(text: str, error: tomli.TOMLDecodeError, name: str) -> Problem:
    """The problem that `error` is; `text` is what tomli read, with CRLF made LF."""
    lines = Lines(text)
    offset = min(max(error.pos, 0), len(text))
    found = scan(text, offset)
    if error.msg.startswith(_TWICE) and found.last is not None:
        return _twice(found, lines, name)
    position = lines.position(offset)
    message = _message(text, offset, error.msg, found, lines)
    return Problem(
        f"not TOML at column {position.column}: {message}",
        file=name,
        line=position.line,
        column=position.column,
        code="syntax",
    )


def too_deep(name: str) -> Problem:
    """The problem of brackets or keys nested by the hundred."""
    return Problem("not readable: tables or arrays are nested too deeply", file=name, code="syntax")


def long_number(text: str, name: str) -> Problem:
    """The problem of an integer of more digits than CPython reads (4,300 unless it is told otherwise)."""
    found = _DIGITS.search(text)
    assert found is not None
    line, column = attrs.astuple(Lines(text).position(found.start()))
    message = "not readable: a number has thousands of digits"
    return Problem(message, file=name, line=line, column=column, code="syntax")


def _twice(found: Scan, lines: Lines, name: str) -> Problem:
    """A key or a table that is there already, with the line on which it first was."""
    again = found.last
    assert again is not None
    here = lines.position(again.start)
    path, first = _defined_before(again.path, again.start, found)
    line, what = lines.position(first).line, _named(path)
    key = again.path[:-1] if isinstance(again.path[-1], int) else again.path
    if not again.header and path == key:
        message = f"this key is written twice, first on line {line}; remove one of the two"
    elif not again.header:
        message = f"{what} is written already, on line {line}; write this key there"
    elif again.header == "[table]" and key != again.path:
        message = (
            f"this is an array of tables since line {line}; another element begins with [[{_named(key)}]]"
        )
    elif path == key:
        thing = "table" if again.header == "[table]" else "array"
        message = f"this {thing} is there already, on line {line}; move these keys there, without this header"
    else:
        message = f"{what} is written already, on line {line}, and can't be opened again; write this there"
    code = "duplicate-table" if again.header else "duplicate-key"
    return Problem(message, file=name, line=here.line, column=here.column, key=_named(key), code=code)


def _named(path: KeyPath) -> str:
    """`path` for a message; in a text that doesn't parse, a part with a blank may be anything."""
    return dotted(tuple("…" if isinstance(part, str) and " " in part else part for part in path))


def _defined_before(path: KeyPath, start: int, found: Scan) -> tuple[KeyPath, int]:
    """The longest part of `path` that was mentioned before offset `start`, and where."""
    for length in range(len(path), 0, -1):
        first = found.first.get(path[:length], start)
        if first < start and isinstance(path[length - 1], str):
            return path[:length], first
    return path, start


def _message(text: str, offset: int, said: str, found: Scan, lines: Lines) -> str:
    rest = text[offset : offset + 1]
    if rest and rest in _CURLY:
        return "these are typographic quotes; TOML takes the straight ones, \" and '"
    if said == "Invalid value":
        return _no_value(text[offset : offset + 6])
    opened = lines.position(found.open[-1] if found.open else offset).line
    if said.startswith(("Illegal character", "Found invalid character")):
        if rest == "\n":
            return f"the string that begins on line {opened} is not closed on its line"
        return "a control character stands here; in a string it is written \\uXXXX"
    for begins, words in _WORDS:
        if said.startswith(begins):
            return words.format(open=opened)
    return "this can't be read"


def _no_value(rest: str) -> str:
    if not rest.strip() or rest[0] in "\n#":
        return 'a value is missing behind the "="'
    if re.match(r"(?i)(true|false)\b", rest):
        return "true and false are written in small letters"
    return "expected a value; text is written in quotes, and a number is digits alone"
