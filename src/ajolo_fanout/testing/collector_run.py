"""How a Collector runs: in a container by testcontainers, or as a process where no Docker engine answers."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import attrs

from ajolo_fanout.testing.collector_config import Listen

__all__ = [
    "InContainer",
    "InProcess",
    "NoImageError",
    "PortTakenError",
    "Ports",
    "Run",
    "free_ports",
    "healthy",
    "no_engine",
]

_INSIDE = "/fanout"
"""Where a container sees the folder."""

_GRACE = 30
"""Seconds for a Collector to end by itself, of which it needs a fraction of one."""

_USUAL_SOCKET = "unix:///var/run/docker.sock"

_RYUK = ". Where it is testcontainers' own image, ryuk, that can't be pulled: set TESTCONTAINERS_RYUK_DISABLED=true"


class NoImageError(RuntimeError):
    """The image isn't on this machine and can't be pulled."""


class PortTakenError(RuntimeError):
    """Somebody else listens on one of the ports that were free a moment ago."""


@attrs.frozen
class Ports:
    """Three ports of 127.0.0.1."""

    http: int
    grpc: int
    health: int

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on now; a Collector that is started anew finds them again."""
        return cls(*free_ports(3))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, for who takes neither a socket nor port 0.

    Below those that Linux gives to outgoing connections and as port 0: none of these is in the way a moment later.
    """
    with contextlib.ExitStack() as stack:
        return [_free_port(stack) for _ in range(count)]


def _free_port(stack: contextlib.ExitStack) -> int:
    for port in random.SystemRandom().sample(range(15_000, 32_000), 200):
        with contextlib.suppress(OSError):  # taken: the next one
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return port
    raise OSError("no free port on 127.0.0.1 between 15000 and 32000")


class Run(Protocol):
    """One way to run a Collector. The folder has its `config.yaml`."""

    listen: Listen

    def start(self) -> None:
        """Start it; it may not be ready yet.

        Raises:
            PortTakenError: when another program was quicker.
            NoImageError: when its image can't be had.
            RuntimeError: when it can't be run for another reason.
        """

    def pause(self) -> None:
        """Let it end what it is doing, and go."""

    def resume(self) -> None:
        """Start it again on the same ports."""

    def stop(self) -> None:
        """End it and leave nothing behind but the folder; harmless when it doesn't run."""

    def running(self) -> bool:
        """Whether it hasn't ended by itself."""

    def log(self) -> str:
        """What it has said so far."""


class InContainer:
    """A container of `image`, published on 127.0.0.1 only, with `folder` mounted."""

    def __init__(self, image: str, ports: Ports, folder: Path) -> None:
        self._image = image
        self._ports = ports
        self._folder = folder
        self._container: Any = None
        self.listen = Listen("0.0.0.0:4318", "0.0.0.0:4317", "0.0.0.0:13133", _INSIDE)

    def start(self) -> None:
        """See `Run`."""
        from docker.errors import APIError
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(self._image).with_command(["--config", f"{_INSIDE}/config.yaml"])
        container.with_volume_mapping(str(self._folder), _INSIDE, "rw")
        published: dict[str, Any] = {
            f"{inside}/tcp": ("127.0.0.1", port)
            for inside, port in (
                (4318, self._ports.http),
                (4317, self._ports.grpc),
                (13133, self._ports.health),
            )
        }
        container.ports.update(published)
        self._container = container
        _provide(container.image)
        try:
            container.start()
        except APIError as error:
            if "port is already allocated" in _said(error) or "address already in use" in _said(error):
                raise PortTakenError(_said(error)) from error
            raise RuntimeError(f"Docker can't run {self._image}: {_said(error)}{_RYUK}") from error

    def pause(self) -> None:
        """See `Run`."""
        self._container.get_wrapped_container().stop(timeout=_GRACE)

    def resume(self) -> None:
        """See `Run`."""
        self._container.get_wrapped_container().start()

    def stop(self) -> None:
        """See `Run`."""
        container, self._container = self._container, None
        if container is None:
            return
        from docker.errors import APIError, NotFound
        from testcontainers.core.exceptions import ContainerStartException

        try:
            # Asked to end, it writes down what it has; testcontainers' own stop() only kills and removes.
            with contextlib.suppress(APIError, ContainerStartException):  # one that has never run
                container.get_wrapped_container().stop(timeout=_GRACE)
        finally:
            with contextlib.suppress(NotFound):  # somebody else has removed it
                container.stop()

    def running(self) -> bool:
        """See `Run`."""
        from docker.errors import NotFound

        container = self._container.get_wrapped_container()
        try:
            container.reload()
        except NotFound:
            return False
        return str(container.status) in ("created", "running", "restarting")

    def log(self) -> str:
        """See `Run`."""
        from docker.errors import NotFound

        if self._container is None:
            return ""
        try:
            out, err = self._container.get_logs()
        except NotFound:
            return "(gone with its container, which somebody else has removed)"
        return bytes(out + err).decode("utf-8", "replace")


