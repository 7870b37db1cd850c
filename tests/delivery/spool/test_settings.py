"""`[spool]` in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.config.convert import fields_of, structure
from ajolo_fanout.config.places import Place
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.errors import Problem
from ajolo_fanout.values import Size, option_of


def read(table: dict[str, Any], folder: Path) -> tuple[SpoolSettings | None, list[Problem]]:
    problems: list[Problem] = []
    place = lambda key: Place("tracing.toml", None, None, ".".join(map(str, ("spool", *key))))  # noqa: E731
    return structure(SpoolSettings, table, place=place, problems=problems, folder=folder), problems


def test_a_relative_folder_starts_at_the_file(tmp_path: Path) -> None:
    settings, problems = read({"directory": "spool", "max_bytes": "1GiB"}, tmp_path)
    assert not problems
    assert settings == SpoolSettings(tmp_path / "spool", Size(1024**3), "drop_oldest")


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"directory": 5},
        {"directory": "x", "max_bytes": "1KiB"},
        {"directory": "x", "max_bytes": 100},
        {"directory": "x", "when_full": "drop"},
        {"directory": "x", "folder": "y"},
    ],
)
def test_what_can_t_be_is_a_problem(tmp_path: Path, table: dict[str, Any]) -> None:
    settings, problems = read(table, tmp_path)
    assert settings is None
    assert len(problems) == 1


@pytest.mark.parametrize("field", fields_of(SpoolSettings), ids=lambda field: field.name)
def test_every_key_is_explained_with_an_example(field: Any) -> None:
    option = option_of(field)
    assert option is not None
    assert option.help.endswith(".")
    assert option.example
