"""The harness of the golden cases: files, and exactly the problems that they have.

A new case is a new file in `cases/` and needs no code. It is a `tracing.toml`, a line of ten or more `=`, and
the expected problems, one a line, as `message  (code, column N)`; `none` where the file is right. Comments in
the file set the scene:

    # env NAME=value         an environment variable; nothing else is set
    # file NAME=content      a file beside the configuration

`python tests/config/conftest.py` writes what comes out into the cases, to be read with care before it is
kept.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.convert import structure, structure_value
from ajolo_fanout.config.document import parse
from ajolo_fanout.config.model import FileSettings
from ajolo_fanout.config.places import KeyPath, Place
from ajolo_fanout.config.substitution import substitute
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.values import Secret

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))
DIVIDER = re.compile(r"^={10,}\n", re.MULTILINE)
SCENE = re.compile(r"^# (env|file) ([^=\n]+)=([^\n]*)$", re.MULTILINE)

INPUTS = {"api_key": Secret, "site": str}
"""What a profile would ask for: the cases' backends may have these keys as well."""


def read_problems(text: str, folder: Path, environ: dict[str, str]) -> list[Problem]:
    """Read a file as far as this room can: every table by its settings class, without profiles."""
    try:
        document = parse(text, "tracing.toml", folder / "tracing.toml")
    except ConfigError as error:
        return list(error.problems)
    found: list[Problem] = []

    def read(table: dict[str, Any], at: KeyPath, cls: type, known: frozenset[str] = frozenset()) -> None:
        def place(path: KeyPath) -> Place:
            return document.place((*at, *path))

        values, flaws = substitute(table, environ.get)
        found.extend(place(flaw.path).problem(flaw.message, flaw.code) for flaw in flaws)
        for name in known & set(values):
            value = values.pop(name)
            under = partial(lambda name, path: place((name, *path)), name)
            structure_value(INPUTS[name], value, place=under, problems=found, folder=folder)
        structure(cls, values, place=place, problems=found, folder=folder, known=known)

    unread = ("backends", "defaults", "tests")
    top = {key: value for key, value in document.data.items() if key not in unread}
    read(top, (), FileSettings)
    raw = {key: document.data[key] for key in unread if key in document.data}
    kept = structure(FileSettings, {"schema": 1, **raw}, place=document.place, problems=found, folder=folder)
    for name, table in kept.backends.items() if kept is not None else ():
        own = {key: value for key, value in table.items() if key != "type"}
        read(own, ("backends", name), BackendSettings, frozenset(INPUTS))
    return list(ConfigError(found).problems)


def read_outcome(text: str, folder: Path) -> str:
    """What a case's text comes to, in the form that the cases are written in."""
    environ: dict[str, str] = {}
    for kind, name, content in SCENE.findall(text):
        if kind == "env":
            environ[name] = content
        else:
            (folder / name).write_text(content, encoding="utf-8")
    found = read_problems(text, folder, environ)
    shown = [f"{problem}  ({problem.code}, column {problem.column})" for problem in found]
    return "\n".join(shown).replace(str(folder), "FOLDER") or "none"


@pytest.fixture(scope="session")
def problems_of() -> Callable[[str, Path, dict[str, str]], list[Problem]]:
    """Reads a file, given its text, its folder and the environment."""
    return read_problems


@pytest.fixture(scope="session")
def outcome() -> Callable[[str, Path], str]:
    """What a case's text comes to, given a folder for the files it asks for."""
    return read_outcome


if __name__ == "__main__":
    for path in CASES:
        before = DIVIDER.split(path.read_text(encoding="utf-8"))[0]
        with tempfile.TemporaryDirectory() as scratch:
            after = read_outcome(before, Path(scratch))
        path.write_text(f"{before}==========\n{after}\n", encoding="utf-8")
