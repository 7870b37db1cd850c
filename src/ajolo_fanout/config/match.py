"""Matches as they stand in the file: tables of conditions, and in lists of them also names of presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from ajolo_fanout.config.attributes import read_flat
from ajolo_fanout.config.convert import register, register_hook, structure_nested
from ajolo_fanout.config.faults import Fault, kind_of, unquoted_names
from ajolo_fanout.config.scalars import read_choice
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.match import Kind, Kinds, Match, MatchOrPreset, Statuses, StatusName
from ajolo_fanout.steps.presets import PRESETS

__all__ = ["read_condition", "read_conditions", "read_match_or_preset"]

_TABLES = frozenset({"equals", "exists"})


def read_condition(value: Any) -> Condition:
    """What one value has to be."""
    try:
        return Condition(value)
    except ValueError as error:
        raise Fault(f"{error}; got {kind_of(value)}") from None


def read_conditions(value: Any) -> Mapping[str, Condition]:
    """A table of conditions by the name of an attribute, with every fault in it.

    Raises:
        Several: names that are empty or were left unquoted, values that are no conditions.
    """
    return read_flat(value, read_condition, _fault)


def _fault(name: str, value: Any) -> Iterator[Fault]:
    if not name:
        yield Fault("an attribute's name can't be empty", "wrong-type", ("",))
    if isinstance(value, Mapping) and not _TABLES.intersection(value):
        yield from unquoted_names(name, value)


def read_match_or_preset(value: Any) -> Match | str:
    """An element of a list of matches."""
    if isinstance(value, str):
        found: str = read_choice(value, tuple(PRESETS))
        return found
    if isinstance(value, Mapping):
        made: Match = structure_nested(value, Match)
        return made
    names = ", ".join(f'"{name}"' for name in PRESETS)
    raise Fault(f"expected a match (a table) or one of {names}, got {kind_of(value)}")


def _read_one_or_more(value: Any, kind: Any) -> Any:
    """One of the choices of `kind`, or a list of them."""
    if not isinstance(value, (list, tuple)):
        return structure_nested(value, kind)
    if not value:
        raise Fault("a list needs at least one of them, for of none nothing would ever hold")
    return structure_nested(value, tuple[kind, ...])


def _is_table_of_conditions(kind: Any) -> bool:
    return get_origin(kind) is Mapping and get_args(kind)[1] is Condition


register(Condition, read_condition)
register_hook(_is_table_of_conditions, read_conditions)
register_hook(lambda kind: kind == MatchOrPreset, read_match_or_preset)
register_hook(lambda kind: kind == Kinds | None, lambda value: _read_one_or_more(value, Kind))
register_hook(lambda kind: kind == Statuses | None, lambda value: _read_one_or_more(value, StatusName))
