"""The pytest plugin: fixtures for embedded servers and for whole files.

Loaded in every pytest run of an environment that has `ajolo-fanout`, so nothing of ours is imported before a
fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import PathLike
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ajolo_fanout.testing.harness import Harness
    from ajolo_fanout.testing.installed import Installed
    from ajolo_fanout.testing.server import OtlpServer
    from ajolo_fanout.testing.tls import Tls

__all__ = ["fanout_fakes", "fanout_harness", "fanout_tls", "otlp_grpc_server", "otlp_server"]


@pytest.fixture
def otlp_server() -> Iterator[OtlpServer]:
    """An OTLP server over HTTP on a free port of 127.0.0.1, stopped after the test."""
    from ajolo_fanout.testing.server import OtlpServer

    with OtlpServer() as server:
        yield server


@pytest.fixture
def otlp_grpc_server() -> Iterator[OtlpServer]:
    """An OTLP server over gRPC on a free port of 127.0.0.1, stopped after the test."""
    from ajolo_fanout.testing.server import OtlpServer

    with OtlpServer("grpc") as server:
        yield server


@pytest.fixture
def fanout_tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A throw-away authority with a server's and a client's certificate (wants `ajolo-fanout[testing]`)."""
    from ajolo_fanout.testing.tls import make_tls

    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def fanout_harness() -> Iterator[Callable[[str | PathLike[str]], Harness]]:
    """A function that runs a file against fakes until the test ends: `ajolo_fanout.testing.fanout()`."""
    from ajolo_fanout.testing.harness import fanout

    with ExitStack() as stack:
        yield lambda path: stack.enter_context(fanout(path))


@pytest.fixture
def fanout_fakes() -> Iterator[Installed]:
    """Whatever file the code under test installs sends to fakes: `ajolo_fanout.testing.fake_backends()`."""
    from ajolo_fanout.testing.installed import fake_backends

    with fake_backends() as installed:
        yield installed
