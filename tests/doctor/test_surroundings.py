"""What is around the backends: packages, the environment, other tracers, proxies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doctor.support import HEAD

from ajolo_fanout.config.document import parse
from ajolo_fanout.doctor.findings import Check, Checkup
from ajolo_fanout.doctor.surroundings import look_around, outside
from ajolo_fanout.plan.resolve import resolve

CONSOLE = '[backends.c]\ntype = "console"\n'


def around(text: str = CONSOLE, environ: Mapping[str, str] | None = None) -> tuple[Check, ...]:
    environ = os.environ if environ is None else environ
    document = parse(HEAD + text, "tracing.toml")
    return look_around(resolve(document, environ), document, environ)


def named(checks: tuple[Check, ...], name: str) -> list[Check]:
    return [check for check in checks if check.name == name]


def test_an_environment_that_is_as_it_should_be() -> None:
    checks = around(environ={})
    assert [check for check in checks if check.status not in ("ok", "skipped")] == []
    [packages] = named(checks, "packages")
    assert "in the tested range" in packages.said


@pytest.mark.parametrize(
    ("version", "bounds", "is_outside"),
    [
        ("1.45.2", "<2,>=1.40", False),
        ("1.40", "<2,>=1.40", False),
        ("1.40.0", "<2,>=1.40.0", False),
        ("1.39.1", "<2,>=1.40", True),
        ("2.0.0", "<2,>=1.40", True),
        ("2.0.0rc1", "<2,>=1.40", True),
        ("1.46.0.dev", "<=1.46,>1.45", False),
        ("9", "", False),
    ],
)
def test_whether_a_version_is_in_the_tested_range(version: str, bounds: str, is_outside: bool) -> None:
    assert outside(version, bounds) is is_outside


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=4), st.lists(st.integers(0, 50), min_size=1, max_size=4)
)
def test_a_version_is_below_another_or_not(one: list[int], other: list[int]) -> None:
    """Exactly one of `<` and `>=` holds, however many numbers there are."""
    here, there = (".".join(map(str, numbers)) for numbers in (one, other))
    assert outside(here, f"<{there}") is not outside(here, f">={there}")


def environment(folder: Path, *packages: tuple[str, str, tuple[str, ...]]) -> str:
    """A folder with installed packages in it: name, version, files."""
    for name, version, files in packages:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    return str(folder)


def test_a_version_outside_the_tested_range_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(environment(tmp_path, ("opentelemetry-sdk", "1.12.0", ())))
    [check] = named(around(environ={}), "packages")
    assert check.status == "warning"
    assert "opentelemetry-sdk 1.12.0 (<2,>=1.40)" in check.said


def test_packages_of_several_releases_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(environment(tmp_path, ("opentelemetry-proto", "1.41.0", ())))
    [check] = named(around(environ={}), "packages")
    assert check.status == "warning"
    assert "proto 1.41.0" in check.said
    assert check.next.startswith("pip install --upgrade opentelemetry-api opentelemetry-sdk")


def test_a_package_that_brings_opentelemetrys_own_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever was installed last has overwritten the other's, and breaks it at the next upgrade."""
    [theirs] = [one for one in metadata.files("opentelemetry-proto") or () if one.name == "trace_pb2.py"]
    files = (str(theirs),)
    copy = tmp_path / theirs
    copy.parent.mkdir(parents=True)
    copy.write_bytes(theirs.read_binary())
    monkeypatch.syspath_prepend(environment(tmp_path, ("someones-fast-proto", "3.0", files)))
    overwritten = [check for check in named(around(environ={}), "packages") if check.status == "warning"]
    assert len(overwritten) == 1
    assert "opentelemetry-proto and someones-fast-proto bring the same files" in overwritten[0].said


def test_packages_with_a_known_conflict_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = (("openlit", "1.45.0", ()), ("arize-phoenix-otel", "0.17.2", ()))
    monkeypatch.syspath_prepend(environment(tmp_path, *packages))
    said = [check.said for check in named(around(environ={}), "neighbour")]
    assert any(
        text.startswith("openlit 1.45.0: openlit.init(otlp_endpoint=...) sets OTEL_EXPORTER_OTLP_ENDPOINT")
        for text in said
    )
    assert any(text.startswith("arize-phoenix-otel 0.17.2: the provider of") for text in said)


