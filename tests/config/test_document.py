"""Reading a file: what is TOML, where its keys stand, and what of it may be shown."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ajolo_fanout.config.document import load, parse
from ajolo_fanout.config.places import Place, Position, dotted
from ajolo_fanout.errors import ConfigError, Problem


def only_problem(excinfo: pytest.ExceptionInfo[ConfigError]) -> Problem:
    """The one problem that an error consists of."""
    (problem,) = excinfo.value.problems
    return problem


def test_a_loaded_file_knows_its_path_its_folder_and_the_name_it_was_given(tmp_path: Path) -> None:
    """Relative paths start at the file's folder, and messages use the user's own name for it."""
    path = tmp_path / "tracing.toml"
    path.write_text("schema = 1\n", encoding="utf-8")

    document = load(path, "./tracing.toml")

    assert document.data == {"schema": 1}
    assert document.path == path
    assert document.folder == tmp_path
    assert document.name == "./tracing.toml"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "there is no such file"),
        (lambda path: path.mkdir(), "this is a directory"),
        (lambda path: path.write_bytes(b"a = 1\nb = \xff\n"), "not UTF-8 at byte 5 of this line"),
        (lambda path: path.symlink_to(path), "can't be read"),
    ],
    ids=["missing", "directory", "not utf-8", "a link to itself"],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, make: object, words: str) -> None:
    """Each way of being unreadable has its own words, under the file's name."""
    path = tmp_path / "tracing.toml"
    make(path)  # type: ignore[operator]

    with pytest.raises(ConfigError) as excinfo:
        load(path, "tracing.toml")

    problem = only_problem(excinfo)
    assert words in problem.message
    assert problem.file == "tracing.toml"
    assert problem.code == "file"


@pytest.mark.parametrize(
    ("name", "named_by", "message"),
    [
        ("/nowhere/a.toml", "", "there is no such file"),
        ("a.toml", "", "there is no such file; a relative path starts at the current folder"),
        ("/nowhere/a.toml", "$VARIABLE", "there is no such file; $VARIABLE names it"),
        (
            "a.toml",
            "$VARIABLE",
            "there is no such file; $VARIABLE names it; a relative path starts at the current folder",
        ),
    ],
)
def test_a_file_that_is_missing_says_who_named_it_and_where_paths_start(
    name: str, named_by: str, message: str, tmp_path: Path
) -> None:
    """A variable that somebody else set is found, and a program started in another folder."""
    with pytest.raises(ConfigError) as excinfo:
        load(tmp_path / "a.toml", name, named_by=named_by)
    assert only_problem(excinfo).message == message


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    """A file saved in another encoding can be mended at the right line."""
    path = tmp_path / "tracing.toml"
    path.write_bytes(b"a = 1\nb = '\xe9'\n")
    with pytest.raises(ConfigError) as excinfo:
        load(path)
    assert only_problem(excinfo).line == 2


def test_a_file_without_permission_says_so() -> None:
    """Somebody else's file is not reported as missing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "tracing.toml")
        path.write_text("")
        path.chmod(0)
        with _nobody(), pytest.raises(ConfigError, match="may not be read by this user"):
            load(path)


@contextlib.contextmanager
def _nobody() -> Iterator[None]:
    """Root may read everything: be somebody else for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_byte_order_mark_and_windows_newlines_move_no_position(tmp_path: Path) -> None:
    """What a Windows editor saves is read as if it had come from anywhere else."""
    path = tmp_path / "tracing.toml"
    path.write_bytes(b"\xef\xbb\xbfschema = 1\r\n\r\n[service]\r\nname = 'x'\r\n")
    document = load(path)
    assert document.data == {"schema": 1, "service": {"name": "x"}}
    assert document.position(("schema",)) == Position(1, 1)
    assert document.position(("service", "name")) == Position(4, 1)


TEXT = """\
schema = 1
[backends.a]
type = "otlp"          # the user's own
batch.schedule_delay = "1s"
headers = { "x-key" = "secret",
            plain = 'secret' }
[[backends.a.processors]]
type = "set"
[[backends.a.processors]]
type = "set"
  attributes . "a.b" = [1, "two", { three = 3 }]
"""


