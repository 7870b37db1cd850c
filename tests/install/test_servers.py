"""A request is in flight when SIGTERM comes: it is answered, its span arrives, the server ends as ever."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import OtlpServer, wait_for

UVICORN = [sys.executable, "-m", "uvicorn", "asgi:app", "--fd", "FD"]
GUNICORN = [
    *(sys.executable, "-m", "gunicorn", "--graceful-timeout", "30", "--timeout", "60"),
    *("--config", "python:gunicorn_marks", "--bind", "fd://FD", "--worker-class"),
]
UWSGI = [
    *(str(Path(sys.executable).with_name("uwsgi")), "--master", "--need-app"),
    *("--hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
    *("--hook-master-start", "print:the master handles SIGTERM"),  # which it doesn't when its workers start
    *("--http-socket", "fd://FD", "--module", "wsgi:app", "--worker-reload-mercy", "30"),
]
ASGI_WORKER = "uvicorn_worker.UvicornWorker"
LIMIT = 60.0


class Request(threading.Thread):
    """One request in flight."""

    def __init__(self, port: int, path: str = "/") -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}{path}"
        self.answer = b""
        self.start()

    def run(self) -> None:
        with urllib.request.urlopen(self._url, timeout=LIMIT) as response:
            self.answer = response.read()


class Serving:
    """A server at work on a socket of ours, and how it is stopped with a request in flight."""

    def __init__(self, run: Any, config: Path, listening: socket.socket, folder: Path) -> None:
        self._run = run
        self._config = config
        self._listening = listening
        self._folder = folder

    def start(self, command: list[str], env: Mapping[str, str] | None = None, *, up: int = 1) -> Any:
        """Start it, and wait until so many of its workers are up, where they say so."""
        descriptor = self._listening.fileno()
        self.program = self._run(
            [part.replace("FD", str(descriptor)) for part in command],
            config=self._config,
            env={"PROGRAM_INSTALL": "module", **(env or {})},
            pass_fds=[descriptor],
        )
        wait_for(lambda: len(self._marks("up")) >= up, LIMIT, f"{up} workers\n{self.program}")
        return self.program

    def ask(self, path: str = "/") -> Request:
        """Send a request, and wait until it is in flight."""
        before = len(self._marks("started"))
        request = Request(self._listening.getsockname()[1], path)
        wait_for(
            lambda: len(self._marks("started")) > before or not request.is_alive(),
            LIMIT,
            f"the request to be in flight\n{self.program}",
        )
        return request

    def stop(self, request: Request, *, once: str = "", number: int = signal.SIGTERM) -> None:
        """Send the signal, let the request go on once the server has said so, and wait for the end of both."""
        self.program.send(number)
        if once:
            self.program.wait_for(once)
        self._let_go()
        request.join(LIMIT)
        self.program.code = self.program.end()
        assert request.answer == b"done", self.program

    def answered(self, request: Request) -> None:
        """Let it go on, and wait for its answer."""
        self._let_go()
        request.join(LIMIT)
        assert request.answer == b"done", self.program

    def _let_go(self) -> None:
        (self._folder / "go-on").touch()

    def _marks(self, what: str) -> list[Path]:
        return list(self._folder.glob(f"{what}-*"))


@pytest.fixture
def serving(
    run: Any, write_file: Callable[..., Path], server: OtlpServer, listening: socket.socket, folder: Path
) -> Serving:
    return Serving(run, write_file(server.endpoint), listening, folder)


@pytest.mark.parametrize("where", ["module", "lifespan"])
def test_uvicorn(where: str, serving: Serving, server: OtlpServer, names: Any) -> None:
    program = serving.start(UVICORN, {"PROGRAM_INSTALL": where})
    serving.stop(serving.ask(), once="Shutting down")
    assert program.code == -signal.SIGTERM, program
    assert names(server) == ["lifespan shutdown", "request"], program


@pytest.mark.parametrize("where", [pytest.param("module", marks=pytest.mark.long), "lifespan"])
def test_uvicorns_workers(where: str, serving: Serving, server: OtlpServer, names: Any) -> None:
    program = serving.start([*UVICORN, "--workers", "2"], {"PROGRAM_INSTALL": where}, up=2)
    serving.stop(serving.ask(), once="SIGTERM")
    assert program.code == 0, program
    assert names(server) == ["lifespan shutdown", "lifespan shutdown", "request"], program


def gunicorn(worker: str, *more: str) -> list[str]:
    return [*GUNICORN, worker, *more, "asgi:app" if worker == ASGI_WORKER else "wsgi:app"]


@pytest.mark.parametrize(
    ("worker", "preload"),
    [
        pytest.param("sync", False, marks=pytest.mark.long),
        pytest.param("sync", True, marks=pytest.mark.long),
        ("gthread", False),
        pytest.param("gthread", True, marks=pytest.mark.long),
        pytest.param("gevent", False, marks=pytest.mark.long),
        ("gevent", True),
        pytest.param(ASGI_WORKER, False, marks=pytest.mark.long),
        (ASGI_WORKER, True),
    ],
)
def test_gunicorn(worker: str, preload: bool, serving: Serving, server: OtlpServer, names: Any) -> None:
    """With `--preload`, gevent patches what was imported; uvicorn's worker takes our signal handler away."""
    program = serving.start(gunicorn(worker, *["--preload"] * preload))
    serving.stop(serving.ask(), once="Handling signal: term")
    assert program.code == 0, program
    lifespan = ["lifespan shutdown"] if worker == ASGI_WORKER else []
    assert names(server) == [*lifespan, "request"], program
    assert "Traceback" not in str(program), program


