"""Whatever is in a file, `check` says so in words, with a line, and in no time."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.cli.cases import CASES
from tests.conftest import LONG

from ajolo_fanout.cli.main import cli

pytestmark = pytest.mark.scaled
FILES = 5_000 if LONG else 500
PART = 100
"""Files of one test, so that a failure names a part that can be run by itself."""

REPEATING = ("bad-choice", "unknown-type", "endpoint")
"""Codes whose messages name what was written, if nothing in it looks like a credential (`test_misplaced_secrets`)."""

EXAMPLE = Path(__file__).parents[2] / "examples" / "tracing.toml"
MARKED = """schema = 1
[service]
name = "agent"
[backends.honeycomb]
type = "honeycomb"
region = "us"
api_key = "s3cretmarker"
headers = { authorization = "Bearer s3cretmarker", x-team = "s3cretmarker" }
[backends.langfuse]
type = "langfuse"
region = "eu"
public_key = "${PUBLIC}"
secret_key = '''
s3cretmarker'''
"""

PIECES = (
    *"\"'=[]{}.,#\\\n\r\t \x00\x07\x7f\ufeff\u202e😀",
    '"""',
    "'''",
    "[[",
    "]]",
    "${",
    "${X}",
    "${X:-}",
    "$$",
    "true",
    "nan",
    "-inf",
    "9" * 30,
    "1979-05-27T07:32:00Z",
    '"5s"',
    "{ file = 3 }",
    "backends",
    "sampling.keep = [{}]",
    "[backends.a.b.c]",
    "\\ud800",
    "[" * 300,
    "{ a = " * 60,
    "a." * 600 + "b = 1",
    "{ a.b = 1, a.c = [] }",
    "[[1], ['x'], {}]",
    "1e400",
    "0xffffffffffffffffffff",
    "-0",
    "1_0",
    "07:32:00",
    '{ equals = ">= 1" }',
    "{ any = [{}], not = { root = true } }",
    '"${A:-${B}}"',
    '"s3cretmarker"',
)


def bases() -> list[str]:
    """Texts to start from: the example, the marked file, and the corpus."""
    return [EXAMPLE.read_text(encoding="utf-8"), MARKED] + [
        path.read_text(encoding="utf-8") for path in sorted(CASES.glob("*.toml"))
    ]


def _cut(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + chance.choice((1, 1, 2, 5, 40)) :]


def _put(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(PIECES) + text[at:]


def _lines(text: str, chance: random.Random) -> str:
    lines = text.split("\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    if chance.random() < 0.5:
        lines.insert(one, lines[chance.randrange(len(lines))])
    return "\n".join(lines)


def _value(text: str, chance: random.Random) -> str:
    """Another line's value, or a piece, behind an equals sign."""
    found = list(re.finditer(r"=[ ]*([^\n]*)", text))
    if not found:
        return text
    one = chance.choice(found)
    other = chance.choice((chance.choice(found)[1], chance.choice(PIECES)))
    return text[: one.start(1)] + other + text[one.end(1) :]


def _key(text: str, chance: random.Random) -> str:
    """A key that stands elsewhere, in a table that may not know it."""
    found = list(re.finditer(r"^([\w.\"-]+) =", text, re.MULTILINE))
    if not found:
        return text
    one, other = chance.choice(found), chance.choice(found)
    return text[: one.start(1)] + other[1] + text[one.end(1) :]


def _header(text: str, chance: random.Random) -> str:
    """A table that becomes an array of tables, another's table, or a table deeper down."""
    found = list(re.finditer(r"^\[+([^\[\]\n]+)\]+", text, re.MULTILINE))
    if not found:
        return text
    one, other = chance.choice(found), chance.choice(found)
    header = chance.choice((f"[[{one[1]}]]", f"[{other[1]}]", f"[{one[1]}.{other[1]}]", f"[{one[1]}.tls]"))
    return text[: one.start()] + header + text[one.end() :]


MUTATIONS: tuple[Callable[[str, random.Random], str], ...] = (_cut, _put, _lines, _value, _key, _header)


def mutated(number: int) -> str:
    """The file of that number, the same every time."""
    chance = random.Random(number)
    text = chance.choice(bases()) if number % 3 else MARKED
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        text = chance.choice(MUTATIONS)(text, chance)
    return text


@pytest.mark.parametrize("part", range(FILES // PART))
def test_no_file_brings_a_traceback_a_hang_or_an_error_without_a_line(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every mutated file ends in 0 or 78, each error with its place, within seconds of work, and shows no secret."""
    monkeypatch.chdir(tmp_path)
    for number in range(part * PART, (part + 1) * PART):
        text = mutated(number)
        Path("tracing.toml").write_text(text, encoding="utf-8", errors="replace", newline="")
        began = time.process_time()  # which a busy machine doesn't lengthen
        form = ("json", "text")[number % 2]
        result = CliRunner().invoke(cli, ["check", "tracing.toml", "--format", form])
        assert time.process_time() - began < 20, number
        assert result.exception is None or isinstance(result.exception, SystemExit), number
        assert result.exit_code in (0, 78), number
        if form == "json":
            _judge(json.loads(result.output), number)
        else:
            errors = [block for block in result.output.split("\n\n") if block.startswith("error[")]
            assert all(re.search(r"^ *--> tracing\.toml:\d+:\d+", block, re.MULTILINE) for block in errors)
            assert bool(errors) == (result.exit_code == 78), number


def _judge(found: dict[str, object], number: int) -> None:
    problems = found["problems"]
    assert isinstance(problems, list)
    for one in problems:
        # A short harmless word of the file is repeated where it could be a region or a host, as this one could.
        assert "marker" not in one["message"] or one["code"] in REPEATING, number
        assert one["severity"] == "warning" or (one["file"], bool(one["line"])) == ("tracing.toml", True), (
            number
        )


def test_every_mutation_changes_something() -> None:
    """A fuzzer that hands on what it was given would prove nothing."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for mutation in MUTATIONS:
        assert any(mutation(text, random.Random(number)) != text for number in range(5))
    assert len({mutated(number) for number in range(200)}) > 190
