"""What `ajolo_fanout.testing` offers, and what it must not drag in."""

from __future__ import annotations

import subprocess
import sys

import ajolo_fanout.testing

PUBLIC = [
    "Answer",
    "BasicAuth",
    "BearerToken",
    "CollectorUnavailable",
    "FakeBackend",
    "Harness",
    "Installed",
    "OtelCollector",
    "OtlpServer",
    "ProcessorConformance",
    "ReceivedRequest",
    "Tls",
    "fake_backends",
    "fanout",
    "make_tls",
    "odd_spans",
    "read_spans",
    "recorded_runs",
    "recorded_spans",
    "wait_for",
]

HEAVY = {"click", "rich", "re2", "grpc", "trustme", "urllib3", "opentelemetry.sdk", "opentelemetry.exporter"}


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert ajolo_fanout.testing.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(ajolo_fanout.testing, name).__name__ == name
    assert set(PUBLIC) <= set(dir(ajolo_fanout.testing))
    assert not hasattr(ajolo_fanout.testing, "nothing_of_the_kind")


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_the_plugin_costs_other_peoples_test_runs_nothing() -> None:
    """It is loaded wherever this package is installed, and imports nothing beyond empty packages of ours."""
    loaded = loaded_by("import ajolo_fanout.testing.pytest_plugin")
    assert not loaded & HEAVY
    ours = {name for name in loaded if name.startswith("ajolo_fanout")}
    assert ours <= {"ajolo_fanout", "ajolo_fanout.testing", "ajolo_fanout.testing.pytest_plugin"}


def test_testing_imports_neither_pytest_nor_testcontainers() -> None:
    """Each is there for those who use it, and is imported when it is used."""
    loaded = loaded_by(f"from ajolo_fanout.testing import {', '.join(PUBLIC)}")
    heavy = ("pytest", "_pytest", "testcontainers", "docker", "trustme")
    assert not {name for name in loaded if name.split(".")[0] in heavy}


def test_the_server_imports_grpc_for_grpc_only() -> None:
    start = "from ajolo_fanout.testing import OtlpServer; OtlpServer({!r}).stop()"
    assert "grpc" not in loaded_by(start.format("http/protobuf"))
    assert "grpc" in loaded_by(start.format("grpc"))
