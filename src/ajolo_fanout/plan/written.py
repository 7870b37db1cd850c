"""Where a value of a backend stands in the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.places import KeyPath, Place

__all__ = ["is_written", "place_of"]


def place_of(document: Document, backend: str, path: KeyPath) -> Place:
    """Under the backend, else in `[defaults]`; the backend itself where `path` is written in neither."""
    for whole in (("backends", backend, *path), ("defaults", *path)):
        if is_written(document.data, whole):
            return document.place(whole)
    return document.place(("backends", backend))


def is_written(data: Any, path: KeyPath) -> bool:
    """Whether there is a value at `path` of a table."""
    for part in path:
        if isinstance(data, Mapping) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return False
    return True
