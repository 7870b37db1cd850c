"""The pytest plugin: fixtures for embedded servers and for whole files, and the tests in a `tracing.toml`.

Loaded in every pytest run of an environment that has `ajolo-fanout`, so nothing of ours is imported before a
fixture is used, or a file of ours is named: `pytest tracing.toml`, or `testpaths` in its configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ajolo_fanout.testing.collector import OtelCollector
    from ajolo_fanout.testing.harness import Harness
    from ajolo_fanout.testing.installed import Installed
    from ajolo_fanout.testing.server import OtlpServer
    from ajolo_fanout.testing.tls import Tls

__all__ = [
    "fanout_fakes",
    "fanout_harness",
    "fanout_tls",
    "otel_collector",
    "otel_collector_factory",
    "otlp_grpc_server",
    "otlp_server",
    "pytest_collect_file",
]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The `[[tests]]` of a file that is named; in a folder that is walked through, no file is looked at."""
    if file_path.suffix != ".toml" or not parent.session.isinitpath(file_path):
        return None
    from ajolo_fanout.testing.pytest_infile import collect

    return collect(file_path, parent)


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


@pytest.fixture
def otel_collector(otel_collector_factory: Callable[..., OtelCollector]) -> OtelCollector:
    """A running OpenTelemetry Collector, HTTP and gRPC, without TLS and credentials.

    In a container, or as a process; where neither can be, the test is skipped. See `OtelCollector`.
    """
    return otel_collector_factory()


@pytest.fixture
def otel_collector_factory() -> Iterator[Callable[..., OtelCollector]]:
    """A function that starts a Collector and takes what `OtelCollector` takes; all stop after the test.

    What they have said is written to the standard error stream then, which pytest shows if the test failed.
    """
    from ajolo_fanout.testing.collector import CollectorUnavailable, OtelCollector, last_words

    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> OtelCollector:
            collector = OtelCollector(*arguments, **options)
            try:
                collector.start()
            except CollectorUnavailable as error:
                pytest.skip(str(error))
            stack.callback(collector.stop)
            stack.callback(lambda: sys.stderr.write(last_words(collector.log)))
            return collector

        yield start
