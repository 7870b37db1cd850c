"""Where keys, strings and comments stand in a TOML text: a scan that need not judge.

It reads only what tomli has accepted (TOML 1.1), so everything it meets is well-formed and it never has to
decide what is allowed. What a quoted key says is asked of tomli itself, so that there is one reading only.
The same scan, stopped at the place where tomli gave up, tells what had been written before that place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import attrs
import tomli

from ajolo_fanout.config.places import KeyPath

__all__ = ["Scan", "Statement", "scan"]

_DEEPEST = 100
"""Levels of brackets, and parts of a key: far beyond any real file, and far within Python's own limit."""

_BLANK = re.compile(r"[ \t]*")
_COMMENT = re.compile(r"#[^\n]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    # A multi-line string may end in one or two quotes of its own before the closing three.
    re.compile(r'"""(?:\\.|[^\\])*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\\n])*"'),
    re.compile(r"'[^'\n]*'"),
)
_BARE_VALUE = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^,\]}#\s]*|[^,\]}#\s\[{=\"']+")


@attrs.frozen
class Statement:
    """One key and value, or one header.

    Attributes:
        path: What it defines.
        start: The offset of the key's last part.
        header: How it is written.
    """

    path: KeyPath
    start: int
    header: Literal["", "[table]", "[[array]]"]


@attrs.define
class Scan:
    """What stands where, as offsets in the text.

    Attributes:
        keys: Each key path, array elements included, and where it is named: an explicit header or key wins
            over a mention in a dotted one, and an array element that is a value is "named" where it begins.
        first: As `keys`, but always the first mention.
        strings: The string values (not quoted keys), from start to end.
        comments: From start to end.
        last: The last statement that was read whole.
        open: Where the brackets and strings begin that were not closed when the scan stopped.
    """

    keys: dict[KeyPath, int] = attrs.field(factory=dict)
    first: dict[KeyPath, int] = attrs.field(factory=dict)
    strings: list[tuple[int, int]] = attrs.field(factory=list)
    comments: list[tuple[int, int]] = attrs.field(factory=list)
    last: Statement | None = None
    open: list[int] = attrs.field(factory=list)


def scan(text: str, until: int | None = None) -> Scan:
    r"""Scan `text` (with `\n` for newlines), or what of it can be read up to offset `until`.

    Raises:
        RecursionError: brackets or dotted names are nested deeper than anything a person writes.
    """
    scanner = _Scanner(text, len(text) + 1 if until is None else until)
    try:
        scanner.statements()
    except (_Stop, RecursionError, tomli.TOMLDecodeError) as stopped:
        if until is None:
            if isinstance(stopped, RecursionError):
                raise
            raise AssertionError("the scan and tomli disagree") from None
    return scanner.found


class _Stop(Exception):  # noqa: N818 - the end of the scan, not an error
    """The given offset is reached, or (only in a text that tomli refused) nothing fits any more."""


