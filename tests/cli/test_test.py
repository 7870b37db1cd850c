"""`ajolo-fanout test` and `pytest tracing.toml`: the tests in a file, with exit codes and places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ajolo_fanout.cli.main import cli

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tracing.toml"
PASSES = """
[[tests]]
name = "no card number"
spans = [{ name = "n", attributes = { note = "5500 0055 5555 5559" } }]
expect.a = [{ attributes = { note = "[credit_card]" } }]
"""
FAILS = """
[[tests]]
name = "the wrong name"
spans = [{ name = "n" }]
expect.a = [
  { name = "m" },
]
"""
HEAD = """schema = 1
[service]
name = "x"
[backends.a]
type = "honeycomb"
region = "us"
api_key = "${HONEYCOMB_API_KEY}"
redaction.detect = ["credit_card"]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _run(text: str | None, *arguments: str) -> Result:
    if text is not None:
        Path("tracing.toml").write_text(HEAD + text, encoding="utf-8")
    return CliRunner().invoke(cli, ["test", *arguments])


def test_tests_that_pass() -> None:
    """Exit 0; on standard error which placeholders stand in."""
    ran = _run(PASSES)
    assert ran.exit_code == 0
    assert ran.stdout == "ok    no card number\n\ntracing.toml: 1 test passed\n"
    assert ran.stderr.startswith(
        "warning: tracing.toml:7:1: the environment variable HONEYCOMB_API_KEY is unset"
    )
    assert "a placeholder stands in" in ran.stderr


def test_a_test_that_fails_shows_the_difference_and_its_line() -> None:
    ran = _run(PASSES + FAILS)
    assert ran.exit_code == 1
    assert ran.stdout == (
        "ok    no card number\n"
        "FAIL  the wrong name\n"
        "  --> tracing.toml:19:5  tests[1].expect.a[0].name\n"
        "      a, n\n"
        '      expected the name "m"\n'
        '      got      "n"\n'
        "\n"
        "tracing.toml: 1 of 2 tests failed\n"
    )


def test_the_same_as_json() -> None:
    ran = _run(PASSES + FAILS, "--json")
    assert ran.exit_code == 1
    made = json.loads(ran.stdout)
    assert (made["file"], made["passed"], made["failed"]) == ("tracing.toml", 1, 1)
    assert [one["name"] for one in made["tests"]] == ["no card number", "the wrong name"]
    [difference] = made["tests"][1]["differences"]
    assert difference == {
        "file": "tracing.toml",
        "line": 19,
        "column": 5,
        "key": "tests[1].expect.a[0].name",
        "backend": "a",
        "span": "n",
        "expected": 'the name "m"',
        "got": '"n"',
    }
    assert [one["code"] for one in made["placeholders"]] == ["unset-variable"]


def test_a_file_without_tests_says_so() -> None:
    ran = _run("")
    assert (ran.exit_code, ran.stdout) == (0, "tracing.toml has no [[tests]]\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PASSES.replace("expect.a", "expect.aa"), 'there is no backend of this name; did you mean "a"?'),
        (PASSES.replace("name =", "nane =", 1), 'unknown key; did you mean "name"?'),
        (FAILS.replace('spans = [{ name = "n" }]', 'spans_file = "no.jsonl"'), "no.jsonl: can't be read"),
    ],
)
def test_tests_that_are_wrong_are_errors_of_the_file(text: str, said: str) -> None:
    """Exit 78, with the line."""
    ran = _run(text)
    assert ran.exit_code == 78
    assert said in " ".join(ran.stderr.split())
    assert "--> tracing.toml:1" in ran.stderr
    assert "\ntracing.toml: " in ran.stderr


def test_mistakes_of_the_command_line() -> None:
    assert _run(None, "--jsn").exit_code == 2
    assert _run(None, "nowhere.toml").exit_code == 78


def test_names_and_values_steer_no_terminal() -> None:
    ran = _run(
        FAILS.replace('"the wrong name"', '"\\u001b[31mred"').replace('name = "n"', 'name = "\\u001b]n"')
    )
    assert ran.exit_code == 1
    assert "\x1b" not in ran.output


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # others' plugins take seconds to load; ours is named
    command = [sys.executable, "-m", "pytest", "-p", "ajolo_fanout", "-p", "no:cacheprovider", "-W", "error"]
    command += arguments
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environ)


def test_pytest_collects_a_file_that_is_named() -> None:
    """With lines to go to, and the placeholders told where something fails."""
    Path("tracing.toml").write_text(HEAD + PASSES + FAILS, encoding="utf-8")
    Path("pyproject.toml").write_text("[tool.pytest.ini_options]\n", encoding="utf-8")
    ran = _pytest("-v", "tracing.toml")
    assert ran.returncode == 1, ran.stderr
    assert "tracing.toml::no card number PASSED" in ran.stdout
    assert "tracing.toml::the wrong name FAILED" in ran.stdout
    assert "tracing.toml:19: tests[1].expect.a[0].name" in ran.stdout
    assert 'expected the name "m"' in ran.stdout
    assert "HONEYCOMB_API_KEY is unset" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    only = _pytest("-q", "tracing.toml::no card number")
    assert (only.returncode, "1 passed" in only.stdout) == (0, True)


def test_pytest_tells_the_errors_of_a_file_that_is_wrong() -> None:
    Path("tracing.toml").write_text(HEAD + PASSES.replace("expect.a", "expect.aa"), encoding="utf-8")
    ran = _pytest("tracing.toml")
    assert ran.returncode == 2
    assert (
        'tracing.toml:13: tests[0].expect.aa: there is no backend of this name; did you mean "a"?'
        in ran.stdout
    )
    assert "Traceback" not in ran.stdout + ran.stderr


def test_pytest_looks_at_no_file_that_is_not_named_and_at_none_of_others() -> None:
    """Whoever has the package installed and doesn't use this sees and pays nothing of it."""
    Path("tracing.toml").write_text(HEAD + FAILS, encoding="utf-8")
    Path("test_plain.py").write_text(
        "import sys\ndef test_nothing_of_ours_is_imported():\n"
        "    assert not [m for m in sys.modules if m.startswith('ajolo_fanout.') and 'testing' not in m]\n",
        encoding="utf-8",
    )
    ran = _pytest("-q", ".")
    assert (ran.returncode, "1 passed" in ran.stdout) == (0, True), ran.stdout
    Path("other.toml").write_text("[tool.x]\ny = 1\n", encoding="utf-8")
    assert "no match in any of" in _pytest("other.toml").stderr


def test_the_tests_of_the_example_pass() -> None:
    ran = CliRunner().invoke(cli, ["test", str(EXAMPLE)])
    assert ran.exit_code == 0
    assert ran.stdout.count("ok    ") >= 4
