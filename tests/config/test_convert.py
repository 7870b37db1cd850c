"""Settings from tables: what is taken, as what, and what a caller gets back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.util.types import AttributeValue

from ajolo_fanout.config.convert import structure, structure_value
from ajolo_fanout.config.places import KeyPath, Place, dotted
from ajolo_fanout.config.substitution import substitute
from ajolo_fanout.errors import Problem
from ajolo_fanout.values import Duration, Option, Secret, Size, option


@attrs.frozen
class Inner:
    """A table in a table."""

    count: int = option("A count.", default=3, minimum=1, maximum=9)
    must: str | None = option("A text.", default=None)


@attrs.frozen
class Everything:
    """One field of each type that settings may have."""

    text: str = option("A text.", default="d")
    flag: bool = option("A flag.", default=False)
    whole: int = option("A number.", default=0)
    ratio: float = option("A ratio.", default=0.5, minimum=0, maximum=1)
    wait: Duration = option("A wait.", default=Duration(1), minimum=0.5)
    room: Size = option("A room.", default=Size(1))
    key: Secret | None = option("A key.", default=None)
    file: Path | None = option("A file.", default=None)
    choice: Literal["a", "b"] = option("A choice.", default="a")
    names: tuple[str, ...] = option("Names.", default=())
    inner: Inner = option("A table.", factory=Inner)
    inners: tuple[Inner, ...] = option("Tables.", default=())
    attributes: Mapping[str, AttributeValue] = option("Attributes.", factory=dict)
    headers: Mapping[str, Secret] = option("Headers.", factory=dict)


@attrs.frozen
class Required:
    """A field without a default."""

    number: int = option("A number.", example="7")


FOLDER = Path("/etc/agent")


def place(path: KeyPath) -> Place:
    """A place that has no line."""
    return Place("t.toml", key=dotted(path))


def read(
    table: Mapping[str, Any], environ: Mapping[str, str] | None = None, **more: Any
) -> tuple[Any, list[Problem]]:
    """`Everything` from a table, with what was wrong; what is unset isn't among it."""
    problems: list[Problem] = []
    made, _ = substitute(table, (environ or {}).get)
    return structure(Everything, made, place=place, problems=problems, folder=FOLDER, **more), problems


def good(table: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Everything:
    """`Everything` from a table that is right."""
    made, problems = read(table, environ)
    assert problems == []
    assert isinstance(made, Everything)
    return made


def test_an_empty_table_gives_every_default() -> None:
    """Nobody has to write anything."""
    assert good({}) == Everything()


@pytest.mark.parametrize(
    ("key", "value", "made"),
    [
        ("ratio", 1, 1.0),
        ("ratio", 0, 0.0),
        ("wait", "750ms", Duration(0.75)),
        ("room", "64MiB", Size(64 * 1024**2)),
        ("key", "hush", Secret("hush")),
        ("file", "certs/ca.pem", FOLDER / "certs/ca.pem"),
        ("file", "/abs/ca.pem", Path("/abs/ca.pem")),
        ("choice", "b", "b"),
        ("names", ["x", "y"], ("x", "y")),
        ("inner", {"count": 9}, Inner(9)),
        ("inners", [{}, {"count": 1}], (Inner(), Inner(1))),
        ("attributes", {"a": [1, 2.5], "b": True, "c": []}, {"a": (1.0, 2.5), "b": True, "c": ()}),
        ("headers", {"X-A": "v"}, {"X-A": Secret("v")}),
    ],
)
def test_values_become_what_their_field_says(key: str, value: Any, made: Any) -> None:
    """Durations, sizes, secrets, paths from the file's folder, tuples for arrays."""
    settings = good({key: value})
    assert getattr(settings, key) == made
    assert type(getattr(settings, key)) is not list


@pytest.mark.parametrize(
    ("key", "text", "made"),
    [
        ("flag", "true", True),
        ("flag", "false", False),
        ("whole", "42", 42),
        ("whole", "-1", -1),
        ("ratio", "0.25", 0.25),
        ("ratio", "1", 1.0),
        ("ratio", "1e-3", 0.001),
        ("wait", "2m", Duration(120)),
        ("room", "8KiB", Size(8192)),
        ("choice", "b", "b"),
        ("text", "true", "true"),
    ],
)
def test_one_variable_alone_is_read_strictly_as_what_is_wanted(key: str, text: str, made: Any) -> None:
    """And a value that is written as it in quotes is not, unless a string is wanted anyway."""
    value = getattr(good({key: "${V}"}, {"V": text}), key)
    assert value == made
    assert type(value) is type(made) or isinstance(value, type(made))
    if key in ("flag", "whole", "ratio"):
        made_none, problems = read({key: text})
        assert made_none is None
        assert [problem.code for problem in problems] == ["wrong-type"]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("flag", "True"),
        ("flag", "1"),
        ("flag", " true"),
        ("whole", "1.0"),
        ("whole", "1_000"),
        ("whole", "٣"),
        ("whole", "9" * 400),
        ("ratio", "nan"),
        ("ratio", "inf"),
        ("ratio", "0.5 "),
        ("ratio", "1e999"),
        ("wait", "5"),
        ("wait", "9" * 400 + "d"),
        ("room", "5"),
        ("room", "5 MB"),
        ("choice", "c"),
    ],
)
def test_a_variable_that_is_not_exactly_that_is_an_error_that_names_it(key: str, text: str) -> None:
    """What it holds is never shown, for it may be a secret."""
    made, problems = read({key: "${VALUE}"}, {"VALUE": text})
    assert made is None
    (problem,) = problems
    assert problem.key == key
    assert "${VALUE}" in problem.message
    assert f'"{text}"' not in problem.message


