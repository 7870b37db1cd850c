"""Values of any type to `AnyValue` messages: arrays, maps, and what OTLP has no form for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ajolo_fanout.otlp.wire import (
    MAX_INT64,
    MAX_UINT64,
    MIN_INT64,
    Lengths,
    Tally,
    delimited,
    pack_double,
    shown,
    text_bytes,
    varint,
)

__all__ = ["CYCLE", "TOO_DEEP", "TOO_MANY", "encode_any_value"]

CYCLE = "[cycle]"
"""Stands where a structure contains itself."""
TOO_DEEP = "[too deep]"
"""Stands where a structure is nested deeper than protobuf's decoders accept."""
TOO_MANY = "[too many values]"
"""Stands where one attribute holds more than a million values."""

_MAX_MESSAGES = 94
# Decoders (upb, C++, Java) refuse messages nested more than 100 deep. So deep may a value be that stands in
# an event's attribute (request, ResourceSpans, ScopeSpans, Span, Event, KeyValue); an array adds 2, a map 3.
_MAX_VALUES = 1_000_000

_item = Lengths(b"\x0a")  # ArrayValue.values and KeyValueList.values alike
_value = Lengths(b"\x12")  # KeyValue.value


def encode_any_value(value: Any, tally: Tally) -> bytes:
    """The fields of the `AnyValue`. Never raises, whatever the value's own methods do."""
    try:
        return _Encoding(tally).encode(value, 0)
    except (
        Exception
    ):  # a container's own __iter__ or items() may raise anything: counted, and its type is sent
        tally.repaired += 1
        return delimited(b"\x0a", text_bytes(type(value).__name__, Tally()))


class _Encoding:
    """One value of an attribute on its way: what it stands in, and how many more values it may have."""

    __slots__ = ("_left", "_path", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._path: set[int] = set()
        self._left = _MAX_VALUES

    def encode(self, value: Any, depth: int) -> bytes:
        """The fields of `value`'s AnyValue; `depth`: the messages between it and the attribute's own."""
        kind = type(value)
        if kind is str:
            return delimited(b"\x0a", text_bytes(value, self._tally))
        if kind is float:
            return b"\x21" + pack_double(value)
        if kind is tuple or kind is list:
            return self._container(value, depth + 2, self._array)
        if value is None:
            return b""
        return self._rare(value, depth)

    def _rare(self, value: Any, depth: int) -> bytes:
        """The other types, in the stock encoder's order: a bool is an int, a bytearray a sequence of them."""
        if isinstance(value, bool):
            return b"\x10\x01" if value else b"\x10\x00"
        if isinstance(value, str):
            return delimited(b"\x0a", text_bytes(value, self._tally))
        if isinstance(value, int):
            if MIN_INT64 <= value <= MAX_INT64:
                return b"\x18" + varint(int.__index__(value) & MAX_UINT64)
        elif isinstance(value, float):
            return b"\x21" + pack_double(value)
        elif isinstance(value, bytes):
            return delimited(b"\x3a", value)
        elif isinstance(value, Sequence):
            return self._container(value, depth + 2, self._array)
        elif isinstance(value, Mapping):
            return self._container(value, depth + 3, self._map)
        self._tally.repaired += 1
        return delimited(b"\x0a", text_bytes(shown(value), Tally()))

    def _container(self, value: Any, depth: int, encode: Callable[[Any, int], bytes]) -> bytes:
        if id(value) in self._path:
            return self._marker(CYCLE)
        if depth > _MAX_MESSAGES:
            return self._marker(TOO_DEEP)
        self._path.add(id(value))
        try:
            return encode(value, depth)
        finally:
            self._path.discard(id(value))

    def _array(self, values: Iterable[Any], depth: int) -> bytes:
        parts: list[bytes] = []
        for value in values:
            if not self._left:
                content = self._marker(TOO_MANY)
                parts += (_item[len(content)], content)
                break
            self._left -= 1
            content = self.encode(value, depth)
            parts += (_item[len(content)], content)
        return delimited(b"\x2a", b"".join(parts))

    def _map(self, values: Mapping[Any, Any], depth: int) -> bytes:
        parts: list[bytes] = []
        for key, value in values.items():
            if not self._left:
                content = delimited(b"\x0a", TOO_MANY.encode()) + b"\x12\x00"
                self._tally.repaired += 1
                parts += (_item[len(content)], content)
                break
            self._left -= 1
            raw = text_bytes(shown(key), self._tally)  # the stock encoder takes str() of keys within maps
            inner = self.encode(value, depth)
            content = (delimited(b"\x0a", raw) if raw else b"") + _value[len(inner)] + inner
            parts += (_item[len(content)], content)
        return delimited(b"\x32", b"".join(parts))

    def _marker(self, text: str) -> bytes:
        self._tally.repaired += 1
        return delimited(b"\x0a", text.encode())
