"""A plugin for somebody else's test-suite: our provider is global before its first test is collected."""

from __future__ import annotations

from opentelemetry import trace

from ajolo_fanout import install_from_config

fanout = install_from_config()
assert trace.get_tracer_provider() is fanout.provider


def pytest_unconfigure() -> None:
    fanout.flush(30)
