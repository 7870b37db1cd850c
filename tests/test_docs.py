"""The documents say what is: links lead somewhere, files are valid, words are the code's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ajolo_fanout
import ajolo_fanout.testing
from ajolo_fanout.config.document import parse
from ajolo_fanout.health.fates import REASONS, Counts
from ajolo_fanout.health.report import Health, HeldTraces, Report
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.profiles import catalog
from ajolo_fanout.replay.infile import run_test

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("backends/*.md")]
    if page.is_file()
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


def blocks(language: str) -> list[tuple[str, str]]:
    """Every block of a language, with the page that it stands on."""
    return [
        (str(page.relative_to(ROOT)), text)
        for page in PAGES
        for found, text in BLOCK.findall(page.read_text())
        if found == language
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """A reader who follows a link finds a page."""
    targets = [target for target, _ in LINK.findall(page.read_text()) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@pytest.fixture
def _my_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that a page tells the reader to write, for the file that the page shows."""
    [code] = [text for _, text in blocks("python") if text.startswith("# my_agent/processors.py\n")]
    module = types.ModuleType("my_agent.processors")
    exec(compile(code, "my_agent/processors.py", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "my_agent", types.ModuleType("my_agent"))
    monkeypatch.setitem(sys.modules, "my_agent.processors", module)


@pytest.mark.usefixtures("_my_agent")
@pytest.mark.parametrize(("page", "text"), blocks("toml"))
def test_every_configuration_shown_is_valid(page: str, text: str) -> None:
    """What is copied from a page works: as it stands, or as the part of a file that it is."""
    if "[project" in text or "[tool." in text or page == "backends/README.md":
        pytest.importorskip("tomli").loads(text)
        return
    whole = text if "schema = 1" in text else f"schema = 1\n{text}"
    plan = resolve(parse(whole, page), {}, allow_unset=True)
    assert plan.backends or "[backends" not in text


@pytest.mark.parametrize(("page", "text"), [one for one in blocks("toml") if "[[tests]]" in one[1]])
def test_every_test_of_a_file_that_is_shown_passes(page: str, text: str) -> None:
    """What is copied from a page works: the tests in it, too."""
    document = parse(text, page)
    plan = resolve(document, {}, allow_unset=True)
    judged = [run_test(plan, document, number) for number in range(len(plan.tests))]
    assert judged
    assert [str(one) for each in judged for one in each.differences] == []


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_every_program_shown_is_python(page: str, text: str) -> None:
    """No example has a syntax error."""
    compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_profile_is_named_in_the_readme() -> None:
    """A newcomer sees what the project can send to."""
    readme = (ROOT / "README.md").read_text()
    assert [name for name in catalog.names() if f"`{name}`" not in readme] == []


def test_every_reason_of_a_loss_is_explained() -> None:
    """Whoever reads a reason in health finds what it means."""
    page = (ROOT / "docs/explanation/delivery.md").read_text()
    assert [reason for reason in REASONS if f"`{reason}`" not in page] == []


def test_the_readmes_two_commands_are_one_line_each() -> None:
    """Set-up included: what CI runs is what a newcomer copies."""
    section = (ROOT / "README.md").read_text().split("## Two commands")[1].split("\n## ")[0]
    commands = [text.strip() for language, text in BLOCK.findall(section) if language == "bash"]
    assert len(commands) == 2
    assert all("\n" not in command and "python3 -m venv" in command for command in commands)
    assert commands[0].endswith("ajolo-fanout demo")
    assert "pytest" in commands[1]


def test_the_figures_of_the_page_on_sampling_are_those_of_its_example() -> None:
    """Whoever runs the command that the page names sees what the page shows."""
    page = (ROOT / "docs/explanation/sampling.md").read_text()
    [command] = re.findall(r"`python (\S+\.py)`", page)
    done = subprocess.run(
        [sys.executable, command], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"```text\n{done.stdout}```" in page
    file = (ROOT / command).with_name("tracing.toml").read_text()
    [shown] = [text for language, text in BLOCK.findall(page) if language == "toml"]
    assert shown in file


def test_the_python_reference_names_everything_public() -> None:
    """And every member of what the two calls give."""
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    members = [
        member for cls in (Report, Health, Counts, HeldTraces) for member in vars(cls) if member[0] != "_"
    ]
    calls = ["flush", "aflush", "shutdown", "health", "invocation", "processors", "provider", "plan"]
    names = [*ajolo_fanout.__all__, *ajolo_fanout.testing.__all__, *members, *calls]
    assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []


def test_the_map_of_the_house_has_every_room() -> None:
    """A reader finds each module of the top and each room on it."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rooms = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "src" / "ajolo_fanout").iterdir()
        if not path.name.startswith("_") and path.suffix in ("", ".py")
    ]
    assert [room for room in rooms if f"\n  {room} " not in page] == []
