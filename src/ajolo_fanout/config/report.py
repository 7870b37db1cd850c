"""What reading a table raised, as problems at the places where the values stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import attrs
from cattrs import BaseValidationError, ClassValidationError, ForbiddenExtraKeysError

from ajolo_fanout.config.faults import Fault, Several, Unknowable, unknown_key
from ajolo_fanout.config.places import KeyPath, Locate
from ajolo_fanout.errors import Problem
from ajolo_fanout.values import key_of, option_of

__all__ = ["CHOOSERS", "WRONG", "Report", "keys_of"]

T = TypeVar("T")

WRONG = (BaseValidationError, ForbiddenExtraKeysError, Fault, Several, Unknowable)
"""What reading a value may raise; anything else is a mistake of ours and is let through."""


CHOOSERS: dict[type, frozenset[str]] = {}
"""For a settings class that another key chooses: that key, which is no field of it."""


def keys_of(cls: type) -> frozenset[str]:
    """The keys that a table of the settings class `cls` may have."""
    return frozenset(key_of(field) for field in attrs.fields(cls))


@attrs.frozen
class Report:
    """Turns what reading raises into problems.

    Attributes:
        place: Where a path stands.
        problems: The problems found so far.
        root: The settings class of the whole table, None for a single value.
        known: Further keys of that table.
    """

    place: Locate
    problems: list[Problem]
    root: type | None
    known: frozenset[str]

    def run(self, read: Callable[[], T]) -> T | None:
        """What `read` returns, or None and the problems."""
        faults: list[Fault] = []
        try:
            return read()
        except WRONG as error:
            faults += self.faults(error, ())
        for fault in faults:
            where = self.place(fault.path)
            if fault.hide:
                where = attrs.evolve(where, key=self.place(fault.path[: -fault.hide]).key)
            self.problems.append(where.problem(fault.message, fault.code))
        return None

    def faults(self, error: Exception, path: KeyPath) -> Iterator[Fault]:
        """Every fault in `error`, which was raised while `path` was read."""
        if isinstance(error, Fault):
            yield error.under(*path)
        elif isinstance(error, Several):
            for below, inner in error.errors:
                yield from self.faults(inner, (*path, *below))
        elif isinstance(error, ClassValidationError):
            noted, others = error.group_exceptions()
            for inner, note in noted:
                if isinstance(inner, KeyError):
                    yield _missing(error.cl, note.name).under(*path)
                else:
                    key = key_of(attrs.fields_dict(error.cl)[note.name])
                    yield from self.faults(inner, (*path, key))
            yield from (fault for inner in others for fault in self.faults(inner, path))
        elif isinstance(error, ForbiddenExtraKeysError):
            yield from (self.extra_key(key, error.cl, path) for key in sorted(error.extra_fields))
        elif not isinstance(error, Unknowable):
            raise error

    def extra_key(self, key: str, cls: type, path: KeyPath) -> Fault:
        """`key` isn't one of `cls`, whose table is at `path`: unknown, or below a wrong header."""
        top = self.known | (keys_of(self.root) if self.root is not None else frozenset())
        if path and key not in top:
            return unknown_key(key, _offered(cls)).under(*path, key)
        if not path:
            return unknown_key(key, _offered(cls) | self.known).under(key)
        here, owner = self.place(path), self.place(()).key or "the file"
        header = f"the header on line {here.line}" if here.line is not None else "that table"
        message = f"this is a key of {owner}, but here it lands in {here.key}; move it above {header}"
        return Fault(message, "misplaced-key", (*path, key))


def _offered(cls: type) -> frozenset[str]:
    """The keys of `cls` to name to a user."""
    return keys_of(cls) | CHOOSERS.get(cls, frozenset())


def _missing(cls: type, name: str) -> Fault:
    field = attrs.fields_dict(cls)[name]
    option, key = option_of(field), key_of(field)
    example = f"; write {key} = {option.example}" if option is not None and option.example else ""
    return Fault(f"this key is required{example}", "missing-key", (key,))
