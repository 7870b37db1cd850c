"""Golden cases: see `conftest.py` for their form; a new one is a new file in `cases/` and needs no code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))
DIVIDER = re.compile(r"^={10,}\n", re.MULTILINE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_file_has_exactly_the_problems_of_its_case(
    case: Path, tmp_path: Path, outcome: Callable[[str, Path], str]
) -> None:
    """Every problem of the file in one go, each with its place and its code, in our words; no more."""
    text, expected = DIVIDER.split(case.read_text(encoding="utf-8"))
    assert outcome(text, tmp_path) == expected.strip()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_no_case_shows_what_is_marked(case: Path) -> None:
    """The cases put `marked…` and `12345678` where secrets may stand; no message repeats them."""
    _, expected = DIVIDER.split(case.read_text(encoding="utf-8"))
    assert "marked" not in expected
    assert "12345678" not in expected


def test_there_are_cases() -> None:
    """A folder that was moved would otherwise make every case pass."""
    assert len(CASES) >= 50