class InProcess:
    """`binary` as a child process that listens on 127.0.0.1 only."""

    def __init__(self, binary: Path, ports: Ports, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        http, grpc, health = (f"127.0.0.1:{port}" for port in (ports.http, ports.grpc, ports.health))
        self.listen = Listen(http, grpc, health, str(folder))

    def start(self) -> None:
        """See `Run`."""
        command: Sequence[str | Path] = [self._binary, "--config", self._folder / "config.yaml"]
        if self._log is None:
            self._log = (self._folder / "collector.log").open("wb")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own Collector
                command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise RuntimeError(f"{self._binary} can't be run: {error.strerror}") from error

    def pause(self) -> None:
        """See `Run`."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def resume(self) -> None:
        """See `Run`."""
        self.start()

    def stop(self) -> None:
        """See `Run`."""
        self.pause()
        if self._log is not None:
            self._log.close()
            self._log = None

    def running(self) -> bool:
        """See `Run`."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """See `Run`."""
        with contextlib.suppress(FileNotFoundError):  # never started
            return (self._folder / "collector.log").read_text("utf-8", "replace")
        return ""


def no_engine() -> str:
    """Why no container can be started here; empty when a Docker engine answers."""
    try:
        from docker.errors import DockerException
        from testcontainers.core.docker_client import get_docker_host
    except ModuleNotFoundError as error:
        return f"the Python package {error.name} isn't installed: pip install 'ajolo-fanout[testing]'"
    where = get_docker_host() or _USUAL_SOCKET
    trouble = _not_listening(where)
    if trouble:
        return f"no Docker engine answers at {where}: {trouble}"
    try:
        _client().close()
    except DockerException as error:
        return f"no Docker engine answers at {where}: {_said(error)}"
    return ""


def _client() -> Any:
    """Docker's own client of the engine that testcontainers uses."""
    import docker
    from testcontainers.core.docker_client import get_docker_host

    return docker.from_env(environment={**os.environ, "DOCKER_HOST": get_docker_host() or _USUAL_SOCKET})


def _provide(image: str) -> None:
    """See that the engine has `image`.

    Raises:
        NoImageError: when it hasn't and can't pull it.
        RuntimeError: when it can't say: for a text that names no image, say.
    """
    from docker.errors import DockerException, ImageNotFound

    with contextlib.closing(_client()) as client:
        try:
            client.images.get(image)
        except ImageNotFound:
            pass  # pulled below, so that what is told has no cause but the pull's
        except DockerException as error:
            raise RuntimeError(f"Docker can't look for the image {image!r}: {_said(error)}") from error
        else:
            return
        try:
            client.images.pull(image)
        except DockerException as error:
            raise NoImageError(f"the image {image} can't be pulled: {_said(error)}") from error


def _not_listening(where: str) -> str:
    """What speaks against a connection; asked first, because Docker's client leaves a refused socket open."""
    if not where.startswith("unix://"):
        return ""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(where.removeprefix("unix://"))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def healthy(port: int) -> bool:
    """Whether the health check on `port` of 127.0.0.1 says that all of the Collector has started."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False  # not yet
    finally:
        connection.close()


def _said(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)
