"""The pages followed to the letter: what a newcomer copies runs, and what comes is what the page shows."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ajolo_fanout import ConfigError, install_from_config
from ajolo_fanout.cli.main import cli
from ajolo_fanout.testing import fake_backends

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1"}
VARYING = re.compile(r"[0-9a-f]{8}…|[\d.]+ (?:µs|ms|s)\b")


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a language on a page, in their order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [block for found, block in BLOCK.findall(text) if found == language]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A Python program in `folder`, with nothing of this program's own settings in its environment."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("AJOLO_", "PYTEST_"))
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=110,
        check=False,
    )


def printed(*arguments: str) -> str:
    """What a command prints on standard output."""
    return CliRunner().invoke(cli, list(arguments)).stdout


def shows(page: str, output: str) -> bool:
    """Whether what a page shows is what comes: each part, up to a line with … alone, in its order."""
    at = 0
    for part in re.split(r"^…\n", page, flags=re.MULTILINE):
        found = output.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


TUTORIAL = "tutorial/first-traces.md"


def test_the_tutorials_first_program_prints_the_tree_that_it_shows(tmp_path: Path) -> None:
    """Ids and durations aside."""
    (tmp_path / "tracing.toml").write_text(blocks(TUTORIAL, "toml")[0])
    (tmp_path / "app.py").write_text(blocks(TUTORIAL, "python")[0])
    done = run("app.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    alike = [
        re.sub(r" +", " ", VARYING.sub("_", text)) for text in (done.stderr, blocks(TUTORIAL, "text")[0])
    ]
    assert alike[0] == alike[1]


def test_the_tutorials_last_program_prints_the_report_that_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the keys set, and a fake in Langfuse's place."""
    (tmp_path / "tracing.toml").write_text("\n".join(blocks(TUTORIAL, "toml")))
    (tmp_path / "app.py").write_text("\n".join(blocks(TUTORIAL, "python")))
    monkeypatch.chdir(tmp_path)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with fake_backends():
        runpy.run_path("app.py")
    assert capsys.readouterr().out == blocks(TUTORIAL, "text")[1]


def test_the_tutorials_typing_mistake_is_told_as_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line at which it stands in the file that was written by then."""
    monkeypatch.chdir(tmp_path)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    text = "\n".join(blocks(TUTORIAL, "toml")).replace("region =", "regoin =")
    Path("tracing.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        install_from_config("tracing.toml")
    assert blocks(TUTORIAL, "") == [f"{caught.value}\n"]


@pytest.mark.parametrize(("number", "command"), [(0, "preview"), (1, "explain --span 8920bba74a979c6e")])
def test_preview_and_explain_print_what_their_page_shows(
    number: int, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the file that the page names."""
    monkeypatch.chdir(tmp_path)
    Path("tracing.toml").write_bytes((ROOT / "examples" / "tracing.toml").read_bytes())
    page = "how-to/preview-and-explain.md"
    assert f"ajolo-fanout {command}" in "".join(blocks(page, "bash"))
    assert shows(blocks(page, "text")[number], printed(*command.split()))


TESTING = "how-to/test-your-file.md"


def test_a_failing_test_of_the_file_is_told_as_its_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line of the file that the page shows, after the change that the page names."""
    monkeypatch.chdir(tmp_path)
    text = blocks(TESTING, "toml")[0]
    kept = text.replace('redaction.content = "drop"', 'redaction.content = "keep"')
    assert kept != text
    Path("tracing.toml").write_text(kept)
    assert shows(blocks(TESTING, "text")[0], printed("test"))


AGENT = """
from opentelemetry import trace

from ajolo_fanout import install_from_config


def main(question):
    install_from_config()
    with trace.get_tracer("my-agent").start_as_current_span("agent.invoke") as span:
        span.set_attribute("gen_ai.prompt", question)
"""
"""The program that the pages leave to the reader."""


def test_the_tests_that_the_pages_show_pass(tmp_path: Path) -> None:
    """Of a file and of a program, against fakes; and of a processor of one's own."""
    processors = blocks("how-to/write-a-processor.md", "python")
    agent = tmp_path / "my_agent"
    agent.mkdir()
    (agent / "__init__.py").write_text(AGENT)
    (agent / "processors.py").write_text(processors[0])
    (tmp_path / "tracing.toml").write_text(blocks(TESTING, "toml")[0])
    tests = {
        "test_file.py": blocks(TESTING, "python")[0],
        "test_program.py": blocks(TESTING, "python")[1],
        "test_processor.py": processors[1],
    }
    for name, text in tests.items():
        (tmp_path / name).write_text(text)
    # ddtrace's own plugin would take longer than all of this.
    options = ("-v", "-p", "no:cacheprovider", "-p", "no:ddtrace")
    done = run("-m", "pytest", *options, *tests, "tracing.toml", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    for name in (*tests, "tracing.toml"):
        assert re.search(rf"^{name}::.* PASSED", done.stdout, re.MULTILINE), done.stdout
