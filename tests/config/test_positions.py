"""The scan held to tomli: whatever tomli reads, the scan finds at the right place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from ajolo_fanout.config.document import Document, parse
from ajolo_fanout.config.places import Position
from ajolo_fanout.config.scan import scan
from ajolo_fanout.errors import ConfigError

KEY = re.compile(r'[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|\'[^\']*\'')

# Texts of TOML 1.1, written in every way the grammar knows.

words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\"'\\#=[]{}.,\n\t $"),
    max_size=8,
)


def _escaped(text: str, *, newlines: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return text if newlines else text.replace("\n", "\\n")


@st.composite
def keys(draw: DrawFn) -> str:
    """One part of a key: bare, or in either kind of quotes."""
    plain = draw(st.text("abcXYZ019_-", min_size=1, max_size=3))
    word = draw(words)
    literal = word.replace("'", "").replace("\n", "").replace("\t", "")
    return draw(st.sampled_from([plain, plain, f'"{_escaped(word)}"', f"'{literal}'"]))


@st.composite
def strings(draw: DrawFn) -> str:
    """A string, in each of the four ways to write one."""
    word = draw(words)
    literal = word.replace("'", "")
    ends = '"' * draw(st.integers(0, 2))  # a multi-line string may end in quotes of its own
    single = "'" * draw(st.integers(0, 2))
    return draw(
        st.sampled_from(
            [
                f'"{_escaped(word)}"',
                "'" + literal.replace("\n", "") + "'",
                f'"""{_escaped(word, newlines=True)}{ends}"""',
                f"'''{literal}{single}'''",
                f'"""\\\n   {_escaped(word)}"""',
                '"\\e\\x41\\u00e9\\U0001F600"',
            ]
        )
    )


scalars = st.one_of(
    strings(),
    st.integers().map(str),
    st.floats().map(lambda number: "nan" if number != number else str(number)),  # noqa: PLR0124
    st.sampled_from(["true", "false", "0xDEAD_beef", "0o755", "0b1", "1_000", "6.02e+23", "+1", "-inf"]),
    st.sampled_from(
        ["1979-05-27", "1979-05-27 07:32:00Z", "1979-05-27T07:32:00.5-07:00", "07:32", "1979-05-27 07:32"]
    ),
)
spaces = st.sampled_from(["", " ", "\t ", ""])
breaks = st.sampled_from(["", " ", "\n", "\n  ", " # a [comment] = \"with 'everything\n", "\r\n"])


@st.composite
def dotted_keys(draw: DrawFn) -> str:
    """A key of up to three parts, with blanks around the dots."""
    parts = draw(st.lists(keys(), min_size=1, max_size=3))
    dots = [f"{draw(spaces)}.{draw(spaces)}" for _ in parts[1:]]
    return "".join(part + dot for part, dot in zip(parts, [*dots, ""], strict=True))


def _arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def array(draw: DrawFn) -> str:
        items = [f"{draw(breaks)}{item}{draw(breaks)}" for item in draw(st.lists(values, max_size=3))]
        comma = "," if items and draw(st.booleans()) else ""
        return "[" + ",".join(items) + comma + draw(breaks) + "]"

    return array()


def _tables(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def table(draw: DrawFn) -> str:
        items = [
            f"{draw(breaks)}{draw(dotted_keys())}{draw(spaces)}={draw(spaces)}{draw(values)}{draw(breaks)}"
            for _ in range(draw(st.integers(0, 3)))
        ]
        comma = "," if items and draw(st.booleans()) else ""
        return "{" + ",".join(items) + comma + draw(breaks) + "}"

    return table()


values = st.recursive(scalars, lambda inner: _arrays(inner) | _tables(inner), max_leaves=6)


@st.composite
def statements(draw: DrawFn) -> str:
    """A header of either kind, or a key and a value; with blanks and a comment."""
    kind = draw(st.integers(0, 5))
    tail = draw(st.sampled_from(["", " ", ' # it\'s "so"']))
    indent = draw(spaces)
    if kind == 0:
        return f"{indent}[{draw(spaces)}{draw(dotted_keys())}{draw(spaces)}]{tail}"
    if kind == 1:
        return f"{indent}[[{draw(spaces)}{draw(dotted_keys())}{draw(spaces)}]]{tail}"
    return f"{indent}{draw(dotted_keys())}{draw(spaces)}={draw(spaces)}{draw(values)}{tail}"


@st.composite
def texts(draw: DrawFn) -> str:
    """A text that tomli takes: statements that it refuses (a key twice, mostly) are left out again."""
    text = ""
    for statement in draw(st.lists(statements(), max_size=8)):
        longer = text + statement + draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
        try:
            tomli.loads(longer)
        except tomli.TOMLDecodeError:
            continue
        text = longer
    return text


# What is promised.


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every path of tomli's result, with its value."""
    in_list = enumerate(value) if isinstance(value, list) else ()
    items = value.items() if isinstance(value, dict) else in_list
    for part, inner in items:
        yield (*path, part), inner
        yield from paths_of(inner, (*path, part))