@pytest.mark.long
def test_gunicorns_uvicorn_worker_that_traces_in_threads_alone_installs_in_the_lifespan_too(
    serving: Serving, server: OtlpServer, names: Any
) -> None:
    """With `--preload`, the handler is put back in the main thread: by its first span, or by the second call."""
    program = serving.start(gunicorn(ASGI_WORKER, "--preload"), {"PROGRAM_INSTALL": "both"})
    serving.stop(serving.ask("/thread"), once="Handling signal: term")
    assert program.code == 0, program
    assert names(server) == ["lifespan shutdown", "request"], program


@pytest.mark.parametrize(
    ("patch", "worker", "preload"),
    [
        ("first", "gevent", True),
        pytest.param("first", "gevent", False, marks=pytest.mark.long),
        pytest.param("later", "gevent", False, marks=pytest.mark.long),
        pytest.param("first", "sync", True, marks=pytest.mark.long),
    ],
)
def test_gunicorn_with_a_program_that_has_gevent_patch(
    patch: str, worker: str, preload: bool, serving: Serving, server: OtlpServer, names: Any
) -> None:
    """The master's threads are greenlets then, which a fork copies: each span arrives once all the same.

    A module that has gevent patch after a thread was started can't be imported: gevent's own limit.
    """
    env = {"PROGRAM_PATCH": patch, "PROGRAM_AT_IMPORT": "yes"}
    program = serving.start(gunicorn(worker, *["--preload"] * preload), env)
    serving.stop(serving.ask(), once="Handling signal: term")
    assert program.code == 0, program
    assert names(server) == ["at import", "request"], program


def test_two_workers_that_served_or_not_end_without_losing_or_waiting(
    serving: Serving, server: OtlpServer, names: Any
) -> None:
    """A worker that never traced has nothing to wait for, however its threads were made."""
    program = serving.start(gunicorn("gevent", "--preload", "--workers", "2"), up=2)
    serving.stop(serving.ask(), once="Handling signal: term")
    assert program.code == 0, program
    assert names(server) == ["request"], program
    assert not [line for line in program.err if "SIGKILL" in line], program


@pytest.mark.skipif(not hasattr(os, "fork"), reason="uWSGI runs where there is fork")
@pytest.mark.parametrize(
    ("threads", "lazy", "hooks"),
    [
        (True, True, False),
        (False, True, False),
        (True, False, False),
        pytest.param(False, False, False, marks=pytest.mark.long),
        pytest.param(True, False, True, marks=pytest.mark.long),
        pytest.param(False, False, True, marks=pytest.mark.long),
    ],
)
def test_uwsgi(
    threads: bool, lazy: bool, hooks: bool, serving: Serving, server: OtlpServer, names: Any
) -> None:
    """It forks without a word to Python, unless told to; without threads, it is said at once."""
    options = {"--enable-threads": threads, "--lazy-apps": lazy, "--py-call-uwsgi-fork-hooks": hooks}
    program = serving.start([*UWSGI, *(name for name, on in options.items() if on)], up=0)
    program.wait_for("the master handles SIGTERM")
    serving.stop(serving.ask())
    assert program.code == 0, program
    assert names(server) == ["request"], program
    warned = sum("uWSGI runs without threads here" in line for line in program.err)
    assert warned == (0 if threads or program.wait_for("has-threads") == "1" else 1), program
