"""`ajolo-fanout backends` and `ajolo-fanout schema`: what is known, as tables and for editors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import tomli
from click.testing import CliRunner, Result

from ajolo_fanout.cli.main import cli
from ajolo_fanout.profiles import catalog
from ajolo_fanout.reference.schema import schema

ROOT = Path(__file__).parents[2]


def run(*arguments: str, columns: int = 80) -> Result:
    return CliRunner().invoke(cli, list(arguments), env={"COLUMNS": str(columns)})


@pytest.mark.parametrize("columns", [80, 140])
def test_the_list_has_every_type(columns: int) -> None:
    lines = run("backends", "list", columns=columns).output.splitlines()
    firsts = {line.split()[0] for line in lines if line.strip() and not line.startswith(" ")}
    assert set(catalog.names()) <= firsts
    assert all(len(line) <= columns for line in lines)


def test_the_list_as_json_has_every_type() -> None:
    found = json.loads(run("backends", "list", "--json").output)
    assert [one["type"] for one in found] == list(catalog.names())
    assert all(one["summary"] and one["checked"] for one in found)


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("name", catalog.names())
def test_a_type_is_shown_with_all_that_a_user_wants(name: str, columns: int) -> None:
    """Keys, variables, URLs, documentation and the date of the facts; no line wider than the terminal."""
    profile = catalog.load(name)
    output = run("backends", "show", name, columns=columns).output
    flat = "".join(output.split())
    for one in profile.inputs:
        assert one.name in output
        assert "".join(one.env.split()) in flat
    for url in profile.docs:
        assert url in output
    if profile.self_test is not None:
        assert "".join(profile.self_test.proves.split()) in flat
    assert profile.checked.isoformat() in output
    assert [line for line in output.splitlines() if len(line) > columns and "https://" not in line] == []


@pytest.mark.parametrize("name", catalog.names())
def test_a_type_as_json_is_its_profile(name: str) -> None:
    found = json.loads(run("backends", "show", name, "--json").output)
    assert (found["type"], found["title"]) == (name, catalog.load(name).title)
    assert [one["name"] for one in found["inputs"]] == [one.name for one in catalog.load(name).inputs]


def test_an_unknown_type_is_exit_2_with_a_hint() -> None:
    done = run("backends", "show", "lang_fuse")
    assert done.exit_code == 2
    assert 'did you mean "langfuse"' in done.output


def test_the_schema_is_the_one_that_is_checked_in() -> None:
    """What editors get from the command is the page's own, byte for byte."""
    assert run("schema").output == schema()


def test_the_schema_takes_the_example_and_refuses_a_slip() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(run("schema").output))
    text = (ROOT / "examples" / "tracing.toml").read_text(encoding="utf-8")
    assert list(validator.iter_errors(tomli.loads(text))) == []
    slip = tomli.loads(text.replace("sampling.ratio = 0.2", "sampling.ratoi = 0.2"))
    assert list(validator.iter_errors(slip)) != []


def test_taplo_accepts_the_schema_and_refuses_a_slip(tmp_path: Path) -> None:
    """The checker behind editors' TOML extensions finds the schema by the file's own first line."""
    taplo = shutil.which("taplo", path=str(Path(sys.executable).parent)) or shutil.which("taplo")
    if taplo is None:
        pytest.skip("needs taplo")
    (tmp_path / "tracing.schema.json").write_text(run("schema").output, encoding="utf-8")
    text = (ROOT / "examples" / "tracing.toml").read_text(encoding="utf-8")
    for name, content, right in (
        ("right.toml", text, True),
        ("wrong.toml", text.replace("[service]", "[servce]"), False),
    ):
        (tmp_path / name).write_text("#:schema tracing.schema.json\n" + content, encoding="utf-8")
        done = subprocess.run(
            [taplo, "lint", name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is right, done.stderr
