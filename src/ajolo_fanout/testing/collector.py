"""A real OpenTelemetry Collector for tests: what was sent to it is read back as spans.

::

    with OtelCollector() as collector:
        …send to collector.http_endpoint or collector.grpc_endpoint…
        [span] = collector.wait_for_spans(1)
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ajolo_fanout.testing.collector_config import (
    SPANS,
    BasicAuth,
    BearerToken,
    as_text,
    configuration,
    laid_over,
    messages,
)
from ajolo_fanout.testing.collector_run import (
    InContainer,
    InProcess,
    NoImageError,
    Ports,
    PortTakenError,
    Run,
    healthy,
    no_engine,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from ajolo_fanout.otlp.decode import DecodedSpan
    from ajolo_fanout.testing.tls import Tls

__all__ = ["DEFAULT_IMAGE", "BasicAuth", "BearerToken", "CollectorUnavailable", "OtelCollector"]

DEFAULT_IMAGE = "otel/opentelemetry-collector-contrib:0.145.0"
"""The Collector project's own image, in the version that these tests are proven with."""

_PROVIDE = (
    f"Start a Docker engine that can pull {DEFAULT_IMAGE}, name another image in AJOLO_COLLECTOR_IMAGE, or set "
    "AJOLO_COLLECTOR_BINARY to a Collector's program, such as otelcol-contrib from "
    "https://github.com/open-telemetry/opentelemetry-collector-releases/releases"
)
_READY_WITHIN = 60.0  # seconds, of which it needs one or two
_NOT_READY = (
    f"wasn't ready after {_READY_WITHIN:g} s on 127.0.0.1 (a Docker engine has to be on the same machine)"
)
_TRIES = 5
_LAST_LINES = 40


class CollectorUnavailable(RuntimeError):  # noqa: N818 - a state of the machine, no mistake of a test
    """No Collector can be started on this machine; the message says what would provide one."""


