"""What is marked as a secret is in no message, whatever is wrong with the file around it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.config.document import parse
from ajolo_fanout.errors import ConfigError, Problem

MARK = "sk-hush7hush7hush7hush"

RIGHT = f'''\
# a key we had before: {MARK}
schema = 1
[service]
name = "${{FROM_ENVIRONMENT}}"
[defaults]
headers = {{ "x-team" = "{MARK}" }}
[backends.a]
type = "otlp"
api_key = "{MARK}"
headers = {{ Authorization = "Bearer {MARK}", "x-key" = "{MARK}",
            "x-file" = {{ file = "${{FROM_ENVIRONMENT}}" }} }}
enabled = "${{FROM_ENVIRONMENT}}"
timeout = "${{FROM_ENVIRONMENT}}"
compression = "${{FROM_ENVIRONMENT}}"
sampling.ratio = "${{FROM_ENVIRONMENT}}"
tls.ca_file = "${{FROM_ENVIRONMENT}}"
unknown = "{MARK}"
[backends.b]
api_key = """
{MARK}"""
tls.verify = "{MARK}"
timeout = "{MARK}"
batch = {{ max_queue_size = "{MARK}", more = ["{MARK}", {{ x = '{MARK}' }}] }}
[[backends.b.processors]]
type = "set"
api_key = '{MARK}'
'''


Reader = Callable[[str, Path, dict[str, str]], list[Problem]]


def shown(text: str, folder: Path, problems_of: Reader) -> str:
    """Everything that a user, a log or a traceback gets to see of a text."""
    said = []
    for problem in problems_of(text, folder, {"FROM_ENVIRONMENT": MARK}):
        said += [str(problem), repr(problem)]
    try:
        document = parse(text, "tracing.toml")
    except ConfigError as error:
        said += ["".join(traceback.format_exception(type(error), error, error.__traceback__)), repr(error)]
    else:
        said += [repr(document), str(document)]
        said += [document.line_text(line) for line in range(1, text.count("\n") + 2)]
    return "\n".join(said)


def test_the_file_itself_has_many_problems_and_shows_nothing(tmp_path: Path, problems_of: Reader) -> None:
    """The ground on which the property stands: secrets in every place, and an error at most of them."""
    assert len(problems_of(RIGHT, tmp_path, {"FROM_ENVIRONMENT": MARK})) >= 10
    assert MARK not in shown(RIGHT, tmp_path, problems_of)


EDITS = st.sampled_from(
    [
        "",
        '"',
        "'",
        '"""',
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        ".",
        "#",
        "\n",
        "\\",
        "${",
        "$",
        "file",
        "1",
        " ",
        "é",
    ]
)


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """The file with a few places cut, doubled or written over, but never inside a mark."""
    parts = RIGHT.split(MARK)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 4]))):
        which = draw(st.integers(0, len(parts) - 1))
        part = parts[which]
        start = draw(st.integers(0, len(part)))
        end = min(len(part), start + draw(st.integers(0, 12)))
        parts[which] = part[:start] + draw(EDITS) + part[end:]
    if draw(st.booleans()):
        which = draw(st.integers(0, len(parts) - 1))
        parts.insert(which, draw(st.sampled_from(parts)))
    return MARK.join(parts)


@st.composite
def shuffled(draw: st.DrawFn) -> str:
    """The file with a few lines moved, doubled or left out: most of it is TOML, with keys in other tables."""
    lines = RIGHT.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        line = lines[draw(st.integers(0, len(lines) - 1))]
        if draw(st.booleans()):
            lines.remove(line)
        if draw(st.booleans()):
            lines.insert(draw(st.integers(0, len(lines))), line)
    return "\n".join(lines)


@given(text=spoiled() | shuffled())
def test_no_mutation_of_the_file_brings_a_secret_into_a_message(text: str, problems_of: Reader) -> None:
    """A quote forgotten, a bracket too many, a key that became another, a secret that became a key."""
    assert MARK not in shown(text, Path("/nonexistent"), problems_of)
