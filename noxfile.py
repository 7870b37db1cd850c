"""Sessions around the tests: every Python, both ends of OpenTelemetry's range, the built wheel, the long mode."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "tests"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
OPENTELEMETRY = {"lowest": ("==1.40.0", "==0.61b0"), "highest": ("", "")}
PACKAGES = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-grpc",
)

HERE = Path(__file__).parent

LONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "phoenix": (("phoenix",), ("tests/systems/test_phoenix.py",)),
    "mlflow": (("mlflow",), ("tests/systems/test_mlflow.py",)),
    "vendors": (("instrumented", "vendors"), ("tests/install/test_vendors.py",)),
    "ajolopy": (("ajolopy_tests",), ("tests/install/test_ajolopys_own_tests.py",)),
    "soak": ((), ("tests/delivery/test_soak.py",)),
    "outages": (
        (),
        (
            "tests/delivery/test_crashes.py",
            "tests/delivery/test_redelivery.py",
            "tests/install/test_shared_spool.py",
        ),
    ),
    "programs": ((), ("tests/install",)),
    "properties": ((), ("tests",)),
}
"""The parts of the long mode: the environments of `scripts/venv` that each wants, and its tests.

What is below a folder of one part and named by another is the other's.
"""

# What scripts/python314 provides is nowhere on the machine's own path.
_PYTHON314 = Path(os.environ.get("AJOLO_PYTHON314", HERE / ".cache/python314/root/usr/bin/python3.14"))
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], str(_PYTHON314.parent)])


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, the import contract, spelling, freshness of what is generated."""
    session.install("-e", ".[html,lint,testing]", "hypothesis")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")
    session.run("codespell", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "src", "docs", "backends")
    session.run("python", "-m", "ajolo_fanout.reference", "--check")
    session.run("python", "-m", "ajolo_fanout.cli.reference", "--check")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests on one Python."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("version", [nox.param(version, id=version) for version in OPENTELEMETRY])
def otel(session: nox.Session, version: str) -> None:
    """The tests at one end of the supported range of OpenTelemetry."""
    stable, beta = OPENTELEMETRY[version]
    session.install(
        "-e",
        ".[test]",
        *(f"{name}{stable}" for name in PACKAGES),
        *(
            f"opentelemetry-instrumentation-{name}{beta}"
            for name in ("fastapi", "grpc", "sqlite3", "urllib3")
        ),
    )
    session.run("pytest", "-m", "not long", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("way", [nox.param(way, id=way) for way in ("container", "process")])
def collector(session: nox.Session, way: str) -> None:
    """The tests against a real OpenTelemetry Collector, in one of the two ways to run it."""
    session.install("-e", ".[test]")
    env = {"AJOLO_COLLECTOR_BINARY": _said(session, "scripts/collector")}
    if way == "container":
        session.run("scripts/docker-engine", external=True)
        env["AJOLO_COLLECTOR_IMAGE"] = _said(session, "scripts/collector-image")
    else:
        env["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    session.run("pytest", "tests/collector", *session.posargs, env=env)


def _said(session: nox.Session, script: str) -> str:
    """The last line of what a script of this checkout says: the path or the name that it provides."""
    return str(session.run(script, external=True, silent=True)).splitlines()[-1]


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests with branch coverage, child processes included."""
    session.install("-e", ".[test,lint]")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session
def wheel(session: nox.Session) -> None:
    """The built wheel, outside the checkout: profiles and examples travel with it."""
    session.install("build")
    out = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", out, silent=True)
    session.install("--find-links", out, "--no-index", "--no-deps", "--force-reinstall", "ajolo-fanout")
    session.install("ajolo-fanout", "--find-links", out)
    session.chdir(out)
    session.run("ajolo-fanout", "demo")


@nox.session
def example(session: nox.Session) -> None:
    """A user's project with an integration test, in a folder and a venv of its own, against the built wheel."""
    session.install("build")
    out = Path(session.create_tmp())
    session.run("python", "-m", "build", "--wheel", "--outdir", str(out), silent=True)
    project = out / "integration_test"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree("examples/integration_test", project)
    session.install("--find-links", str(out), "--no-index", "--no-deps", "--force-reinstall", "ajolo-fanout")
    session.install("--find-links", str(out), "-r", str(project / "requirements.txt"))
    session.run("scripts/docker-engine", external=True)
    image = _said(session, "scripts/collector-image")
    session.chdir(project)
    session.run("pytest", env={"AJOLO_COLLECTOR_IMAGE": image, "TESTCONTAINERS_RYUK_DISABLED": "true"})


@nox.session
@nox.parametrize("part", [nox.param(part, id=part) for part in LONG])
def long(session: nox.Session, part: str) -> None:
    """One part of the long mode: `nox -s long` runs all, `nox -s "long(phoenix)"` one."""
    environments, paths = LONG[part]
    for name in environments:
        session.run(str(HERE / "scripts/venv"), name, external=True)
    session.install("-e", ".[test]")
    others = {path for _, theirs in LONG.values() for path in theirs if path not in paths}
    below = [one for one in others if any(Path(path) in Path(one).parents for path in paths)]
    session.run(
        "pytest",
        "--timeout=3600",
        "-m=long or scaled or hypothesis",
        *(f"--ignore={path}" for path in sorted(below)),
        *paths,
        *session.posargs,
        # What they want was provided above: a skip would be a part that proves nothing.
        env={"AJOLO_LONG": "1", "AJOLO_NO_SKIPS": "1"},
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark; the figures that count are ratios within one run."""
    session.install("-e", ".[test]")
    for name in ("span_end", "span_start", "encode", "redaction", "open_traces", "fanout", "check"):
        session.run("python", f"benchmarks/{name}.py")