@attrs.define
class _Scanner:
    text: str
    until: int
    pos: int = 0
    found: Scan = attrs.field(factory=Scan)
    elements: dict[KeyPath, int] = attrs.field(factory=dict)  # how many [[…]] headers each array has had
    headed: set[KeyPath] = attrs.field(factory=set)  # paths that have a header or a key of their own

    def statements(self) -> None:
        base: KeyPath = ()
        while self.blank(newlines=True):
            if self.text.startswith("[", self.pos):
                base = self.header()
            else:
                self.pair(base)

    def blank(self, *, newlines: bool) -> bool:
        """Step over white space and comments; False at the end of the text."""
        while self.pos < len(self.text):
            self.pos = self.match(_BLANK).end()
            char = self.peek()
            if char == "#" and newlines:
                comment = self.match(_COMMENT)
                self.found.comments.append(comment.span())
                self.pos = comment.end()
            elif char == "\n" and newlines:
                self.pos += 1
            else:
                break
        return self.pos < len(self.text)

    def header(self) -> KeyPath:
        array = self.text.startswith("[[", self.pos)
        self.pos += 2 if array else 1
        parts = list(self.key())
        path: KeyPath = ()
        for index, (part, start) in enumerate(parts):
            path = (*path, part)
            last = index == len(parts) - 1
            self.name(path, start, own=last)
            if last and array:
                self.elements[path] = self.elements.get(path, 0) + 1
            if path in self.elements:
                path = (*path, self.elements[path] - 1)
                self.name(path, start, own=last)
        self.done(Statement(path, parts[-1][1], "[[array]]" if array else "[table]"))
        self.take("]]" if array else "]")
        return path

    def pair(self, base: KeyPath) -> None:
        path, start = base, self.pos
        parts = list(self.key())
        for index, (part, start) in enumerate(parts):
            path = (*path, part)
            self.name(path, start, own=index == len(parts) - 1)
        self.take("=")
        self.blank(newlines=False)
        self.value(path)
        self.done(Statement(path, start, ""))

    def key(self) -> Iterator[tuple[str, int]]:
        """The parts of a dotted key, each with its offset; leaves off behind the white space after it."""
        for _ in range(_DEEPEST):
            self.blank(newlines=False)
            start = self.pos
            if self.peek() in "\"'" and self.peek():
                raw = self.string(as_key=True)
                yield tomli.loads(f"key = {raw}")["key"], start
            else:
                bare = self.match(_BARE_KEY)
                self.pos = bare.end()
                yield bare[0], start
            self.blank(newlines=False)
            if self.peek() != ".":
                return
            self.pos += 1
        raise RecursionError

    def value(self, path: KeyPath) -> None:
        start = self.pos
        char = self.peek()
        if char == "[":
            self.array(path)
        elif char == "{":
            self.table(path)
        elif char in ('"', "'"):
            self.string()
            self.found.strings.append((start, self.pos))
        else:
            self.pos = self.match(_BARE_VALUE).end()

    def array(self, path: KeyPath) -> None:
        self.enter()
        index = 0
        while self.blank(newlines=True) and self.peek() != "]":
            element = (*path, index)
            self.name(element, self.pos, own=True)
            self.value(element)
            index += 1
            self.comma("]")
        self.leave("]")

    def table(self, path: KeyPath) -> None:
        self.enter()
        while self.blank(newlines=True) and self.peek() != "}":
            self.pair(path)
            self.comma("}")
        self.leave("}")

    def comma(self, close: str) -> None:
        self.blank(newlines=True)
        if self.peek() != close:
            self.take(",")

    def enter(self) -> None:
        if len(self.found.open) >= _DEEPEST:
            raise RecursionError
        self.found.open.append(self.pos)
        self.pos += 1

    def leave(self, close: str) -> None:
        self.take(close)
        self.found.open.pop()

    def string(self, *, as_key: bool = False) -> str:
        """Step over a string; the text of it with its quotes."""
        for kind in _STRINGS[2:] if as_key else _STRINGS:
            if whole := kind.match(self.text, self.pos):
                self.pos = whole.end()
                return whole[0]
        self.found.open.append(self.pos)
        raise _Stop

    def name(self, path: KeyPath, start: int, *, own: bool) -> None:
        self.found.first.setdefault(path, start)
        if own and path not in self.headed:
            self.headed.add(path)
            self.found.keys[path] = start
        else:
            self.found.keys.setdefault(path, start)

    def done(self, statement: Statement) -> None:
        self.found.last = statement
        if self.pos >= self.until:
            raise _Stop

    def peek(self) -> str:
        return self.text[self.pos : self.pos + 1]

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.pos)
        if found is None:
            raise _Stop
        return found

    def take(self, expected: str) -> None:
        if not self.text.startswith(expected, self.pos):
            raise _Stop
        self.pos += len(expected)