def offset_of(document: Document, position: Position | None) -> int:
    """A position as an offset again, counted on its own."""
    assert position is not None
    lines = document.text.split("\n")
    return sum(len(line) + 1 for line in lines[: position.line - 1]) + position.column - 1


def named_at(text: str, offset: int) -> str:
    """The key that is written at `offset`, as tomli reads it."""
    found = KEY.match(text, offset)
    assert found is not None
    return next(iter(tomli.loads(f"{found[0]} = 1")))


def hold_to_tomli(text: str) -> None:
    """The promise itself: keys, elements and strings are found where their text is, and nothing else is found."""
    document = parse(text, "t.toml")
    written = scan(document.text)
    everything = dict(paths_of(document.data))

    assert set(written.keys) == set(everything)

    for path, value in everything.items():
        offset = offset_of(document, document.position(path))
        if isinstance(path[-1], str):
            assert named_at(document.text, offset) == path[-1]
        elif isinstance(value, dict) and document.text[offset] != "{":  # it began with a [[header]]
            assert named_at(document.text, offset) == path[-2]
        else:
            assert begins_at(document.text, offset, value)

    strings_of = Counter(value for value in everything.values() if isinstance(value, str))
    assert Counter(value_of(document.text[start:end]) for start, end in written.strings) == strings_of


def begins_at(text: str, offset: int, value: Any) -> bool:
    """Whether what is written from `offset` on is `value`, as tomli reads it."""
    return any(
        repr(value_of(text[offset:end])) == repr(value)  # repr: nan, -0.0
        for end in range(offset + 1, len(text) + 1)
    )


def value_of(written: str) -> Any:
    """What tomli reads; a value of no TOML where it refuses."""
    try:
        return tomli.loads(f"v = {written}")["v"]
    except tomli.TOMLDecodeError:
        return None


@given(texts())
def test_every_key_and_value_of_tomlis_is_found_at_the_place_whose_text_is_that_key(text: str) -> None:
    """Positions are never guessed: whatever is written, however it is written."""
    hold_to_tomli(text)


@pytest.mark.parametrize(
    "case", sorted((Path(__file__).parent / "cases").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_positions_of_the_cases_hold(case: Path) -> None:
    """The same promise over files as people write them."""
    text = case.read_text(encoding="utf-8").split("==========\n")[0]
    try:
        parse(text, "t.toml")
    except ConfigError:
        return  # a case of a text that isn't TOML
    hold_to_tomli(text)


@given(texts())
def test_no_string_and_no_comment_is_left_in_a_shown_line(text: str) -> None:
    """Strings stand as "…", comments are left out, and each line keeps its number."""
    document = parse(text, "t.toml")
    count = document.text.count("\n") + 1
    shown = "\n".join(document.line_text(line) for line in range(1, count + 1))
    written = scan(document.text)
    assert shown.count('"…"') >= len(written.strings)
    plain = re.sub(r'"…"|^…', "", shown, flags=re.MULTILINE)
    for start, end in written.comments:
        assert document.text[start:end] not in plain.replace('"', "") or document.text[start:end] in _keys(
            document
        )
    for line in range(1, count + 1):
        assert "\n" not in document.line_text(line)


def _keys(document: Document) -> str:
    """All text of quoted keys, in which a comment's text may occur by chance."""
    return " ".join(str(part) for path, _ in paths_of(document.data) for part in path)


@given(texts(), st.data())
def test_a_text_cut_anywhere_is_read_or_refused_in_our_words(text: str, data: st.DataObject) -> None:
    """No cut makes the scan fail, and a refusal has a line that exists in the text."""
    cut = text[: data.draw(st.integers(0, len(text)))] + data.draw(
        st.sampled_from(["", '"', "]", "=", "a=", "\\"])
    )
    try:
        parse(cut, "t.toml")
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.code in ("syntax", "duplicate-key", "duplicate-table")
        assert problem.line is not None
        assert 1 <= problem.line <= cut.count("\n") + 1


@given(texts(), st.data())
def test_a_statement_written_twice_is_named_with_both_its_lines(text: str, data: st.DataObject) -> None:
    """Whatever stands between the two."""
    twice = f"zz.key = 1\n{text}\n[zz]\nkey = 2\n"
    with pytest.raises(ConfigError) as excinfo:
        parse(twice, "t.toml")
    (problem,) = excinfo.value.problems
    assert problem.code == "duplicate-table"
    assert problem.line == twice.replace("\r\n", "\n").count("\n") - 1
    assert "line 1" in problem.message
