"""Four gunicorn workers, one spool: a backend goes and comes back, a worker is killed, and no span is lost."""

from __future__ import annotations

import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.testing import OtlpServer, wait_for
from ajolo_fanout.testing.collector_run import free_ports

WORKERS = 4
LIMIT = 60.0
GUNICORN = [
    *(sys.executable, "-m", "gunicorn", "--config", "python:gunicorn_marks"),
    *("--workers", str(WORKERS), "--bind", "fd://FD", "shop:app"),
]

FILE = """schema = 1
[service]
name = "shop"
[spool]
directory = "spool"
[backends.here]
type = "otlp"
endpoint = "ENDPOINT"
spool = "MODE"
batch.schedule_delay = "50ms"
"""


def ask(port: int, path: str) -> int:
    """The process that answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT) as response:
        return int(response.read())


def ask_all(port: int, paths: list[str]) -> set[int]:
    with ThreadPoolExecutor(8) as pool:
        return set(pool.map(lambda path: ask(port, path), paths))


def on_disk(folder: Path) -> int:
    return sum(one.fill.held.spans for one in survey(folder).listings)


@pytest.mark.parametrize("mode", ["always", pytest.param("on_failure", marks=pytest.mark.long)])
def test_all_spans_arrive_once_or_more_and_no_lock_is_in_the_way(
    mode: str, run: Callable[..., Any], listening: socket.socket, folder: Path
) -> None:
    [backend_port] = free_ports(1)  # while the backend is away, nobody else gets it, or its spans
    endpoint = f"http://127.0.0.1:{backend_port}"
    file = folder / "tracing.toml"
    file.write_text(FILE.replace("ENDPOINT", endpoint).replace("MODE", mode))
    file.chmod(0o600)
    descriptor, port = listening.fileno(), listening.getsockname()[1]
    command = [part.replace("FD", str(descriptor)) for part in GUNICORN]
    program = run(command, config=file, pass_fds=[descriptor])
    wait_for(lambda: len(list(folder.glob("up-*"))) == WORKERS, LIMIT, f"all workers\n{program}")

    during: list[str] = []
    workers: set[int] = set()
    while len(workers) < 2:  # which worker answers is the kernel's choice
        assert len(during) < 2000, "several workers share the spool"
        more = [f"/during-{len(during) + number}" for number in range(200)]
        during += more
        workers |= ask_all(port, more)
    wait_for(lambda: on_disk(folder / "spool") == len(during), LIMIT, f"all of them on disk\n{program}")
    os.kill(min(workers), signal.SIGKILL)

    after = [f"/after-{number}" for number in range(100)]
    with OtlpServer(port=backend_port) as server:
        ask_all(port, after)
        program.send(signal.SIGHUP)  # workers come and go
        wait_for(
            lambda: {*during, *after} <= {span.name for span in server.spans},
            LIMIT,
            f"all spans\n{program}",
        )
        wait_for(lambda: on_disk(folder / "spool") == 0, LIMIT, f"the empty spool\n{program}")
        program.send(signal.SIGTERM)
        assert program.end() == 0, program
        names = [span.name for span in server.spans]
    assert {*names} == {*during, *after}
    said = "\n".join(program.err)
    assert "lock" not in said, program
    assert "busy" not in said, program
    assert "damaged" not in said, program
