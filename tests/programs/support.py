"""What the small programs share: words to the test, marks in its folder, a count that outlives the process."""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from pathlib import Path


def say(name: str, value: object = "") -> None:
    """One line for the test, at once; also from a signal handler that interrupts another, which no buffer allows."""
    os.write(1, f"{name} {value}".rstrip().encode() + b"\n")


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


def mark(what: str) -> None:
    """Let the test know that this process has come so far."""
    (folder() / f"{what}-{os.getpid()}").touch()


_LIMIT = 60.0


def hold(what: str = "go-on") -> None:
    """Wait until the test lets go, in steps as short as a server's."""
    deadline = time.monotonic() + _LIMIT
    while not (folder() / what).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


async def ahold(what: str = "go-on") -> None:
    """The same in an event loop."""
    deadline = time.monotonic() + _LIMIT
    while not (folder() / what).exists() and time.monotonic() < deadline:  # noqa: ASYNC110 - it's the test's
        await asyncio.sleep(0.02)
