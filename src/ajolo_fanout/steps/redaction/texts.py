"""Looks for secrets in the texts of a value: strings, bytes, keys of maps, numbers, however deep inside."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import attrs

from ajolo_fanout.steps.nesting import Nesting
from ajolo_fanout.steps.redaction.detectors import DETECTORS, Detector
from ajolo_fanout.steps.redaction.patterns import Pattern
from ajolo_fanout.steps.redaction.removal import Removal
from ajolo_fanout.steps.redaction.scan import Scan, Scanner
from ajolo_fanout.steps.redaction.settings import RedactionSettings

__all__ = ["Texts", "network"]

_SHORT = 10**11
"""Numbers below are no card's: they are looked at only for patterns of the user's own, or under a name that
gives its value away."""
_TELLING = "x9Kd83jdk2"
"""What would be found under such a name, and nowhere else."""
_REMEMBERED = 40
_MOST_REMEMBERED = 4096
"""So many texts of at most 40 characters are known to hold nothing: half the time of a span is theirs."""
_LONGEST = 64
"""So much of a key stands in a path."""
_ARRAYS = frozenset({list, tuple})
_MAPS = frozenset({dict, MappingProxyType})


class Texts:
    """What is looked for, compiled: detectors, patterns of the user's own, addresses to mask."""

    def __init__(self, settings: RedactionSettings) -> None:
        self._scanner = Scanner(_detectors(settings))
        self._numbers = bool(settings.patterns)
        self._clean: set[tuple[str, str]] = set()
        self._is_telling = lru_cache(maxsize=4096)(self._tells)

    def scan(self, text: str, name: str = "") -> Scan:
        """`text` without what was found in it.

        Args:
            text: Any text.
            name: What it is called: some names give their value away.

        Raises:
            Exception: when it can't be scanned to its end; it must not leave.
        """
        return self._scanner.scan(text, name)

    def value(self, value: Any, name: str, path: str, removed: list[Removal]) -> Any:
        """`value` without what was found in it; the very same where that is nothing.

        What OTLP has no form for leaves as text, so it becomes that text here: an object that shows itself
        differently each time is sent as it was scanned. For the same reason arrays and maps of classes that
        aren't Python's own are copied.

        Args:
            value: Anything.
            name: What it is called.
            path: Where it stands, for `removed`.
            removed: What was found is appended.

        Raises:
            Exception: when it can't be looked through.
        """
        if type(value) is str:
            key = (name, value) if len(value) <= _REMEMBERED else None
            if key in self._clean:
                return value
            scan = self._scanner.scan(value, name)
            if scan.text == value:
                if key is not None and not scan.found:
                    self._remember(key)
                return value
            removed.extend([Removal(path, reason) for reason in scan.found])
            return scan.text
        if value is None or value is True or value is False:
            return value
        return self._rare(value, name, path, removed, Nesting(), 0)

    def _remember(self, clean: tuple[str, str]) -> None:
        """A model's name, an operation: most short texts come again with every span."""
        if len(self._clean) >= _MOST_REMEMBERED:
            self._clean.clear()
        self._clean.add(clean)

    def _rare(
        self, value: Any, name: str, path: str, removed: list[Removal], nesting: Nesting, depth: int
    ) -> Any:  # fmt: skip
        kind = type(value)
        if kind is str or value is None or kind is bool:
            return self.value(value, name, path, removed)
        if isinstance(value, str):
            return self.value(str.__str__(value), name, path, removed)
        if isinstance(value, (int, float)):
            return self._number(value, name, path, removed)
        if isinstance(value, bytes):
            return self._bytes(value, name, path, removed)
        if isinstance(value, Mapping):
            nesting.enter(depth)
            return self._map(value, path, removed, nesting, depth)
        if isinstance(value, Sequence):
            nesting.enter(depth)
            return self._array(value, name, path, removed, nesting, depth)
        return self.value(str.__str__(str(value)), name, path, removed)

    def _number(self, value: float, name: str, path: str, removed: list[Removal]) -> Any:
        """A card's number is one as a number, too; what is found in one becomes a text."""
        if -_SHORT < value < _SHORT and not self._numbers and not self._is_telling(name):
            return value
        if isinstance(value, int):
            text = int.__repr__(value)
        else:
            text = int.__repr__(int(value)) if float.is_integer(value) else float.__repr__(value)
        cleaned = self.value(text, name, path, removed)
        return value if cleaned is text else cleaned

    def _tells(self, name: str) -> bool:
        return bool(self._scanner.scan(_TELLING, name).found)

    def _bytes(self, value: bytes, name: str, path: str, removed: list[Removal]) -> bytes:
        # What is no text as a whole may have one in it: a byte of no character stands as half a surrogate pair.
        text = value.decode("utf-8", "surrogateescape")
        cleaned = self.value(text, name, path, removed)
        if cleaned is text:
            return value
        try:
            return str.encode(cleaned, "utf-8", "surrogateescape")
        except UnicodeEncodeError:  # a half that JSON in it wrote as an escape
            return str.encode(cleaned, "utf-8", "replace")

    def _array(
        self,
        values: Sequence[Any],
        name: str,
        path: str,
        removed: list[Removal],
        nesting: Nesting,
        depth: int,
    ) -> Any:
        made = []
        same = type(values) in _ARRAYS
        for index, value in enumerate(values):
            kind = type(value)
            if (
                value is None
                or kind is bool
                or (kind is float and -_SHORT < value < _SHORT and not self._numbers)
            ):
                made.append(value)  # an embedding has thousands
                continue
            cleaned = self._rare(value, name, f"{path}.{index}", removed, nesting, depth + 1)
            same = same and cleaned is value
            made.append(cleaned)
        return values if same else made

    def _map(
        self, values: Mapping[Any, Any], path: str, removed: list[Removal], nesting: Nesting, depth: int
    ) -> Any:  # fmt: skip
        made: dict[str, Any] = {}
        same = type(values) in _MAPS
        for key, value in values.items():
            plain = key if type(key) is str else str.__str__(key if isinstance(key, str) else str(key))
            scan = self._scanner.scan(plain)
            spelled = plain if scan.text == plain else _free(scan.text, made)
            here = f"{path}.{spelled[:_LONGEST]}"
            if spelled is not plain:
                removed.extend([Removal(here, reason) for reason in scan.found])
            cleaned = self._rare(value, plain, here, removed, nesting, depth + 1)
            same = same and spelled is key and cleaned is value
            made[spelled if spelled is not plain else _free(plain, made)] = cleaned
        return values if same else made


def network(address: str) -> str:
    """The network of an IP address: `192.0.2.0` of `192.0.2.17`, `2001:db8:1::` of `2001:db8:1:2::3`.

    What is no address after all, such as one that is partly escaped, becomes `[ip]`.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "[ip]"
    bits = 8 if found.version == 4 else 80  # the last 80 bits, as analytics services do: a site has 48
    return str(type(found)(int(found) >> bits << bits))


def _detectors(settings: RedactionSettings) -> list[Detector]:
    chosen = [DETECTORS[name] for name in settings.detect]
    if settings.mask_ip and "ip" not in settings.detect:
        chosen.append(attrs.evolve(DETECTORS["ip"], name="mask_ip", replace=network))
    return chosen + [_own(name, regex) for name, regex in settings.patterns.items()]


def _own(name: str, regex: str) -> Detector:
    # In a group of its own, so that the user's groups don't say what is replaced: all of the match is.
    return Detector(name, "", (Pattern(f"({regex})", regex, lambda found, _, __: len(found)),))


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, or where it is taken `name 2`: two keys that held a secret must not become one."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
