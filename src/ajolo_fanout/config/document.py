"""A `tracing.toml` as it was written: its text, its data, and where everything stands in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import tomli

from ajolo_fanout.config.places import KeyPath, Place, Position, dotted
from ajolo_fanout.config.scan import Scan, scan
from ajolo_fanout.config.syntax import Lines, explain, long_number, too_deep
from ajolo_fanout.config.veil import veiled
from ajolo_fanout.errors import ConfigError, Problem

__all__ = ["Document", "load", "parse"]

_HIDDEN = '"…"'
_WORD = re.compile(r"[A-Za-z0-9_-]{16,}")


@attrs.frozen(eq=False)
class Document:
    """A parsed file.

    Attributes:
        path: The file; for a text that never was in one, a path of its name.
        name: The file's name as the user gave it, for messages.
        text: Its text, CRLF made LF. Not in `repr`: it may hold secrets.
        data: What tomli made of it. Not to be changed.
    """

    path: Path
    name: str
    text: str = attrs.field(repr=False)
    data: dict[str, Any] = attrs.field(repr=False)
    _scan: Scan = attrs.field(repr=False)
    _lines: Lines = attrs.field(repr=False)

    @property
    def folder(self) -> Path:
        """The folder that relative paths of the file start from."""
        return self.path.parent

    def position(self, key: KeyPath) -> Position | None:
        """Where `key` itself is named; for one that isn't there, where its nearest ancestor is.

        An element of an array stands where its value begins, or at its `[[header]]`. None where there is no
        ancestor either.
        """
        for length in range(len(key), 0, -1):
            if (offset := self._scan.keys.get(key[:length])) is not None:
                return self._lines.position(offset)
        return None

    def place(self, key: KeyPath) -> Place:
        """`position`, with the file's name and the dotted key: what a problem needs."""
        position = self.position(key)
        if position is None:
            return Place(self.name, key=dotted(key))
        return Place(self.name, position.line, position.column, dotted(key))

    def line_text(self, line: int) -> str:
        """The 1-based `line` as it may be shown: each string value as `"…"`, comments left out.

        A bare key that may be a credential stands as so many `…`.
        """
        lines = _WORD.sub(_veiled_word, self._masked()).split("\n")
        return lines[line - 1].rstrip() if 1 <= line <= len(lines) else ""

    def _masked(self) -> str:
        spans = [(start, end, _HIDDEN) for start, end in self._scan.strings]
        spans += [(start, end, "") for start, end in self._scan.comments]
        parts: list[str] = []
        at = 0
        for start, end, instead in sorted(spans):
            parts += [self.text[at:start], instead]
            parts += ["\n…"] * self.text.count("\n", start, end)  # a string over lines keeps their number
            at = end
        return "".join(parts) + self.text[at:]


def _veiled_word(found: re.Match[str]) -> str:
    """A bare key, as long as it is, so that what follows stays in its column."""
    return found[0] if veiled(found[0]) == found[0] else "…" * len(found[0])


def load(path: Path, name: str | None = None, *, named_by: str = "") -> Document:
    """Read a file.

    Args:
        path: The file; a relative one starts at the current folder.
        name: What to call it in messages; the path as given when None.
        named_by: Who named it, for the message where it is missing; empty where the reader knows.

    Raises:
        ConfigError: it is missing, unreadable, a directory, not UTF-8 or not TOML.
    """
    shown = str(path) if name is None else name
    raw = b""
    problem = None
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        problem = f"there is no such file{f'; {named_by} names it' if named_by else ''}"
        if not Path(shown).is_absolute() and not shown.startswith("~"):
            problem += "; a relative path starts at the current folder"
    except IsADirectoryError:
        problem = "this is a directory; name the file in it"
    except PermissionError:
        problem = "this file may not be read by this user"
    except OSError as error:
        problem = f"this file can't be read: {error.strerror or type(error).__name__}"
    if problem is not None:
        raise ConfigError([Problem(problem, file=shown, code="file")])
    return parse(_decoded(raw, shown), shown, path.absolute())


def parse(text: str, name: str, path: Path | None = None) -> Document:
    """Read a text as `load` does; `path` says where relative paths start (default: the current folder).

    Raises:
        ConfigError: it is not TOML.
    """
    text = text.replace("\r\n", "\n")
    data: dict[str, Any] = {}
    found = Scan()
    problem = None
    try:
        data = tomli.loads(text)
        found = scan(text)
    except tomli.TOMLDecodeError as error:
        problem = explain(text, error, name)
    except RecursionError:
        problem = too_deep(name)
    except ValueError:  # CPython reads no integer of more than 4,300 digits
        problem = long_number(text, name)
    if problem is not None:
        # Raised out here, so that tomli's error, which carries the whole text, is not chained to ours.
        raise ConfigError([problem])
    where = Path(name).absolute() if path is None else path
    return Document(where, name, text, data, found, Lines(text))


def _decoded(raw: bytes, name: str) -> str:
    problem = None
    try:
        # An editor's byte order mark says nothing in UTF-8, and is no reason to refuse a file.
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem(
            f"not UTF-8 at byte {column} of this line; save the file as UTF-8",
            file=name,
            line=line,
            code="file",
        )
    raise ConfigError([problem])
