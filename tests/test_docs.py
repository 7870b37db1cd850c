"""The documents say what is: links lead somewhere, files are valid, words are the code's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
import tomli

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
    for folder in ("*.md", "docs/**/*.md", "backends/*.md", "examples/**/*.md")
    for page in ROOT.glob(folder)
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


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What its headings are called in links: as GitHub makes it, a number behind those that come again."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_a_heading_lead_to_one(page: Path) -> None:
    """On another page, or on the same."""
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", prose(page))
    assert [
        f"{target}#{anchor}"
        for target, anchor in links
        if "://" not in target and anchor not in anchors(page.parent / target if target else page)
    ] == []


def test_every_page_and_every_picture_is_found_from_the_readme() -> None:
    """By links alone; a page that nobody finds helps nobody."""
    found: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        at = left.pop()
        if at not in found:
            found.add(at)
            if at.suffix == ".md":
                left += [(at.parent / to).resolve() for to, _ in LINK.findall(prose(at)) if "://" not in to]
    things = [
        *PAGES,
        *ROOT.glob("docs/images/*"),
        *ROOT.glob("examples/*.toml"),
        *ROOT.glob("docs/reference/*"),
    ]
    assert [str(one.relative_to(ROOT)) for one in things if one not in found] == []


def test_each_dependency_says_what_it_is_for() -> None:
    """Those of the package and of its extras for users in the README, the others in CONTRIBUTING."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    users = [*project["dependencies"], *extras["testing"], *extras["yaml"], *extras["html"]]
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Dependencies")[1]
    named = section.replace("-http, -grpc", "-http, opentelemetry-exporter-otlp-proto-grpc")
    assert [name for name in _names(users) if not _holds(named, name)] == []
    others = [*extras["test"], *extras["lint"], *extras["dev"]]
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("### What the extras")[1]
    assert [
        name
        for name in _names(others)
        if not name.startswith(("ajolo-fanout", "opentelemetry-instrumentation-")) and not _holds(page, name)
    ] == []


def _names(requirements: list[str]) -> list[str]:
    return [re.split(r"[^\w-]", one)[0] for one in requirements]


def _holds(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){name}(?![\w-])", text) is not None


def test_every_warning_of_check_is_explained() -> None:
    """Whoever gets a warning finds it on the page; and the page names none that nobody gets."""
    page = (ROOT / "docs/how-to/check-your-file.md").read_text(encoding="utf-8")
    table = page.split("## What it warns of")[1].split("\n\n")[1]
    named = set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))))
    cases = [path.read_text(encoding="utf-8") for path in (ROOT / "tests/cli/cases").glob("*.expected")]
    given = set(re.findall(r"^warning\[([a-z-]+)\]", "\n".join(cases), re.MULTILINE))
    assert named == given


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
        tomli.loads(text)
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
    assert [room for room in rooms if page.count(f"\n  {room} ") != 1] == []
