"""`ajolo-fanout check`: the corpus to the letter, and what holds of everything it prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.cli.cases import CASES, CODE, NAMES, outcome
from tests.cli.codes import codes, reached, sites

from ajolo_fanout.cli.diagnostics import diagnostics, github
from ajolo_fanout.cli.main import cli
from ajolo_fanout.cli.output import Output
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.excerpt import Excerpt

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tracing.toml"

UNREACHABLE = {
    "profile": "a profile of ours that is wrong; the profiles' own tests find it",
    "profile-name": "a folder of further profiles, which no command takes",
}
"""Codes that no file can bring out, and why."""


@pytest.mark.parametrize("name", NAMES)
def test_a_file_gets_exactly_the_output_beside_it(name: str) -> None:
    """Every problem with place, line and caret, the summary, and the exit code, to the letter."""
    assert str(outcome(name)) == (CASES / f"{name}.expected").read_text(encoding="utf-8")


def test_the_corpus_is_there() -> None:
    """A folder that was moved would otherwise make every case pass."""
    assert len(NAMES) >= 60


def test_some_case_shows_every_code_that_the_source_can_give() -> None:
    """Whoever adds a kind of error or warning adds a case that shows it."""
    shown = {code for name in NAMES for code in CODE.findall((CASES / f"{name}.expected").read_text("utf-8"))}
    assert codes().keys() - shown == UNREACHABLE.keys() & codes().keys()
    assert shown <= codes().keys(), "codes.py overlooks a way in which the source gives codes"


def test_some_case_reaches_every_place_in_the_source_that_makes_a_problem() -> None:
    """So a new message has a case, whatever its code; what is wrong with a shipped profile is no file of a user's."""
    with reached() as lines:
        for name in NAMES:
            outcome(name)
    left = {site for site in sites() - lines if site[0] != "profiles/catalog.py"}
    assert not left


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_no_output_shows_what_is_marked(name: str, form: str) -> None:
    """The cases have `marker` wherever a secret may stand: in strings, variables, files, and unquoted."""
    assert "marker" not in outcome(name, "--format", form).text


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_wider_than_the_terminal(name: str, columns: int) -> None:
    """But for a place, which stays in one piece so that it can be clicked, and for an unbreakable word."""
    lines = outcome(name, columns=columns).text.splitlines()
    assert [line for line in lines if len(line) > columns and "-->" not in line and " " in line.strip()] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_caret_stands_under_the_key(name: str) -> None:
    """What a caret marks is the last part of the key, where it is shown and the problem is a key's own."""
    lines = outcome(name).text.splitlines()
    for number, line in enumerate(lines):
        place = lines[number - 3] if re.fullmatch(r" *\| *\^+", line) else ""
        if "  " in place.strip() and ":1:1  " not in place:
            start = line.index("^")
            marked = lines[number - 1][start : start + line.count("^")]
            assert marked in ('"…"', "…", "[", "{") or marked.strip('"') in place


def test_a_caret_counts_columns_not_characters() -> None:
    """A letter of two columns before the key moves the caret by two."""
    problem = Problem("x", file="f", line=1, column=1, code="c")
    text = diagnostics([problem], lambda _: Excerpt(1, '"天気" = 1, b = 2', 10, 1), Output())
    source, caret = text.splitlines()[-2:]
    assert caret.index("^") == source.index("b =") + 2


def test_json_says_the_same_as_the_text() -> None:
    """A script gets every problem with all that is known of it."""
    found = json.loads(outcome("seven_mistakes", "--json").text)
    assert (found["file"], found["errors"], found["warnings"]) == ("tracing.toml", 7, 0)
    assert [one["code"] for one in found["problems"]] == CODE.findall(outcome("seven_mistakes").text)
    assert all(one["line"] and one["column"] and one["key"] for one in found["problems"])


def test_json_names_where_placeholders_stand() -> None:
    found = json.loads(outcome("right_with_placeholders", "--json").text)
    assert [one["key"] for one in found["placeholders"]] == ["backends.honeycomb.api_key"]


def test_an_annotation_can_not_be_broken_out_of() -> None:
    """A key or a message with line breaks, commas or colons stays within its one annotation."""
    problem = Problem("a\nb: 10%", "warning", "x,y:z.toml", 3, 4, "k", "code")
    assert github(problem) == "::warning file=x%2Cy%3Az.toml,line=3,col=4,title=code::k: a%0Ab: 10%25"


def test_github_gets_an_annotation_for_each_problem() -> None:
    lines = outcome("strict", "--format", "github").text.splitlines()
    assert lines[0].startswith(
        "::warning file=tracing.toml,line=10,col=10,title=sampled-metrics::backends.datadog"
    )
    assert lines[1:] == ["tracing.toml: 1 warning"]


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("right", (), 0),
        ("right", ("--strict",), 0),
        ("paid_twice", (), 0),
        ("paid_twice", ("--strict",), 1),
        ("seven_mistakes", ("--strict",), 78),
        ("unset", (), 78),
        ("unset", ("--allow-unset",), 0),
        ("unset", ("--allow-unset", "--strict"), 0),
        ("missing_file", (), 78),
        ("right", ("--format", "xml"), 2),
        ("right", ("--spans", "nosuch.json"), 2),
    ],
)
def test_exit_codes_are_the_documented_ones(name: str, arguments: tuple[str, ...], code: int) -> None:
    """0 fine, 1 warnings under --strict, 2 the command line, 78 the file."""
    assert outcome(name, *arguments).exit_code == code


