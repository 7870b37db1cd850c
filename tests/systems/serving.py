"""Servers of others as child processes on loopback: started, awaited, ended."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ajolo_fanout.testing import wait_for

__all__ = ["listens", "serving"]

LIMIT = 120.0
"""Seconds for a server to come up: two cores may be shared with a whole test run."""


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(
    command: Sequence[str | Path],
    ports: Sequence[int],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    limit: float = LIMIT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; entered when it listens on all of `ports`.

    Args:
        command: The program and its arguments.
        ports: On 127.0.0.1.
        log: Where its output goes; shown when it doesn't come up.
        env: Beside this process's environment.
        before: What the program is started through.
        limit: Seconds for it to come up.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*before, *map(str, command)],
            cwd=log.parent,
            env={**os.environ, **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(
            lambda: process.poll() is not None or all(map(listens, ports)), limit, f"{command[0]} to listen"
        )
        assert process.poll() is None, f"it ended at once:\n{log.read_text(errors='replace')}"
        yield process
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{log.read_text(errors='replace')}") from error
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
