"""What every test starts from: an environment that says nothing, as many examples as the mode asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

LONG = os.environ.get("AJOLO_LONG", "") not in ("", "0")

# What ours, the SDK's, a vendor's or gRPC's code would read; a proxy would take requests off loopback.
_AMBIENT = ("OTEL_", "DD_", "LANGFUSE_", "HONEYCOMB_", "TEMPO_", "GRAFANA_", "AJOLO_FANOUT_", "GRPC_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy")

# Two cores shared with servers and child processes: a slow example is no failure.
_SHARED = {"deadline": None, "suppress_health_check": (HealthCheck.too_slow,)}
# The same examples each time, so that a failure is its commit's; the long mode looks for new ones.
settings.register_profile("normal", max_examples=100, derandomize=True, **_SHARED)
settings.register_profile("long", max_examples=1_000, **_SHARED)
settings.load_profile("long" if LONG else "normal")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `long` belong to the long mode (`nox -s long`)."""
    if not LONG:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Where everything is provided (`.ci/run`), a test that skips has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("AJOLO_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be absent: {report.longrepr}"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_AMBIENT) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    # The last is for this run of pytest, and not for one that a test starts.
    for name in ("NO_COLOR", "FORCE_COLOR", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