def run(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "ajolo_fanout", *arguments]
    settings = {**os.environ, **environ}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)


RULE = """schema = 1
[service]
name = "a"
[backends.console]
type = "console"
select.exclude = [{ name = "GET /health" }]
"""


def test_a_rule_is_tried_on_the_spans_that_are_given(tmp_path: Path) -> None:
    """With spans of the user's own that it tells apart, there is no warning."""
    (tmp_path / "tracing.toml").write_text(RULE)
    span = '{"traceId":"%032x","spanId":"%016x","name":"%s","startTimeUnixNano":"1","endTimeUnixNano":"2"}'
    spans = ",".join(span % (1, number, name) for number, name in enumerate(["GET /health", "GET /"], 1))
    whole = '{"resourceSpans":[{"scopeSpans":[{"spans":[' + spans + "]}]}]}"
    (tmp_path / "spans.json").write_text(whole)
    assert run("check", "--strict", folder=tmp_path).returncode == 1
    own = run("check", "--strict", "--spans", "spans.json", folder=tmp_path)
    assert (own.returncode, own.stderr) == (0, "")


def test_switched_off_is_said_and_is_no_success(tmp_path: Path) -> None:
    done = run("check", folder=tmp_path, AJOLO_FANOUT_CONFIG="off")
    assert done.returncode == 2
    assert "tracing is switched off" in done.stderr


def test_a_file_named_in_the_environment_is_checked(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("schema = 1\n")
    done = run("check", folder=tmp_path, AJOLO_FANOUT_CONFIG="other.toml")
    assert done.returncode == 78
    assert "other.toml:1:1" in done.stdout


@pytest.mark.parametrize("path", ["~nosuchuser/x.toml", "a\udcffb.toml", "x" * 5000, "tracing.toml/x"])
def test_odd_paths_are_told_in_words(tmp_path: Path, path: str) -> None:
    (tmp_path / "tracing.toml").write_text(RULE)
    done = run("check", path, folder=tmp_path)
    assert done.returncode in (2, 78)
    assert "Traceback" not in done.stderr + done.stdout


def test_a_folder_that_is_gone_is_told_in_words(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os; os.rmdir(os.getcwd()); from ajolo_fanout.cli.main import main; main(['check'])"
    # Isolated: with that folder on its path, CPython 3.13.0 fails to import what it needs itself.
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("current folder is gone")) == (2, 1)


def test_plain_where_it_is_no_terminal(tmp_path: Path) -> None:
    """No escape and no carriage return reaches a pipe, even where colours are forced on other tools."""
    (tmp_path / "tracing.toml").write_text(RULE)
    done = run("check", folder=tmp_path, TERM="xterm-256color")
    assert "\x1b" not in done.stdout
    assert "matches-none" in done.stdout


def test_ascii_streams_get_ascii(tmp_path: Path) -> None:
    """A letter that can't be encoded ends nothing."""
    (tmp_path / "tracing.toml").write_text(RULE.replace("console", "天気", 1), encoding="utf-8")
    done = run("check", folder=tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 78
    assert done.stdout.isascii()
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize(
    ("environ", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_on_a_terminal_unless_they_are_unwanted(
    tmp_path: Path, environ: dict[str, str], colored: bool
) -> None:
    import pty

    (tmp_path / "tracing.toml").write_text(RULE)
    main, other = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environ}
    command = [sys.executable, "-m", "ajolo_fanout", "check"]
    with subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=other, stderr=other) as process:
        process.wait(timeout=60)
    os.close(other)
    text = b""
    try:
        while part := os.read(main, 65536):
            text += part
    except OSError:
        pass  # Linux says so at the end of a pseudo-terminal whose other end is closed
    os.close(main)
    assert b"matches-none" in text
    assert (b"\x1b[" in text) is colored


def test_checking_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """Neither what sends nor what draws: rich, RE2, gRPC, urllib3; and without rules to try, no protobuf."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    file = tmp_path / "tracing.toml"
    file.write_text("\n".join(line for line in lines if "match =" not in line), encoding="utf-8")
    code = (
        "import sys\nfrom ajolo_fanout.cli.main import main\n"
        f"try:\n    main(['check', '--allow-unset', {str(file)!r}])\nexcept SystemExit: pass\n"
        "heavy = {'rich', 're2', 'grpc', 'urllib3', 'requests', 'google.protobuf', 'ddtrace', 'pytest'}\n"
        "heavy &= set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_shows_examples_and_exit_codes() -> None:
    text = CliRunner().invoke(cli, ["check", "--help"]).output
    assert "Examples:" in text
    assert "78" in text


def test_spans_that_cannot_be_used_are_told_as_preview_tells_them(tmp_path: Path) -> None:
    """One reader for all commands: an empty file tries no rule, and is no right answer."""
    file, spans = tmp_path / "tracing.toml", tmp_path / "spans.jsonl"
    file.write_text(
        'schema = 1\n[service]\nname = "a"\n[backends.screen]\ntype = "console"\nselect.include = ["llm"]\n',
        encoding="utf-8",
    )
    for text, said in {
        "": "holds no spans",
        "[]": ":1: an OTLP JSON request is an object",
        '{"resourceSpans": [': ":1: not JSON",
        '{"resourceSpans": 3}': ":1: no OTLP JSON request: resourceSpans",
    }.items():
        spans.write_text(text, encoding="utf-8")
        for command in ("check", "preview"):
            done = CliRunner().invoke(cli, [command, str(file), "--spans", str(spans)])
            assert done.exit_code == 2
            assert f"Error: {spans}" in done.output
            assert said in done.output
