"""What every test of this room needs: profiles resolved the way the plan does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.convert import structure
from ajolo_fanout.config.places import KeyPath, Place, dotted
from ajolo_fanout.errors import Problem
from ajolo_fanout.profiles.catalog import load
from ajolo_fanout.profiles.inputs import inputs_class, placeholder, values_of
from ajolo_fanout.profiles.model import Profile
from ajolo_fanout.profiles.target import Finding, Target, resolve_target


class Resolve(Protocol):
    """Resolves a backend written as one flat table, common keys and inputs together."""

    def __call__(self, profile: str | Profile, /, **table: Any) -> tuple[Target | None, list[Finding]]: ...


def _place(key: KeyPath) -> Place:
    return Place("tracing.toml", key=dotted(key))


def _resolve(profile: str | Profile, /, **table: Any) -> tuple[Target | None, list[Finding]]:
    found = load(profile) if isinstance(profile, str) else profile
    names = {one.name for one in found.inputs}
    problems: list[Problem] = []
    own = {name: value for name, value in table.items() if name in names}
    common = {name: value for name, value in table.items() if name not in names}
    folder = Path("/srv/app")
    inputs = structure(inputs_class(found), own, place=_place, problems=problems, folder=folder)
    settings = structure(BackendSettings, common, place=_place, problems=problems, folder=folder)
    assert not problems, problems
    assert settings is not None
    return resolve_target(found, values_of(inputs), settings)


def _minimal(profile: Profile, *, located: bool = False) -> dict[str, Any]:
    """What a user must write, with placeholders for it."""
    table: dict[str, Any] = {}
    for one in profile.inputs:
        if one.required and not (located and one.name in profile.location()):
            value = placeholder(one)
            table[one.name] = value.reveal() if one.secret else str(value)
    return table


@pytest.fixture
def resolve() -> Resolve:
    """See `Resolve`."""
    return _resolve


@pytest.fixture
def minimal() -> Callable[..., Mapping[str, Any]]:
    """See `_minimal`."""
    return _minimal


@pytest.fixture
def target(resolve: Resolve) -> Callable[..., Target]:
    """The target of a table that must be right, warnings allowed."""

    def made(profile: str | Profile, /, **table: Any) -> Target:
        found, findings = resolve(profile, **table)
        assert found is not None, findings
        return found

    return made


@pytest.fixture
def errors(resolve: Resolve) -> Callable[..., list[Finding]]:
    """The errors of a table that must be wrong."""

    def made(profile: str | Profile, /, **table: Any) -> list[Finding]:
        found, findings = resolve(profile, **table)
        wrong = [finding for finding in findings if finding.severity == "error"]
        assert found is None, "this was expected to be refused"
        assert wrong
        return wrong

    return made
