"""The generated pages, and whether those on disk are fresh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ajolo_fanout.reference.backends import backends
from ajolo_fanout.reference.configuration import configuration
from ajolo_fanout.reference.redaction import redaction
from ajolo_fanout.reference.schema import schema

__all__ = ["pages", "stale", "write"]

_NOTE = "<!-- Made by `python -m ajolo_fanout.reference`; change {} instead. -->\n\n"


def pages() -> Mapping[str, str]:
    """Every generated page, by its file's name."""
    return {
        "configuration.md": _NOTE.format("the settings classes") + configuration(),
        "backends.md": _NOTE.format("the profiles in `backends/`") + backends(),
        "redaction.md": _NOTE.format("the rows in `steps/redaction/`") + redaction(),
        "tracing.schema.json": schema(),
    }


def stale(folder: Path) -> list[str]:
    """The names of the pages in `folder` that are missing or differ from what would be written."""
    return [name for name, text in pages().items() if _read(folder / name) != text]


def write(folder: Path) -> list[str]:
    """Write the pages into `folder`, which is made where it is missing; the names of those that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = stale(folder)
    for name, text in pages().items():
        if name in changed:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return changed


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
