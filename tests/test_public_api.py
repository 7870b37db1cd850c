"""What the package shows, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import ajolo_fanout

HEAVY = ("click", "rich", "re2", "grpc", "opentelemetry.exporter", "pytest", "ajolo_fanout.testing")


def modules_after(code: str) -> set[str]:
    """The names of the modules that a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> list[str]:
    return [name for name in HEAVY if any(one == name or one.startswith(f"{name}.") for one in modules)]


def test_the_public_names_are_these_and_no_others() -> None:
    assert sorted(ajolo_fanout.__all__) == [
        "ConfigError",
        "Draft",
        "Fanout",
        "FanoutError",
        "Health",
        "InstallError",
        "Problem",
        "Report",
        "__version__",
        "context",
        "exclude",
        "install_from_config",
        "keep",
        "only",
    ]
    for name in ajolo_fanout.__all__:
        assert getattr(ajolo_fanout, name) is not None
        assert name in dir(ajolo_fanout)


def test_the_version_is_that_of_the_distribution() -> None:
    assert ajolo_fanout.__version__ == version("ajolo-fanout")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'instal'"):
        ajolo_fanout.instal  # noqa: B018


def test_importing_the_package_loads_nothing_of_it() -> None:
    loaded = modules_after("import ajolo_fanout")
    assert [name for name in loaded if name.startswith("ajolo_fanout.")] == []
    assert "opentelemetry.sdk.trace" not in loaded


def test_importing_the_installation_loads_nothing_that_a_plan_may_not_need() -> None:
    assert heavy(modules_after("from ajolo_fanout import install_from_config")) == []


def test_errors_can_be_imported_without_the_sdk() -> None:
    loaded = modules_after("from ajolo_fanout import ConfigError, InstallError, FanoutError, Problem")
    assert "opentelemetry.sdk.trace" not in loaded