@pytest.mark.parametrize(
    ("key", "line", "column"),
    [
        (("schema",), 1, 1),
        (("backends",), 2, 2),
        (("backends", "a"), 2, 11),
        (("backends", "a", "batch"), 4, 1),
        (("backends", "a", "batch", "schedule_delay"), 4, 7),
        (("backends", "a", "headers", "x-key"), 5, 13),
        (("backends", "a", "headers", "plain"), 6, 13),
        (("backends", "a", "processors"), 7, 14),
        (("backends", "a", "processors", 0), 7, 14),
        (("backends", "a", "processors", 1), 9, 14),
        (("backends", "a", "processors", 1, "attributes", "a.b"), 11, 16),
        (("backends", "a", "processors", 1, "attributes", "a.b", 2, "three"), 11, 37),
        (("backends", "a", "no", "such", "key"), 2, 11),
        (("backends", "a", "batch", "max_queue_size"), 4, 1),
    ],
)
def test_a_key_stands_where_it_is_written_and_an_absent_one_at_its_nearest_ancestor(
    key: tuple[str | int, ...], line: int, column: int
) -> None:
    """Messages point at the key itself, or at the table that lacks it."""
    document = parse(TEXT, "t.toml")
    assert document.position(key) == Position(line, column)
    assert document.place(key) == Place("t.toml", line, column, dotted(key))


def test_what_has_no_ancestor_has_no_position() -> None:
    """A missing top-level key is a problem of the file as a whole."""
    document = parse("", "t.toml")
    assert document.position(("schema",)) is None
    assert document.place(("schema",)) == Place("t.toml", None, None, "schema")


def test_a_header_of_its_own_names_a_table_better_than_a_mention_before_it() -> None:
    """`[a.b]` before `[a]` only mentions `a`; the header is where `a` is written."""
    document = parse("[a.b]\nx = 1\n[a]\ny = 2\n", "t.toml")
    assert document.position(("a",)) == Position(3, 2)
    assert document.position(("a", "b")) == Position(1, 4)


def test_a_shown_line_hides_every_string_and_every_comment() -> None:
    """A secret may stand in either; keys, numbers and structure stay, so that the line is recognised."""
    text = 'a = "s1" # s2\nb = """s3\ns4\ns5""" # s6\nc = { "k" = \'s7\', n = [1, "s8", \'\'\'s9\'\'\'] }\n'
    document = parse(text, "t.toml")
    lines = [document.line_text(line) for line in range(1, 7)]
    assert lines == ['a = "…"', 'b = "…"', "…", "…", 'c = { "k" = "…", n = [1, "…", "…"] }', ""]
    assert document.line_text(99) == document.line_text(0) == ""


def test_neither_a_document_nor_an_error_carries_the_text_along() -> None:
    """Repr of a document, and every exception chained to an error, may end in a log."""
    assert "hush" not in repr(parse('a = "hush"', "t.toml"))
    with pytest.raises(ConfigError) as excinfo:
        parse('a = "hush', "t.toml")
    assert excinfo.value.__cause__ is None
    assert excinfo.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a = " + "[" * 300 + "]" * 300, ".".join("a" * 3000) + " = 1", "a = " + "9" * 5000],
    ids=["open brackets", "closed brackets", "a long key", "a long number"],
)
def test_a_text_made_to_exhaust_the_parser_is_an_error_like_any_other(text: str) -> None:
    """A hostile file ends in a ConfigError, not in a RecursionError or a crash."""
    with pytest.raises(ConfigError) as excinfo:
        parse(text, "t.toml")
    assert only_problem(excinfo).code == "syntax"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("backends", "my-datadog_2"), "backends.my-datadog_2"),
        (("resource", "team.name"), 'resource."team.name"'),
        (("a", 0, "b", 12), "a[0].b[12]"),
        (("",), '""'),
        (('say "hi"\\',), '"say \\"hi\\"\\\\"'),
        (("bell\x07\x1b[31m",), '"bell\\U00000007\\U0000001b[31m"'),
    ],
)
def test_a_path_is_written_as_the_user_would_write_it(path: tuple[str | int, ...], text: str) -> None:
    """Names are quoted where TOML wants it, and no key steers a terminal."""
    assert dotted(path) == text
