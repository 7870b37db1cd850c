"""Attributes and headers: the two kinds of table whose keys are the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from opentelemetry.util.types import AttributeValue

from ajolo_fanout.config.faults import Fault, Several, near, unquoted_names, wrong_type
from ajolo_fanout.config.places import KeyPath
from ajolo_fanout.values import Secret

__all__ = ["Attribute", "read_attribute", "read_attributes", "read_flat", "read_headers"]


class Attribute:
    """Stands for the type of an attribute's value wherever types of settings are looked at."""


_EXPECTED = "a string, a boolean, a number or an array of one of these"

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name (RFC 9110, section 5.6.2)."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What a header's value can't hold (RFC 9110, section 5.5); a line break in one would make another header."""


def read_attributes(value: Any) -> Mapping[str, AttributeValue]:
    """A flat table of attributes, with every fault in it.

    Raises:
        Several: names that are empty or were left unquoted, values that OpenTelemetry doesn't know.
    """
    return read_flat(value, read_attribute, _attribute_fault)


def read_attribute(value: Any) -> AttributeValue:
    """One attribute's value; an array becomes a tuple, of floats where it mixes integers and floats."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, (list, tuple)):
        raise wrong_type(_EXPECTED, value)
    kinds = {_element_kind(element) for element in value}
    if None in kinds:
        raise Fault(f"expected {_EXPECTED}, got an array that holds something else")
    if len(kinds) > 1:
        raise Fault("expected an array of one kind: all strings, all booleans or all numbers")
    if kinds == {str}:
        return tuple(str(element) for element in value)
    if float in {type(element) for element in value}:
        return tuple(float(element) for element in value)
    return tuple(value)


def _element_kind(element: Any) -> type | None:
    if isinstance(element, bool):
        return bool
    if isinstance(element, (int, float)):
        return float
    return str if isinstance(element, str) else None


def _attribute_fault(name: str, value: Any) -> Iterator[Fault]:
    if not name:
        yield Fault("an attribute's name can't be empty", "wrong-type", ("",))
    if isinstance(value, Mapping):
        yield from unquoted_names(name, value)


def read_headers(value: Any, read_secret: Callable[[Any], Secret]) -> Mapping[str, Secret]:
    """A flat table of headers, each value read by `read_secret`, with every fault in it.

    Names keep their case, and are unique whatever their case.

    Raises:
        Several: names that HTTP doesn't allow, names that differ only in case, values that are no secrets.
    """
    lower: dict[str, str] = {}

    def fault(name: str, header: Any) -> Iterator[Fault]:
        first = lower.setdefault(name.lower(), name)
        if not _TOKEN.fullmatch(name):
            # A whole "Authorization: Bearer …" may have been pasted as the name, so it isn't shown.
            message = "a header's name is made of letters, digits and !#$%&'*+-.^_`|~; one name here is not"
            yield Fault(message, "bad-header", (name,), hide=1)
            return
        if first != name:
            message = f"this is the header {first} again; the case of a header's name makes no difference"
            yield Fault(message, "duplicate-header", (name,))
        if isinstance(header, str) and _CONTROL.search(header):
            yield Fault(
                "a header's value can't hold line breaks or control characters", "bad-header", (name,)
            )
        if isinstance(header, Mapping) and not near("file", header):
            yield from unquoted_names(name, header)

    return read_flat(value, read_secret, fault)


def read_flat(
    table: Any, read: Callable[[Any], Any], faults_of: Callable[[str, Any], Iterator[Fault]]
) -> Mapping[str, Any]:
    """A flat table, each value read by `read`.

    Raises:
        Several: every fault that `faults_of` finds in a name and its value, or `read` raises.
    """
    if not isinstance(table, Mapping):
        raise wrong_type("a table", table)
    made: dict[str, Any] = {}
    errors: list[tuple[KeyPath, Exception]] = []
    for name, value in table.items():
        faults = list(faults_of(name, value))
        errors += [((), fault) for fault in faults]
        if faults:
            continue
        try:
            made[name] = read(value)
        except Fault as fault:
            errors.append(((name,), fault))
    if errors:
        raise Several(errors)
    return MappingProxyType(made)