@pytest.mark.parametrize("key", ["flag", "whole", "ratio", "wait", "room", "choice", "file"])
def test_an_unset_variable_is_one_problem_and_its_default_stands_in(key: str) -> None:
    """`substitute` reported it; no second error says that a placeholder is no number."""
    assert getattr(good({key: "${NOT_SET}"}), key) == getattr(Everything(), key)


def test_an_unset_variable_leaves_a_placeholder_where_any_text_would_do() -> None:
    """So that the rest of the settings can still be checked, and used in a test without secrets."""
    settings = good({"text": "${NOT_SET}", "key": "${NOT_SET}", "headers": {"a": {"file": "${NOT_SET}"}}})
    assert settings.text == "placeholder"
    assert settings.key == Secret("placeholder")
    assert settings.headers["a"] == Secret("placeholder")


def test_an_unset_variable_where_nothing_can_stand_in_gives_no_settings_and_no_second_problem() -> None:
    """A required number has no default to take."""
    problems: list[Problem] = []
    value, flaws = substitute({"number": "${NOT_SET}"}, {}.get)
    assert len(flaws) == 1
    assert structure(Required, value, place=place, problems=problems, folder=FOLDER) is None
    assert problems == []


def test_a_required_key_says_how_to_write_it() -> None:
    """The example of the option is the fix."""
    problems: list[Problem] = []
    assert structure(Required, {}, place=place, problems=problems, folder=FOLDER) is None
    assert [str(problem) for problem in problems] == [
        "t.toml: number: this key is required; write number = 7"
    ]


def test_all_problems_of_a_table_come_at_once() -> None:
    """Depth, arrays and kinds of problem make no difference."""
    table = {
        "text": 1,
        "whole": True,
        "ratio": 7,
        "wait": 5,
        "choice": "c",
        "inner": {"count": 0, "nope": 1},
        "inners": [{"count": "x"}, 5, {}, {"count": 99}],
        "names": ["a", 1, False],
        "attributes": {"a": {"b": 1}, "c": {"d": {"e": 1}, "f": 2}},
        "nope": 1,
    }
    made, problems = read(table)
    assert made is None
    assert sorted((problem.key, problem.code) for problem in problems) == [
        ("attributes.a.b", "unquoted-name"),
        ("attributes.c.d.e", "unquoted-name"),
        ("attributes.c.f", "unquoted-name"),
        ("choice", "unknown-choice"),
        ("inner.count", "out-of-range"),
        ("inner.nope", "unknown-key"),
        ("inners[0].count", "wrong-type"),
        ("inners[1]", "wrong-type"),
        ("inners[3].count", "out-of-range"),
        ("names[1]", "wrong-type"),
        ("names[2]", "wrong-type"),
        ("nope", "unknown-key"),
        ("ratio", "out-of-range"),
        ("text", "wrong-type"),
        ("wait", "needs-unit"),
        ("whole", "wrong-type"),
    ]


def test_problems_are_added_to_what_was_found_before() -> None:
    """A caller gathers the problems of many tables; earlier ones don't make a right table wrong."""
    problems = [Problem("an earlier one")]
    assert structure(Inner, {"count": 1}, place=place, problems=problems, folder=FOLDER) == Inner(1)
    assert structure(Inner, {"count": 10}, place=place, problems=problems, folder=FOLDER) is None
    assert len(problems) == 2


