"""Each `cases/NAME.toml` makes `cases/NAME.expected`: the plan as text, or every problem.

Comments at a case's top say how it is read: `#: env NAME=value`, `#: tolerant`, `#: allow_unset`,
`#: render origins`. `python tests/plan/test_cases.py` writes the expectations anew, to be read in the diff.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ajolo_fanout.config.document import load
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.plan.render import render
from ajolo_fanout.plan.resolve import resolve

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.stem for path in CASES.glob("*.toml"))


def outcome(name: str) -> str:
    """What the case called `name` makes."""
    path = CASES / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    environ = dict(re.findall(r"^#: env (\w+)=(.*)$", text, re.MULTILINE))
    try:
        plan = resolve(
            load(path, "tracing.toml"),
            environ,
            tolerant="#: tolerant" in text,
            allow_unset="#: allow_unset" in text,
        )
    except ConfigError as error:
        lines = [f"{problem.severity} [{problem.code}] {problem}" for problem in error.problems]
        shown = "\n".join(lines)
    else:
        shown = render(plan, origins="#: render origins" in text)
    # Columns are as wide as this checkout's path is long.
    return re.sub(r"(?<=\S) {2,}", "  ", shown.replace(str(CASES), "/cases")) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_means_what_is_written_beside_it(name: str) -> None:
    """The plan or the problems, to the letter."""
    assert outcome(name) == (CASES / f"{name}.expected").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_no_case_shows_a_secret(name: str) -> None:
    """Every credential of the cases has `marker` in it."""
    assert "marker" not in outcome(name)


def test_seven_mistakes_are_seven_errors_each_on_its_line() -> None:
    """The file marks its own mistakes; there is one error on each of these lines, and no other."""
    with pytest.raises(ConfigError) as caught:
        resolve(load(CASES / "seven_mistakes.toml", "tracing.toml"), {})
    errors = [problem for problem in caught.value.problems if problem.severity == "error"]
    text = (CASES / "seven_mistakes.toml").read_text(encoding="utf-8").splitlines()
    marked = [number for number, line in enumerate(text, 1) if re.search(r"# \d:", line)]
    assert [problem.line for problem in errors] == marked
    assert str(caught.value).startswith("7 problems:\n")


if __name__ == "__main__":
    for each in NAMES:
        (CASES / f"{each}.expected").write_text(outcome(each), encoding="utf-8")
