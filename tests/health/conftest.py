"""A backend, handles that send to it, and what the log says of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from ajolo_fanout import Fanout
from ajolo_fanout.config.document import load
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing import OtlpServer

FILE = """schema = 1
[service]
name = "program"

[backends.tempo]
type = "otlp"
endpoint = "ENDPOINT"
batch.schedule_delay = "20ms"
"""


@pytest.fixture
def server() -> Iterator[OtlpServer]:
    """The backend's."""
    with OtlpServer() as running:
        yield running


@pytest.fixture
def make(tmp_path: Path, server: OtlpServer) -> Iterator[Callable[..., Fanout]]:
    """Makes handles of a file with one backend, `tempo`, and more keys of it or more tables."""
    made: list[Fanout] = []

    def build(more: str = "", top: str = "") -> Fanout:
        made.append(Fanout(_plan(tmp_path, server, more + top)))
        return made[-1]

    yield build
    for one in made:
        one.shutdown(0)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """The lines of the log with that part in them, so far."""
    caplog.set_level(logging.INFO, "ajolo_fanout")
    return lambda part: [
        record.getMessage() for record in list(caplog.records) if part in record.getMessage()
    ]


def spans(fanout: Fanout, count: int = 1, **attributes: Any) -> None:
    """Spans that end at once."""
    tracer = fanout.provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(f"span {number}", attributes=attributes).end()


def attached(tmp_path: Path, server: OtlpServer, provider: TracerProvider) -> Fanout:
    """A handle on a provider that was there before."""
    return Fanout(_plan(tmp_path, server), provider=provider)


def _plan(folder: Path, server: OtlpServer, more: str = "") -> Plan:
    file = folder / "tracing.toml"
    file.write_text(FILE.replace("ENDPOINT", server.endpoint) + more)
    return resolve(load(file, "tracing.toml"), {})