class OtelCollector:
    """A Collector that writes down what it receives, over HTTP and gRPC, on free ports of 127.0.0.1.

    It runs in a container (testcontainers) where a Docker engine answers, else as a process. Which image:
    the argument, else `$AJOLO_COLLECTOR_IMAGE`, else the Collector project's own in a fixed version. Which
    program: the argument, else `$AJOLO_COLLECTOR_BINARY`. Give `image` or `binary` to have it in one way
    only. Several may run at a time. Wants `ajolo-fanout[testing]`, but for a `binary`.

    Attributes:
        way: `"container"` or `"process"`, once it has started; else empty.
        http_endpoint: `http://127.0.0.1:PORT`, or `https://…` with TLS; without a path.
        grpc_endpoint: The same for gRPC.
        folder: A temporary folder that it may write to; `/fanout` to a container.
    """

    def __init__(
        self,
        image: str | None = None,
        *,
        binary: str | os.PathLike[str] | None = None,
        tls: Tls | None = None,
        auth: BearerToken | BasicAuth | None = None,
        path: str = "/v1/traces",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            image: Run this image, and nothing else.
            binary: Run this program, and nothing else.
            tls: Serve TLS with these files; with `client_required`, to clients with a certificate only.
            auth: Refuse requests that don't carry this.
            path: The URL path that takes traces over HTTP; any other is answered with 404.
            config: What is laid over the Collector's configuration, table by table, in its own keys, such
                as `{"receivers": {"otlp": {"protocols": {"http": {"max_request_body_size": 1000}}}}}`.

        Raises:
            ValueError: when both `image` and `binary` are given.
        """
        if image is not None and binary is not None:
            raise ValueError("give an image or a binary; both can't be run")
        self._image = image
        self._binary = binary
        self._tls = tls
        self._auth = auth
        self._path = path
        self._config: Mapping[str, Any] = config or {}
        self._run: Run | None = None
        self._started_by = 0
        self._ports = Ports(0, 0, 0)
        self._reading = threading.Lock()
        self._read_to = 0
        self._spans: list[DecodedSpan] = []
        self._last_log = ""
        self.way: Literal["container", "process", ""] = ""
        self.folder = Path()

    @property
    def http_endpoint(self) -> str:
        """Scheme, host and port of OTLP over HTTP."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._ports.http}"

    @property
    def grpc_endpoint(self) -> str:
        """Scheme, host and port of OTLP over gRPC."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._ports.grpc}"

    @property
    def spans(self) -> list[DecodedSpan]:
        """The spans it has received so far, in the order of arrival; also after `stop()`."""
        if self._run is not None:
            self._read()
        with self._reading:
            return list(self._spans)

    @property
    def log(self) -> str:
        """What the Collector itself has said so far; after `stop()` up to then."""
        return self._last_log if self._run is None else self._run.log()

    def start(self) -> Self:
        """Start it, and wait until it is ready.

        What nobody has stopped is stopped when the program ends; one that is killed leaves it running, where
        testcontainers' ryuk doesn't remove the container.

        Raises:
            CollectorUnavailable: when there is neither a Docker engine that can run the image nor a program;
                the message says what to install or to set.
            RuntimeError: when an image or a program that was named can't be run, or doesn't start; then the
                message has the end of its log.
        """
        if self._run is not None:
            raise RuntimeError("this Collector runs already")
        ways = self._ways()
        self._started_by = os.getpid()
        self._read_to, self._spans = 0, []
        self.folder = _open_folder(self._tls)
        try:
            self.way, self._run = self._first_that_runs(ways)
        except BaseException:
            shutil.rmtree(self.folder.parent, ignore_errors=True)
            raise
        atexit.register(self.stop)  # who forgets it leaves no container behind
        return self

    def restart(
        self, config: Mapping[str, Any] | None = None, *, meanwhile: Callable[[], object] | None = None
    ) -> None:
        """Let it end what it is doing, start it again on the same ports, and wait until it is ready.

        Args:
            config: In place of the `config` that it was made with; None: as before.
            meanwhile: Called while it is away; what it raises is raised here, and the Collector stays away.

        Raises:
            RuntimeError: when it doesn't run, or doesn't start again.
        """
        if self._run is None:
            raise RuntimeError("this Collector doesn't run")
        if config is not None:
            self._config = config
        self._run.pause()
        if meanwhile is not None:
            meanwhile()
        self._write_configuration(self._run)
        self._run.resume()
        self._wait_until_ready(self._run)

    def stop(self) -> None:
        """End it and remove the container and the folder; `spans` stay. May be called twice.

        In a forked child of the process that started it nothing happens: it is the parent's.
        """
        run = self._run
        if run is None or os.getpid() != self._started_by:
            return
        atexit.unregister(self.stop)
        try:
            with ExitStack() as ending:
                ending.callback(run.stop)  # whether its log can be had or not
                self._last_log = run.log()
            self._read()  # what it wrote at its end
        finally:
            self._run = None
            self.way = ""
            shutil.rmtree(self.folder.parent, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(last_words(self.log))
        self.stop()

    def wait_for(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        """Wait until `condition()` is true; it is looked at some fifty times a second.

        Raises:
            TimeoutError: when it didn't come true in `timeout` seconds; says what had arrived, and the end
                of the Collector's log.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= deadline:
                arrived = f"waited {timeout:g} s in vain; {len(self.spans)} spans had arrived"
                runs = self._run is not None and self._run.running()
                gone = "" if runs else ", and the Collector isn't running"
                raise TimeoutError(f"{arrived}{gone}\n{last_words(self.log)}")
            time.sleep(0.02)

    def wait_for_spans(self, count: int, timeout: float = 30.0) -> list[DecodedSpan]:
        """Wait until at least `count` spans have arrived.

        Raises:
            TimeoutError: when they didn't in `timeout` seconds.
        """
        self.wait_for(lambda: len(self.spans) >= count, timeout)
        return self.spans

    def _ways(self) -> list[_Way]:
        """The ways in which it may be run here, the preferred one first; at least one.

        Raises:
            CollectorUnavailable: when there is none.
        """
        if self._binary is not None:
            return [_process(_program(self._binary))]
        trouble = no_engine()
        image = self._image or os.environ.get("AJOLO_COLLECTOR_IMAGE")
        if image and not trouble:
            return [_container(image)]  # one that somebody named is not passed over in silence
        binary = None if self._image else os.environ.get("AJOLO_COLLECTOR_BINARY")
        ways = [] if trouble else [_container(DEFAULT_IMAGE, may_be_missing=True)]
        ways += [_process(_program(binary))] if binary else []
        if not ways:
            only = f"The image {self._image} was asked for, and is run in a container only"
            raise CollectorUnavailable(f"{trouble}. {only if self._image else _PROVIDE}")
        return ways

    def _first_that_runs(self, ways: list[_Way]) -> tuple[Literal["container", "process"], Run]:
        missing = ""
        for way in ways:
            try:
                return way.name, self._start(way)
            except NoImageError as error:
                if not way.may_be_missing:
                    raise
                missing = str(error)
        raise CollectorUnavailable(f"{missing}. {_PROVIDE}")

    def _start(self, way: _Way) -> Run:
        for _ in range(_TRIES):
            self._ports = Ports.free()
            run = way.make(self._ports, self.folder)
            try:
                self._write_configuration(run)
                run.start()
                self._wait_until_ready(run)
            except PortTakenError:
                run.stop()
            except BaseException:
                run.stop()
                raise
            else:
                return run
        raise RuntimeError(f"others took the ports on 127.0.0.1 that were free, {_TRIES} times")

    def _read(self) -> None:
        from ajolo_fanout.otlp.decode import decode_request

        with self._reading, (self.folder / SPANS).open("rb") as file:
            file.seek(self._read_to)
            found, size = messages(file.read())
            self._spans += [span for message in found for span in decode_request(message)]
            self._read_to += size

    def _write_configuration(self, run: Run) -> None:
        config = configuration(run.listen, tls=self._tls, auth=self._auth, path=self._path)
        file = self.folder / "config.yaml"
        file.write_text(as_text(laid_over(config, self._config)), encoding="utf-8")
        file.chmod(0o644)

    def _wait_until_ready(self, run: Run) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while True:
            ready = healthy(self._ports.health)
            ended = not run.running()
            if ready and not ended:  # it is this one that answers
                return
            if ended or time.monotonic() > deadline:
                log = run.log()
                if ended and "address already in use" in log:
                    raise PortTakenError(log)
                why = "ended at its start" if ended else _NOT_READY
                raise RuntimeError(f"the Collector {why}\n{last_words(log)}")
            time.sleep(0.02)


@attrs.frozen
class _Way:
    """How a Collector may be run here."""

    name: Literal["container", "process"]
    make: Callable[[Ports, Path], Run]
    may_be_missing: bool = False


def _container(image: str, *, may_be_missing: bool = False) -> _Way:
    return _Way("container", lambda ports, folder: InContainer(image, ports, folder), may_be_missing)


def _process(binary: Path) -> _Way:
    return _Way("process", lambda ports, folder: InProcess(binary, ports, folder))


def _program(named: str | os.PathLike[str]) -> Path:
    """The program of that path, or on PATH where it is a name alone; there, or in the current folder."""
    path = Path(named)
    alone = os.path.split(named)[0] in (
        "",
        b"",
    )  # asked of the text: a Path of "./otelcol" has lost its folder
    return path if alone and shutil.which(path) else path.absolute()


def _open_folder(tls: Tls | None) -> Path:
    """A folder that the user of an image, 10001 mostly, may use; nobody else gets through to it."""
    outer = Path(tempfile.mkdtemp(prefix="ajolo-fanout-collector-"))  # for the owner only
    try:
        return _filled(outer / "fanout", tls)
    except BaseException:
        shutil.rmtree(outer, ignore_errors=True)
        raise


def _filled(folder: Path, tls: Tls | None) -> Path:
    folder.mkdir()
    folder.chmod(0o777)
    if tls is not None:
        files = {"ca.pem": tls.ca_file, "server.pem": tls.cert_file, "server.key": tls.key_file}
        for name, file in files.items():
            (folder / name).write_bytes(file.read_bytes())
            (folder / name).chmod(0o644)
    spans = folder / SPANS
    spans.touch()
    spans.chmod(0o666)  # made here, so that whoever runs the test may read and remove it
    return folder


def last_words(log: str) -> str:
    """The end of a Collector's log, for somebody who looks for the reason of a failure."""
    return "\n".join(["--- the Collector's log", *log.splitlines()[-_LAST_LINES:], ""])
