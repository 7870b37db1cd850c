"""The profiles there are: found in the wheel or the checkout, read when asked for, once."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.convert import register, structure
from ajolo_fanout.config.document import Document
from ajolo_fanout.config.document import load as load_document
from ajolo_fanout.config.faults import near, wrong_type
from ajolo_fanout.config.places import KeyPath, Place
from ajolo_fanout.errors import ConfigError, InstallError, Problem
from ajolo_fanout.profiles.checks import IDENTIFIER, check
from ajolo_fanout.profiles.finding import shown
from ajolo_fanout.profiles.model import Profile

__all__ = ["data_folder", "load", "names"]

_PACKAGE = Path(__file__).parents[1]


def data_folder(kind: Literal["backends", "examples"], package: Path = _PACKAGE) -> Path:
    """The folder of that name that came with the program.

    An installed wheel carries it inside the package, as `ajolo_fanout/_data/<kind>`. A checkout, and with it
    an editable install, has it at the top of the tree, two folders above the package (`src/ajolo_fanout`).

    Raises:
        InstallError: when it is in neither place.
    """
    for folder in (package / "_data" / kind, package.parents[1] / kind):
        if folder.is_dir():
            return folder
    raise InstallError(f"ajolo_fanout is installed without its {kind} folder; install it again")


def names(extra: Path | None = None) -> tuple[str, ...]:
    """The ids of all profiles, sorted; of `extra`'s too, a folder of further profiles.

    Raises:
        ConfigError: when `extra` has a profile under a name that can't be an id, or that is taken.
    """
    return tuple(sorted(_files(extra)))


def load(identifier: str, extra: Path | None = None) -> Profile:
    """The profile called `identifier`.

    Args:
        identifier: The file's name without `.toml`; what a user writes as `type`.
        extra: A folder of further profiles. It can't replace any of ours: a profile decides where traces go.

    Raises:
        ConfigError: when there is none of that name, or it has mistakes: all of them, each with file, line
            and key.
    """
    files = _files(extra)
    if identifier not in files:
        hint = near(identifier, files) or f"; there are {', '.join(sorted(files))}"
        raise ConfigError([Problem(f"no type {shown(identifier)}{hint}", key="type", code="unknown-type")])
    return _read(files[identifier])


def _files(extra: Path | None) -> dict[str, Path]:
    files = {path.stem: path for path in data_folder("backends").glob("*.toml")}
    problems = []
    for path in sorted(extra.glob("*.toml")) if extra is not None else ():
        if not IDENTIFIER.fullmatch(path.stem):
            message = "a profile's file is named like datadog_agent.toml: a-z, 0-9 and _"
            problems.append(Problem(message, file=str(path), code="profile-name"))
        elif path.stem in files:
            message = f'"{path.stem}" is a profile of ours ({files[path.stem].name}) and can\'t be replaced'
            problems.append(Problem(message, file=str(path), code="profile-name"))
        else:
            files[path.stem] = path
    if problems:
        raise ConfigError(problems)
    return files


def _read_date(value: Any) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    raise wrong_type("a date such as 2026-11-23, without quotes", value)


register(dt.date, _read_date)


@functools.cache
def _read(path: Path) -> Profile:
    document = load_document(path, f"{path.parent.name}/{path.name}")
    table = document.data
    if "id" in table:
        raise ConfigError(
            [
                document.place(("id",)).problem(
                    "a profile's id is its file's name; leave it out", "unknown-key"
                )
            ]
        )
    problems: list[Problem] = []
    made = structure(Profile, table, place=document.place, problems=problems, folder=path.parent)
    if made is not None and not problems:
        profile = attrs.evolve(made, id=path.stem)
        problems += [document.place(key).problem(message, "profile") for key, message in check(profile)]
        problems += _default_problems(document, profile.defaults, path.parent)
        if not problems:
            return profile
    raise ConfigError(problems)


def _default_problems(document: Document, defaults: Mapping[str, Any], folder: Path) -> list[Problem]:
    """Defaults must be what a user could have written."""
    problems: list[Problem] = []

    def place(key: KeyPath) -> Place:
        return document.place(("defaults", *key))

    structure(BackendSettings, defaults, place=place, problems=problems, folder=folder)
    return problems