def test_a_vendors_sdk_that_is_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "langfuse").mkdir()
    (tmp_path / "langfuse" / "__init__.py").write_text("raise AssertionError('it is not imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    [check] = named(around(environ={}), "neighbour")
    assert check.status == "ok"
    assert check.said.startswith(
        "Langfuse's SDK is installed; in a program that uses it, it sends on its own"
    )
    assert "LANGFUSE_TRACING_ENABLED=false turns it off" in check.said


def test_variables_that_are_set_and_ignored_are_named_without_their_values() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret-of-another",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_CONFIG_FILE": "otel.yaml",
    }
    checks = named(around(environ=environ), "ignored")
    assert [check.status for check in checks] == ["warning", "warning"]
    said = " ".join(check.said for check in checks)
    assert all(name in said for name in environ)
    assert "secret-of-another" not in said


def test_ddtrace_that_would_own_the_provider_is_a_warning() -> None:
    """It is installed with the tests, and a program under ddtrace-run would meet it."""
    [check] = named(around(environ={"DD_TRACE_OTEL_ENABLED": "true"}), "ddtrace")
    assert check.status == "warning"
    assert check.said.startswith("DD_TRACE_OTEL_ENABLED has ddtrace")


def test_a_spool_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    text = f'[spool]\ndirectory = "{tmp_path}/none/spool"\n[backends.o]\ntype = "otlp"\nspool = "always"\nendpoint = "http://127.0.0.1:4318"\n'
    [check] = named(around(text, {}), "spool")
    assert check.status == "warning"
    assert check.said.startswith("tracing.toml:5: ")


def test_tracing_that_is_switched_off_is_no_health() -> None:
    [check] = named(around(environ={"OTEL_SDK_DISABLED": "TRUE"}), "switch")
    assert (check.status, check.next) == ("failed", "unset OTEL_SDK_DISABLED")
    assert not Checkup("tracing.toml", (check,), ()).fine


def test_a_file_all_of_whose_backends_are_off_is_no_health() -> None:
    [check] = named(around(CONSOLE + "enabled = false\n", {}), "switch")
    assert check.status == "failed"
    assert "nothing is sent anywhere" in check.said


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxies_are_named_without_their_credentials(name: str) -> None:
    environ = {name: "http://me:pass-word@proxy.example:3128", "NO_PROXY": "localhost,.internal"}
    said = [check.said for check in named(around(environ=environ), "proxy")]
    assert said == [f"{name} is http://proxy.example:3128", "NO_PROXY leaves out localhost,.internal"]


PROGRAM = """
import json, os
{before}
from ajolo_fanout.config.document import parse
from ajolo_fanout.doctor.surroundings import look_around
from ajolo_fanout.plan.resolve import resolve
document = parse('schema = 1\\n[backends.c]\\ntype = "console"\\n', "tracing.toml")
checks = look_around(resolve(document, os.environ), document, os.environ)
[check] = [check for check in checks if check.name == "provider"]
print(check.status, "|", check.said, "|", check.next)
"""
SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
"""
FOREIGN = """
from opentelemetry import trace
class Theirs(trace.TracerProvider):
    def get_tracer(self, *args, **kwargs): return trace.NoOpTracer()
trace.set_tracer_provider(Theirs())
"""


@pytest.mark.parametrize(
    ("before", "environ", "expected"),
    [
        (SDK, {}, ["warning", "SimpleSpanProcessor", "attaches to it"]),
        (FOREIGN, {}, ["failed", "__main__.Theirs, which takes no span processor", "install before"]),
        ("", {"OTEL_PYTHON_TRACER_PROVIDER": "nobody"}, ["failed", "OTEL_PYTHON_TRACER_PROVIDER", "unset"]),
        (
            "import ddtrace.auto",
            {"DD_TRACE_OTEL_ENABLED": "true", "DD_TRACE_ENABLED": "false"},
            ["failed", "ddtrace", "unset DD_TRACE_OTEL_ENABLED"],
        ),
    ],
)
def test_another_provider_in_the_process_is_named(
    before: str, environ: dict[str, str], expected: list[str]
) -> None:
    """Whatever the doctor is run under (ddtrace-run, opentelemetry-instrument) sets it for the program, too."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    line = done.stdout.strip().splitlines()[-1]
    parts = line.split(" | ")
    assert parts[0] == expected[0], line + done.stderr
    assert expected[1] in parts[1]
    assert expected[2] in parts[2]
