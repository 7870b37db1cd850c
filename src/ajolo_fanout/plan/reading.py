"""What is written for one backend, as typed values: its common keys and its profile's inputs.

What is wrong is left out and told, so that the rest is still looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ajolo_fanout.config.backend import COMMON_KEYS, BackendSettings
from ajolo_fanout.config.convert import ReadSecret, structure
from ajolo_fanout.config.document import Document
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.layers import Layer, Lookup, Merged, file_layer
from ajolo_fanout.profiles.inputs import inputs_class, placeholder, values_of
from ajolo_fanout.profiles.model import USELESS_KEYS, Profile
from ajolo_fanout.values import Secret

__all__ = ["Base", "Inputs", "Reading", "nothing", "read_common", "read_inputs", "written_defaults"]

T = TypeVar("T")


@attrs.frozen
class Base:
    """What all backends of a file are resolved against.

    Attributes:
        document: The file.
        lookup: The environment, for `${…}`.
        environment: The `OTEL_BSP_*` variables.
        allow_unset: Let placeholders stand for unset variables and missing secret files.
        spool: The folder for batches that wait on disk; None where there is none.
        service: The program's name.
    """

    document: Document
    lookup: Lookup = attrs.field(repr=False)
    environment: Layer
    allow_unset: bool = False
    spool: SpoolSettings | None = None
    service: str = ""

    def defaults(self, lookup: Lookup, without: Collection[str] = ()) -> Layer:
        """`[defaults]`, less some keys, which are not even looked at.

        Empty where it isn't a table, which is reported elsewhere.
        """
        kept = {key: value for key, value in written_defaults(self).items() if key not in without}
        return file_layer(self.document, ("defaults",), kept, lookup)


@attrs.define
class Reading:
    """How secrets in files are read, and which of them are placeholders."""

    resolving: bool
    allow_unset: bool
    stand_ins: list[Secret] = attrs.field(factory=list)

    def __call__(self, path: Path) -> Secret:
        """The secret in the file `path`; a placeholder where none is looked up, or where it may be absent.

        Raises:
            OSError, UnicodeDecodeError: it can't be read, and must be there.
        """
        if self.resolving:
            try:
                return Secret.from_file(path)
            except (OSError, UnicodeDecodeError):
                if not self.allow_unset:
                    raise
        stand_in = Secret(f"placeholder-{path.name}")
        self.stand_ins.append(stand_in)
        return stand_in


def written_defaults(base: Base) -> Mapping[str, Any]:
    """`[defaults]` as it stands in the file; empty where it is no table."""
    found = base.document.data.get("defaults")
    return found if isinstance(found, Mapping) else {}


def nothing(_: str) -> None:
    """The lookup of a backend that is off."""


def read_common(
    base: Base, profile: Profile | None, merged: Merged, reading: ReadSecret, problems: list[Problem]
) -> tuple[BackendSettings, frozenset[str]]:
    """The common keys, and which of them were wrong and left out, so that the others are still checked.

    With a known type, a key that is neither common nor one of its inputs is wrong.
    """
    inputs = frozenset(one.name for one in profile.inputs) if profile is not None else frozenset()
    useless = USELESS_KEYS[profile.kind] if profile is not None else frozenset()
    table = {
        key: value
        for key, value in merged.table.items()
        if key not in inputs | useless | {"type"} and (profile is not None or key in COMMON_KEYS)
    }
    return _structure(BackendSettings, table, base, merged, reading, problems, inputs | {"type"})


def _structure(
    cls: type[T],
    table: Mapping[str, Any],
    base: Base,
    merged: Merged,
    reading: ReadSecret,
    problems: list[Problem],
    known: frozenset[str] = frozenset(),
) -> tuple[T, frozenset[str]]:
    """A `cls` of what is right in `table`, and the keys that are not."""

    def read(part: Mapping[str, Any], found: list[Problem]) -> T | None:
        return structure(
            cls,
            part,
            place=merged.place,
            problems=found,
            folder=base.document.folder,
            from_file=reading,
            known=known,
        )

    made: T | None = read(table, problems)
    if made is not None:
        return made, frozenset()
    right = {key: value for key, value in table.items() if read({key: value}, []) is not None}
    made = read(right, [])
    assert made is not None  # every key has a default, and each was read by itself
    return made, frozenset(table.keys() - right.keys())


@attrs.frozen
class Inputs:
    """A profile's inputs as they are written.

    Attributes:
        written: Typed values.
        unset: Those that stand on placeholders.
        dropped: Those that were wrong.
    """

    written: Mapping[str, Any]
    unset: frozenset[str]
    dropped: frozenset[str]


def read_inputs(
    base: Base, profile: Profile, merged: Merged, reading: Reading, problems: list[Problem]
) -> Inputs:
    """The profile's inputs, with placeholders for those that nobody knows."""
    names = {one.name for one in profile.inputs}
    table = {key: value for key, value in merged.table.items() if key in names}
    cls: type[Any] = inputs_class(profile)
    made, dropped = _structure(cls, table, base, merged, reading, problems)
    written = values_of(made)
    unset = {name for name, value in written.items() if any(value is one for one in reading.stand_ins)}
    for one in profile.inputs:
        if merged.unknown(one.name):
            unset.add(one.name)
            if one.kind == "path":
                written[one.name] = base.document.folder / placeholder(one)
            elif one.kind != "text":
                written[one.name] = placeholder(one)
    return Inputs(written, frozenset(unset), dropped)
