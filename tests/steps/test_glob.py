"""Globs: whole-string, case-sensitive, and linear in hostile text."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ajolo_fanout.steps.glob import compile_glob, is_glob, matches_any

letters = st.text(alphabet="ab*?\n", max_size=8)
texts = st.text(alphabet="ab\n", max_size=12)


def _reference(pattern: str, text: str) -> bool:
    """The same by a regular expression, whose time nobody bounds."""
    parts = [{"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


@given(letters, texts)
@example("a*a", "a")
@example("*a*b", "ab")
@example("a?*?b", "ab")
def test_a_glob_matches_what_it_says(pattern: str, text: str) -> None:
    assert compile_glob(pattern)(text) is _reference(pattern, text)
    assert matches_any(("zz", pattern))(text) is _reference(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("gen_ai.*", "gen_ai.prompt", True),
        ("gen_ai.*", "GEN_AI.prompt", False),
        ("gen_ai.*", "x.gen_ai.prompt", False),
        ("a[b]", "a[b]", True),
        ("a[b]", "ab", False),
        ("*", "", True),
        ("?", "", False),
    ],
)
def test_examples(pattern: str, text: str, expected: bool) -> None:
    assert compile_glob(pattern)(text) is expected


def test_brackets_are_no_classes_as_in_fnmatch() -> None:
    assert fnmatch.fnmatchcase("ab", "a[b]")
    assert not compile_glob("a[b]")("ab")
    assert not is_glob("a[b]")


def test_many_stars_on_hostile_text_take_no_time() -> None:
    matches = compile_glob("*a*a*a*a*a*a*a*a*a*a?*b")
    started = time.perf_counter()
    assert not matches("a" * 200_000)
    assert time.perf_counter() - started < 10
