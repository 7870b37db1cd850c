"""What the small programs share: words to the test, and a count that outlives the process."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path


def say(name: str, value: object = "") -> None:
    """One line for the test, at once."""
    print(f"{name} {value}".rstrip(), flush=True)


class Count:
    """A number in a file that is shared with the test: right even when the process is killed."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    def set(self, value: int) -> None:
        struct.pack_into("q", self._memory, 0, value)


def folder() -> Path:
    """Where this program may leave marks for the test."""
    return Path(os.environ["PROGRAM_FOLDER"])
