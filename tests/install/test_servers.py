"""A request is in flight when SIGTERM comes: it is answered, its span arrives, the server ends as ever."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import OtlpServer, wait_for

UVICORN = [sys.executable, "-m", "uvicorn", "asgi:app"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--graceful-timeout", "20", "--timeout", "60"]


class Request(threading.Thread):
    """One request in flight."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/"
        self.answer = b""
        self.start()

    def run(self) -> None:
        with urllib.request.urlopen(self._url, timeout=60) as response:
            self.answer = response.read()


@pytest.fixture
def stopped_in_flight(
    run: Any, write_file: Callable[..., Path], server: OtlpServer, listening: socket.socket, folder: Path
) -> Callable[..., Any]:
    """Starts a server, sends SIGTERM while a request is in flight, and waits for the end of both."""

    def serve(command: list[str], where: str) -> Any:
        descriptor = listening.fileno()
        program = run(
            [part.replace("FD", str(descriptor)) for part in command],
            config=write_file(server.endpoint),
            env={"PROGRAM_INSTALL": where},
            pass_fds=[descriptor],
        )
        request = Request(listening.getsockname()[1])
        wait_for(lambda: list(folder.glob("started-*")), 60, f"the request to be in flight\n{program}")
        program.send(signal.SIGTERM)
        program.code = program.end()
        request.join(10)
        assert request.answer == b"done", program
        return program

    return serve


@pytest.mark.parametrize("where", ["module", "lifespan"])
@pytest.mark.parametrize("workers", [1, 2], ids=["one process", "two workers"])
def test_uvicorn(
    where: str, workers: int, stopped_in_flight: Callable[..., Any], server: OtlpServer, names: Any
) -> None:
    more = ["--workers", str(workers)] if workers > 1 else []
    program = stopped_in_flight([*UVICORN, "--fd", "FD", *more], where)
    assert program.code == (-signal.SIGTERM if workers == 1 else 0), program
    assert names(server) == [*["lifespan shutdown"] * workers, "request"], program


@pytest.mark.parametrize("preload", [False, True], ids=["in each worker", "before the fork"])
@pytest.mark.parametrize(
    ("worker", "application"),
    [
        ("sync", "wsgi:app"),
        ("gthread", "wsgi:app"),
        ("gevent", "wsgi:app"),
        ("uvicorn_worker.UvicornWorker", "asgi:app"),
    ],
)
def test_gunicorn(
    worker: str,
    application: str,
    preload: bool,
    stopped_in_flight: Callable[..., Any],
    server: OtlpServer,
    names: Any,
) -> None:
    """With `--preload`, gevent patches what was imported, and the threads are those of the fork's child."""
    pytest.importorskip(worker.partition(".")[0] if "." in worker or worker == "gevent" else "gunicorn")
    command = [*GUNICORN, "--bind", "fd://FD", "--worker-class", worker, application]
    program = stopped_in_flight([*command, "--preload"] if preload else command, "module")
    assert program.code == 0, program
    lifespan = ["lifespan shutdown"] if application == "asgi:app" else []
    assert names(server) == [*lifespan, "request"], program
