"""The generated pages are fresh, and say all there is to say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli

from ajolo_fanout.config.backend import COMMON_KEYS
from ajolo_fanout.plan.environment import BATCH_VARIABLES
from ajolo_fanout.profiles import catalog
from ajolo_fanout.reference.__main__ import main
from ajolo_fanout.reference.pages import pages, stale, write
from ajolo_fanout.steps.redaction.api_keys import VENDOR_KEYS
from ajolo_fanout.steps.redaction.content_names import ATTRIBUTES, EVENTS, NOT_CONTENT
from ajolo_fanout.steps.redaction.detectors import DETECTORS

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
CASES = Path(__file__).parent / "cases"
WRONG = ("seven_mistakes", "useless_keys", "shapes", "no_backends", "several_rooms")
RIGHT = ("five", "origins", "off", "warnings", "unset", "defaults_kinds", "all_off")


def test_the_pages_in_the_documentation_are_fresh() -> None:
    """`python -m ajolo_fanout.reference` mends it."""
    assert stale(FOLDER) == []


def test_check_finds_a_stale_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, changed, mended: and the exit code says so."""
    assert main(["--check", str(tmp_path)]) == 1
    assert sorted(write(tmp_path)) == sorted(pages())
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "backends.md").write_text("old", encoding="utf-8")
    capsys.readouterr()
    assert main(["--check", str(tmp_path)]) == 1
    assert "backends.md: is stale" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0


def test_every_key_and_every_profile_is_there() -> None:
    """Nothing that a user may write is left out."""
    made = pages()
    for key in COMMON_KEYS - {"select", "retry", "spool"}:
        assert f"`{key}" in made["configuration.md"]
    for variable in BATCH_VARIABLES:
        assert f"`{variable}`" in made["configuration.md"]
    for name in catalog.names():
        profile = catalog.load(name)
        assert f"## `{name}`" in made["backends.md"]
        for text in (*(one.name for one in profile.inputs), *profile.docs, profile.checked.isoformat()):
            assert text in made["backends.md"]
        assert all(reason.replace("|", "\\|") in made["backends.md"] for reason in profile.reasons.values())


def test_every_detector_and_every_name_of_content_is_there() -> None:
    """With what it finds, what becomes of that, and an example of either kind."""
    page = pages()["redaction.md"]
    for row in DETECTORS.values():
        [line] = [line for line in page.splitlines() if line.startswith(f"| `{row.name}` |")]
        assert f"`[{row.name}]`" in line
        assert row.description.replace("|", "\\|") in line
        assert line.count("`") >= 8
    for name in (*(name for names in ATTRIBUTES.values() for name in names), *EVENTS, *NOT_CONTENT):
        assert f"`{name}`" in page
    for key in VENDOR_KEYS:
        assert key.vendor in page
        assert key.example not in page


@pytest.mark.parametrize("name", RIGHT + WRONG)
def test_the_schema_agrees_with_the_plan(name: str) -> None:
    """It takes what is right, and finds the mistakes that a schema can find."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(pages()["tracing.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    data = tomli.loads((CASES / f"{name}.toml").read_text(encoding="utf-8"))
    found = list(jsonschema.Draft202012Validator(schema).iter_errors(data))
    assert bool(found) == (name in WRONG)