def test_keys_of_a_profile_count_as_known_in_suggestions() -> None:
    """A misspelt input of a profile is recognised though the settings class doesn't have it."""
    _, problems = read({"api_ky": "x"}, known=("api_key",))
    assert 'did you mean "api_key"?' in problems[0].message


def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    """One final newline is no part of it, and a changed file is read again."""
    (tmp_path / "key").write_text("hush\n", encoding="utf-8")
    problems: list[Problem] = []
    table = {"key": {"file": "key"}, "headers": {"x-key": {"file": "key"}}}
    settings = structure(Everything, table, place=place, problems=problems, folder=tmp_path)
    assert problems == []
    assert settings is not None
    assert settings.key is not None
    assert settings.key.reveal() == "hush"
    assert settings.headers["x-key"].reveal() == "hush"


def test_a_secret_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    """The path and the key are named, the content is not."""
    (tmp_path / "key").write_bytes(b"hush\xff")
    problems: list[Problem] = []
    structure(Everything, {"key": {"file": "key"}}, place=place, problems=problems, folder=tmp_path)
    (problem,) = problems
    assert (problem.key, problem.code) == ("key.file", "secret-file")
    assert str(tmp_path / "key") in problem.message
    assert "hush" not in problem.message


def test_files_of_secrets_are_left_unread_when_the_caller_brings_another_reader() -> None:
    """A backend that is switched off is checked, not resolved."""
    settings, problems = read(
        {"key": {"file": "no/such"}}, from_file=lambda path: Secret(f"from {path.name}")
    )
    assert problems == []
    assert settings.key == Secret("from such")


def test_made_mappings_cannot_be_changed() -> None:
    """Settings are frozen all the way down."""
    settings = good({"headers": {"a": "b"}, "attributes": {"a": [1]}})
    with pytest.raises(TypeError):
        settings.headers["x"] = Secret("y")  # type: ignore[index]
    with pytest.raises(TypeError):
        settings.attributes["x"] = 1  # type: ignore[index]


def test_a_mistake_of_ours_is_not_taken_for_one_of_the_users() -> None:
    """An error that no reader of values raises on purpose goes through."""

    def broken(path: Path) -> Secret:
        raise ZeroDivisionError(path)

    with pytest.raises(BaseException, match=r".") as excinfo:
        read({"key": {"file": "x"}}, from_file=broken)
    assert isinstance(excinfo.value, ZeroDivisionError)


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        (str, "x", "x"),
        (Secret, "x", Secret("x")),
        (bool, True, True),
        (Duration, "1s", Duration(1)),
        (Literal["us", "eu"], "eu", "eu"),
        (tuple[str, ...], ["a"], ("a",)),
        (Path, "a", FOLDER / "a"),
    ],
)
def test_one_value_is_read_as_a_field_would_be(kind: Any, value: Any, made: Any) -> None:
    """For the inputs of a profile, which no class declares."""
    problems: list[Problem] = []
    assert structure_value(kind, value, place=place, problems=problems, folder=FOLDER) == made
    assert problems == []


def test_one_value_is_held_to_its_option() -> None:
    """Ranges and choices count for it as well."""
    problems: list[Problem] = []
    choices = Option("A site.", choices=("us1", "eu1"))
    assert structure_value(str, "eu", place=place, problems=problems, folder=FOLDER, option=choices) is None
    range_ = Option("A number.", minimum=1)
    assert structure_value(int, 0, place=place, problems=problems, folder=FOLDER, option=range_) is None
    assert [problem.code for problem in problems] == ["unknown-choice", "out-of-range"]


def test_one_value_that_is_unset_is_none_without_a_problem() -> None:
    """Where a choice is wanted no placeholder will do."""
    problems: list[Problem] = []
    value, _ = substitute("${NOT_SET}", {}.get)
    choices = Option("A site.", choices=("us1", "eu1"))
    assert structure_value(str, value, place=place, problems=problems, folder=FOLDER, option=choices) is None
    assert problems == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from([field.name for field in attrs.fields(Everything)]), anything, max_size=6)
)
def test_whatever_stands_in_a_table_gives_settings_or_problems(table: dict[str, Any]) -> None:
    """Nothing that TOML can bring raises; what is taken is of its field's type, and finite."""
    made, problems = read(table)
    assert (made is None) == bool(problems)
    if made is not None:
        assert type(made.flag) is bool
        assert type(made.whole) is int
        assert type(made.ratio) is float
        assert math.isfinite(made.ratio)
        assert type(made.wait) is Duration
        assert type(made.room) is Size
        assert all(isinstance(value, Secret) for value in made.headers.values())
