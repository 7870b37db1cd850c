"""`${NAME}` in string values: from the environment into a text, never into structure."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.config.substitution import FromEnvironment, Malformed, Unset, substitute

ENVIRON = {
    "A": "alpha",
    "B": "beta",
    "EMPTY": "",
    "DOLLARS": "$$ ${A}",
    "QUOTES": '"\n[x]\ny = 1',
    "_x9": "odd",
}


def one(text: str) -> str:
    """`text` substituted, where nothing is wrong with it."""
    made, flaws = substitute(text, ENVIRON.get)
    assert flaws == []
    assert isinstance(made, str)
    return made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain", "plain"),
        ("${A}", "alpha"),
        ("${_x9}", "odd"),
        ("<${A}-${B}>", "<alpha-beta>"),
        ("${A:-x}", "alpha"),
        ("${NONE:-x}", "x"),
        ("${NONE:-}", ""),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-a b:-c}", "a b:-c"),
        ("${NONE:-$$5}", "$5"),
        ("${NONE:-$5}", "$5"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$alpha"),
        ("$$$$", "$$"),
        ("$A costs $5 and 5$", "$A costs $5 and 5$"),
        ("${DOLLARS}", "$$ ${A}"),
        ("${QUOTES}", '"\n[x]\ny = 1'),
        ("", ""),
    ],
)
def test_variables_defaults_and_dollars(text: str, made: str) -> None:
    """A lone dollar is itself, and what a variable holds is never read again."""
    assert one(text) == made


@pytest.mark.parametrize(
    "text", ["${}", "${1A}", "${A-B}", "${A", "${ A }", "${A:x}", "${A.b}", "x ${A:-${B}} y"]
)
def test_a_dollar_and_brace_that_start_nothing_are_a_problem(text: str) -> None:
    """A typo never reaches a backend as text."""
    _, flaws = substitute({"k": [text]}, ENVIRON.get)
    (flaw,) = flaws
    assert isinstance(flaw, Malformed)
    assert flaw.path == ("k", 0)
    assert flaw.at == text.index("${") + 1


@pytest.mark.parametrize("name", ["NONE", "EMPTY"])
def test_an_unset_and_an_empty_variable_are_named(name: str) -> None:
    """An empty variable counts as unset; the message says which one and what to do."""
    made, flaws = substitute({"a": {"b": ["x", f"<${{{name}}}>"]}}, ENVIRON.get)
    assert flaws == [Unset(("a", "b", 1), name)]
    assert name in flaws[0].message
    assert not made["a"]["b"][1].known


def test_every_unset_variable_is_reported_once_for_each_place() -> None:
    """All at once, and the same variable again where it is missing again."""
    _, flaws = substitute({"a": "${X} ${Y}", "b": "${X}"}, ENVIRON.get)
    assert flaws == [Unset(("a",), "X"), Unset(("a",), "Y"), Unset(("b",), "X")]


def test_keys_and_other_values_are_left_alone_and_the_source_is_unchanged() -> None:
    """Only string values are substituted, and into a copy."""
    table: dict[str, Any] = {"${A}": "${A}", "n": 1, "t": True, "x": [{"${B}": "${B}"}]}
    made, flaws = substitute(table, ENVIRON.get)
    assert made == {"${A}": "alpha", "n": 1, "t": True, "x": [{"${B}": "beta"}]}
    assert flaws == []
    assert table["${A}"] == "${A}"
    assert table["x"][0]["${B}"] == "${B}"


@pytest.mark.parametrize(
    ("text", "whole"),
    [("${A}", True), ("${NONE:-x}", True), ("${A} ", False), ("${A}${B}", False), ("x${A}", False)],
)
def test_only_a_string_that_is_exactly_one_variable_is_whole(text: str, whole: bool) -> None:
    """Nothing else may become a boolean, a number or a duration."""
    made = one(text)
    assert isinstance(made, FromEnvironment)
    assert made.whole is whole


@pytest.mark.parametrize("text", ["plain", "$$", "$${A}", ""])
def test_a_string_without_a_variable_is_a_plain_literal(text: str) -> None:
    """It is never taken for a value of the environment."""
    assert type(one(text)) is str


def test_what_came_from_the_environment_shows_its_names_and_never_its_text() -> None:
    """It may be a secret wherever it stands; the mark survives copies between processes."""
    made = one("${A}-${B}")
    assert repr(made) == "FromEnvironment(A, B)"
    copy = pickle.loads(pickle.dumps(made))
    assert copy == "alpha-beta"
    assert isinstance(copy, FromEnvironment)
    assert (copy.names, copy.whole, copy.known) == (("A", "B"), False, True)


@given(st.text(max_size=30).filter(lambda text: "$" not in text))
def test_a_text_without_dollars_is_never_changed(text: str) -> None:
    """Whatever it holds."""
    assert one(text) == text


@given(st.text(max_size=30))
def test_doubled_dollars_give_back_any_text(text: str) -> None:
    """There is a way to write every string."""
    assert one(text.replace("$", "$$")) == text


@given(st.text("$${}:-AB\n ", max_size=40))
def test_any_mix_of_its_signs_ends_soon_and_in_a_text_or_a_flaw(text: str) -> None:
    """Nothing is left that looks like a variable unless a flaw says so or a dollar was doubled."""
    made, flaws = substitute(text, ENVIRON.get)
    assert isinstance(made, str)
    if "${" in made:
        assert flaws or "$$" in text


def test_a_hostile_default_takes_linear_time() -> None:
    """Doubled dollars in front of an end that never comes must not be tried in every combination."""
    made, flaws = substitute("${A:-" + "$$" * 20_000, ENVIRON.get)
    assert len(flaws) == 1
    assert len(made) > 20_000
