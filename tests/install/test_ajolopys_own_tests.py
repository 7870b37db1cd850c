"""Ajolopy's own tests, from its source distribution, with our provider in place: as many pass as without us."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.venvs import CACHE, CHECKOUT, environment

from ajolo_fanout.testing import OtlpServer

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

_PIN = re.compile(r"^ajolopy\[otel\]==(.+)$", re.MULTILINE)
[RELEASE] = _PIN.findall((CHECKOUT / "tests/venvs/ajolopy_tests.txt").read_text(encoding="utf-8"))
FOLDERS = ("observability", "agent", "workflow", "lifecycle")
FEWEST = 200
"""That many pass at the least: where fewer do, something else is wrong than our provider."""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """The unpacked source distribution."""
    python = environment("ajolopy_tests")
    sdists = CACHE / "sdists"
    archive = sdists / f"ajolopy-{RELEASE}.tar.gz"
    if not archive.exists():
        fetch = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "ajolopy"]
        subprocess.run([*fetch, "--dest", sdists, f"ajolopy=={RELEASE}"], check=True, timeout=600)
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    return tmp_path / f"ajolopy-{RELEASE}"


def passed(suite: Path, report: Path, *arguments: str, env: dict[str, str] | None = None) -> set[str]:
    """The tests that pass."""
    command = [environment("ajolopy_tests"), "-m", "pytest", "-q", "-o", "addopts=", "--timeout=120"]
    # One of its modules tests a script that isn't in the distribution.
    command += ["--continue-on-collection-errors"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    command += [f"tests/{folder}" for folder in FOLDERS]
    programs = {"PYTHONPATH": str(CHECKOUT / "tests/programs"), **(env or {})}
    done = subprocess.run(
        list(map(str, command)),
        cwd=suite,
        env={**os.environ, **programs},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert report.exists(), done.stdout + done.stderr
    return {
        f"{case.get('classname')}::{case.get('name')}"
        for case in ET.parse(report).iter("testcase")
        if all(case.find(what) is None for what in ("failure", "error", "skipped"))
    }


def test_as_many_of_them_pass_as_without_us(
    suite: Path, tmp_path: Path, write_file: Callable[..., Path], server: OtlpServer
) -> None:
    without = passed(suite, tmp_path / "without.xml")
    assert len(without) >= FEWEST
    env = {"AJOLO_FANOUT_CONFIG": str(write_file(server.endpoint))}
    ours = passed(suite, tmp_path / "with.xml", "-p", "fanout_installed", env=env)
    assert without - ours == set()
    assert {span.scope.name for span in server.spans} >= {"ajolopy.agent"}, (
        "nothing went through our provider"
    )
