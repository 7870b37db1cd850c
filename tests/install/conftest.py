"""Real programs as child processes, files for them to install from, and a process to install in."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ajolo_fanout import Fanout, install, process, sdk_internals
from ajolo_fanout.config.document import load
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing import Answer, OtlpServer

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
LIMIT = 60.0
"""Seconds for anything to happen: two cores may be shared with a whole test run."""


class Running:
    """A program at work: its lines as they come, its end."""

    def __init__(self, command: Sequence[str], env: dict[str, str], **options: object) -> None:
        self._process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.pid = self._process.pid
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self._process.stdout, self.out), (self._process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            with self._changed:
                lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, start: str, *, timeout: float = LIMIT) -> str:
        """The rest of the first line, on either stream, with a word in it that begins with `start`.

        A word: "ready" is not in gevent's "ssl has already been imported".
        """
        deadline = time.monotonic() + timeout
        pattern = re.compile(rf"(?<!\w){re.escape(start)}(.*)")
        with self._changed:
            while True:
                for line in (*self.out, *self.err):
                    if found := pattern.search(line):
                        return found[1].strip()
                ended = not any(reader.is_alive() for reader in self._readers)
                assert not ended, f"ended without a line with {start!r}\n{self}"
                assert time.monotonic() < deadline, f"no line with {start!r}\n{self}"
                self._changed.wait(0.1)

    def said(self, name: str) -> str:
        """What the program said under `name`."""
        found = [line.partition(" ")[2] for line in self.out if line.split(" ")[0] == name]
        assert len(found) == 1, f"{name!r} was said {len(found)} times\n{self}"
        return found[0]

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def type(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self, timeout: float = LIMIT) -> int:
        """Wait for the program's end and all its output; its exit code, negative for a signal."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {timeout:g} s\n{self}")
        for reader in self._readers:
            reader.join(LIMIT)
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(LIMIT)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def __repr__(self) -> str:  # what a failed assertion shows
        return "\n".join(["--- stdout", *self.out, "--- stderr", *self.err])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a program leaves marks, and its file lies."""
    return tmp_path


@pytest.fixture
def write_file(folder: Path) -> Callable[..., Path]:
    """Writes a `tracing.toml` with one backend, `here`, of which only a flush or the end makes a delivery."""

    def write(endpoint: str, extra: str = "", *, name: str = "tracing.toml", backend: str = "") -> Path:
        path = folder / name
        path.write_text(
            f"""schema = 1
[service]
name = "program"
{extra}
[backends.here]
type = "otlp"
endpoint = "{endpoint}"
batch.schedule_delay = "60s"
{backend}
""",
            encoding="utf-8",
        )
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def run(folder: Path) -> Iterator[Callable[..., Running]]:
    """Starts programs of `tests/programs` (or any command) and kills what is left of them after the test."""
    running: list[Running] = []

    def start(
        program: str | Sequence[str],
        *arguments: str,
        config: Path | str | None = None,
        env: dict[str, str] | None = None,
        python: str | Path = sys.executable,
        before: Sequence[str] = (),
        **options: object,
    ) -> Running:
        command = [str(python), str(PROGRAMS / program)] if isinstance(program, str) else list(program)
        environment = {
            **os.environ,
            "PROGRAM_FOLDER": str(folder),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROGRAMS), os.environ.get("PYTHONPATH")])),
        }
        if config is not None:
            environment["AJOLO_FANOUT_CONFIG"] = str(config)
        environment.update(env or {})
        started = Running([*before, *command, *arguments], environment, cwd=folder, **options)
        running.append(started)
        return started

    yield start
    for one in running:
        one.kill()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A bound socket to hand to a server as a descriptor: no port is guessed, and connections wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.set_inheritable(True)
        yield bound


@pytest.fixture
def server() -> Iterator[OtlpServer]:
    with OtlpServer() as running:
        yield running


@pytest.fixture
def make(write_file: Callable[..., Path]) -> Iterator[Callable[..., Fanout]]:
    """Builds the handle of a file written with `write_file`'s arguments; stops it after the test."""
    made: list[Fanout] = []

    def build(*arguments: str, **named: str) -> Fanout:
        made.append(Fanout(resolve(load(write_file(*arguments, **named)), {})))
        return made[-1]

    yield build
    for one in made:
        one.shutdown(0)


@pytest.fixture
def hanging() -> Iterator[OtlpServer]:
    with OtlpServer(answer=Answer(hang=True)) as server:
        yield server


@pytest.fixture
def names() -> Callable[[OtlpServer], list[str]]:
    """The names of the spans that a server took, sorted."""
    return lambda server: sorted(span.name for span in server.spans)


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """As if nothing had been installed in this process, and as if it could be done again afterwards.

    Not with `fake_backends()`, which keeps one provider: here it is seen which one is built.
    """
    monkeypatch.setattr(install, "_installed", install._Installed())
    monkeypatch.chdir(folder)
    before = signal.getsignal(signal.SIGTERM)
    guarded = process._process.guarded
    with sdk_internals.no_global_provider():
        yield
    for one in process._process.guarded:
        if one not in guarded:
            one.shutdown(0)
    assert signal.getsignal(signal.SIGTERM) == before, "the handler of SIGTERM was not put back"
