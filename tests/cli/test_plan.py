"""`ajolo-fanout plan`: what goes where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ajolo_fanout.cli.main import cli
from ajolo_fanout.cli.plan import wrapped

EXAMPLE = Path(__file__).parents[2] / "examples" / "tracing.toml"
KEYS = ("DD_API_KEY", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "HONEYCOMB_API_KEY")

SMALL = """schema = 1
[service]
name = "agent [#1] <b>\\"x\\""

[backends.all]
type = "otlp"
endpoint = "http://localhost:4318"

[backends.few]
type = "otlp"
endpoint = "http://localhost:4319"
sampling.ratio = 0.1
sampling.keep = [{ name = "errors", match = { status = "error" } }]

[backends.laptop]
type = "honeycomb"
region = "us"
api_key = "${LAPTOP_KEY}"
optional = true

[backends.never]
type = "console"
enabled = false
"""


def plan(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["plan", *arguments], env=environ)


@pytest.fixture
def small(tmp_path: Path) -> str:
    file = tmp_path / "tracing.toml"
    file.write_text(SMALL)
    return str(file)


def test_it_shows_each_backend_and_no_secret() -> None:
    secrets = {name: f"{'pk-lf-' if 'PUBLIC' in name else 's3cret-'}{name.lower()}" for name in KEYS}
    done = plan(str(EXAMPLE), **secrets)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "https://otlp.datadoghq.eu/v1/traces" in done.stdout
    for form in ((), ("--origins",), ("--graph",), ("--json",)):
        assert "s3cret" not in plan(str(EXAMPLE), *form, **secrets).output


def test_what_is_unset_gets_a_placeholder_and_a_warning() -> None:
    """Each absent variable is named with its place on standard error; the tree is whole."""
    done = plan(str(EXAMPLE))
    assert done.exit_code == 0
    warnings = done.stderr.splitlines()
    assert len(warnings) == len(KEYS)
    for name, line in zip(KEYS, warnings, strict=True):
        assert re.match(rf"warning: .*tracing\.toml:\d+:\d+: the environment variable {name} is unset", line)
    assert done.stdout.count("─ ") == 6


def test_an_optional_backend_is_off_where_nothing_else_is_absent(small: str) -> None:
    done = plan(small)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "laptop: off" in done.stdout
    assert "LAPTOP_KEY is unset" in done.stdout


def test_an_optional_backend_is_shown_once_placeholders_stand(tmp_path: Path) -> None:
    """All of the file can be seen, and the warning says that this is not how it is here."""
    file = tmp_path / "tracing.toml"
    file.write_text(SMALL.replace("http://localhost:4318", "${COLLECTOR}"))
    done = plan(str(file))
    assert "laptop (honeycomb)" in done.stdout
    assert {re.findall(r"variable (\w+)", line)[0] for line in done.stderr.splitlines()} == {
        "COLLECTOR",
        "LAPTOP_KEY",
    }


def test_origins_name_the_line_of_each_value(small: str) -> None:
    done = plan(small, "--origins")
    assert re.search(r"sampling\.ratio = 0\.1 +\S*tracing\.toml:12", done.stdout)
    assert re.search(r"timeout = 10s +built in", done.stdout)


def test_json_is_the_plans_own(small: str) -> None:
    found = json.loads(plan(small, "--json").stdout)
    assert [one["name"] for one in found["backends"]] == ["all", "few"]
    assert [one["name"] for one in found["off"]] == ["laptop", "never"]
    assert found["backends"][1]["origins"]["sampling.ratio"].endswith("tracing.toml:12")


def test_the_graph_has_every_backend_and_its_way(small: str) -> None:
    lines = plan(small, "--graph").stdout.splitlines()
    assert lines[0] == "flowchart LR"
    text = "\n".join(lines)
    assert 'router["router<br>records all traces"]' in text
    assert '|"10 % of traces<br>and errors"| b2' in text
    assert text.count("router --> s") == 1  # one shape
    assert 'router -.-x o1["laptop: off<br>optional, and LAPTOP_KEY is unset"]' in text
    assert 'router -.-x o2["never: off<br>enabled = false"]' in text


def test_the_graph_names_the_rule_that_forces_local_recording(tmp_path: Path) -> None:
    """Where rules want more than the largest ratio, the router's node says which."""
    file = tmp_path / "tracing.toml"
    file.write_text(SMALL.replace('"http://localhost:4318"', '"http://localhost:4318"\nsampling.ratio = 0.2'))
    assert "<br>records all traces for few's errors" in plan(str(file), "--graph").stdout


def test_a_name_can_not_break_out_of_the_graph(small: str) -> None:
    """Quotes, brackets and markup of a service's name are shown, not obeyed."""
    first = plan(small, "--graph").stdout.splitlines()[1]
    assert first.count('"') == 4
    assert "<b>" not in first
    assert "agent #91;#35;1#93;" in first


def test_errors_are_told_on_standard_error(tmp_path: Path) -> None:
    file = tmp_path / "tracing.toml"
    file.write_text(SMALL.replace("0.1", "3"))
    done = plan(str(file), COLUMNS="120")
    assert (done.exit_code, done.stdout) == (78, "")
    assert "error[out-of-range]: must be between 0 and 1, got 3" in done.stderr
    assert "tracing.toml:12:10" in done.stderr
    assert done.stderr.endswith("1 error\n")


@pytest.mark.parametrize("text", ["schema =", "", "\x00"])
def test_a_file_that_is_none_is_told_in_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tracing.toml"
    file.write_text(text)
    assert plan(str(file)).exit_code == 78


def test_one_form_at_a_time(small: str) -> None:
    assert plan(small, "--json", "--graph").exit_code == 2


@pytest.mark.parametrize("width", [80, 140])
def test_long_rows_stand_under_their_first_word(width: int) -> None:
    """On a terminal no row is wider than it, and no word of the tree is lost."""
    tree = plan(str(EXAMPLE)).stdout
    narrow = wrapped(tree, width)
    assert [line for line in narrow.splitlines() if len(line) > width] == []
    bars = str.maketrans("", "", "│├└─")
    assert narrow.translate(bars).split() == tree.translate(bars).split()
