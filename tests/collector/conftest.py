"""A real Collector for each test, and what it takes on a machine where no registry can be reached.

In a container where an engine answers, else as a process. `scripts/docker-engine`, `scripts/collector-image`
and `scripts/collector` provide them; `.ci/run` calls all three.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.install.conftest import folder, run
from tests.install.test_ajolopy import ajolopy

from ajolo_fanout.testing import OtelCollector
from ajolo_fanout.testing.collector_run import no_engine

__all__ = ["ajolopy", "folder", "run"]

CHECKOUT = Path(__file__).resolve().parents[2]
BUILT = CHECKOUT / ".cache/collector/otelcol-fanout"
PROVIDE_ENGINE = "scripts/docker-engine && export AJOLO_COLLECTOR_IMAGE=$(scripts/collector-image)"
PROVIDE_BINARY = "export AJOLO_COLLECTOR_BINARY=$(scripts/collector)"

# testcontainers reads it when it is imported; its own helper image can't be pulled everywhere, and every
# container here is removed by whoever started it.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
if BUILT.exists():
    os.environ.setdefault("AJOLO_COLLECTOR_BINARY", str(BUILT))


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine answers."""
    trouble = no_engine()
    if trouble:
        pytest.skip(f"{trouble}. This provides one: {PROVIDE_ENGINE}")


@pytest.fixture(scope="session")
def binary() -> Path:
    """A Collector's program."""
    named = os.environ.get("AJOLO_COLLECTOR_BINARY")
    if not named:
        pytest.skip(f"no Collector to run as a process. This provides one: {PROVIDE_BINARY}")
    return Path(named)


@pytest.fixture
def otel_collector_factory(
    otel_collector_factory: Callable[..., OtelCollector],
) -> Callable[..., OtelCollector]:
    """The plugin's, whose skip can't know of this checkout's scripts."""

    def start(*arguments: Any, **options: Any) -> OtelCollector:
        try:
            return otel_collector_factory(*arguments, **options)
        except pytest.skip.Exception as skipped:
            pytest.skip(f"{skipped}. Either provides a Collector: {PROVIDE_ENGINE}; {PROVIDE_BINARY}")

    return start


@pytest.fixture
def start(otel_collector_factory: Callable[..., OtelCollector]) -> Callable[..., OtelCollector]:
    """Starts a Collector until the end of the test."""
    return otel_collector_factory


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a `tracing.toml` and gives its path."""

    def write(text: str, name: str = "tracing.toml") -> Path:
        path = tmp_path / name
        path.write_text(f"schema = 1\n{text}", encoding="utf-8")
        path.chmod(0o600)
        return path

    return write
