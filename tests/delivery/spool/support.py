"""Spools for the tests, and programs that work on one as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.delivery.spool import Spool
from ajolo_fanout.values import Size

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("program.py")
SERVICE, BACKEND = "my-agent", "langfuse"
NOW = 1_750_000_000.0

_made: list[Spool] = []


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Told:
    """What an operator was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, int]] = []

    def __call__(self, cause: str, message: str, n: int) -> None:
        self.lines.append((cause, message, n))


def settings(directory: Path, *, max_bytes: int = 10 * 1024**2, **more: Any) -> SpoolSettings:
    return SpoolSettings(directory=directory, max_bytes=Size(max_bytes), **more)


def spool(directory: Path, *, service: str = SERVICE, backend: str = BACKEND, **more: Any) -> Spool:
    """A spool in `directory`; what `SpoolSettings` knows goes there."""
    bounds = {name: more.pop(name) for name in ("max_bytes", "when_full") if name in more}
    made = Spool(settings(directory, **bounds), service, backend, **more)
    _made.append(made)
    return made


def close_all() -> None:
    """Close every spool that this process made: an open database that is forgotten is a warning."""
    while _made:
        _made.pop().close()


def bodies(from_spool: Spool, limit: int = 100) -> list[bytes]:
    """Lease and take out everything that may be sent now."""
    found = []
    while batches := from_spool.lease(limit).batches:
        for batch in batches:
            found.append(batch.body)
            assert from_spool.done(batch.ticket)
    return found


def database(directory: Path) -> Path:
    """The one live database in `directory`."""
    [path] = directory.glob("*.sqlite3")
    return path


def start(*words: str, **more: Any) -> subprocess.Popen[str]:
    """Run `program.py WORDS…` as a process of its own."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROGRAM), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, **more)


def run(*words: str, **more: Any) -> Any:
    """What `program.py WORDS…` prints, read as JSON."""
    with start(*words, **more) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return json.loads(said)
