"""Attributes to `KeyValue` fields: the inner loop of the encoder.

What a value becomes is what the stock encoder makes of it, wherever that one encodes
(`opentelemetry.exporter.otlp.proto.common`): None an empty `AnyValue`, bool before int, every Sequence an
array, every Mapping a key-value list. What it can't encode is repaired and counted, never dropped.
"""

from __future__ import annotations

from typing import Any

from ajolo_fanout.otlp.anyvalue import encode_any_value
from ajolo_fanout.otlp.wire import (
    MAX_INT64,
    MAX_UINT64,
    MIN_INT64,
    Lengths,
    Tally,
    pack_double,
    text_bytes,
    varint,
)

__all__ = ["append_attributes"]

_MAX_KEYS = 2048
_MAX_KNOWN = 16
_MAX_KNOWN_CHARACTERS = 40
_MAX_INTEGERS = 8192

_FALSE = b"\x02\x10\x00"
_TRUE = b"\x02\x10\x01"
_ABSENT = b"\x00"

_Key = tuple[bytes, int, dict[str, bytes]]
_keys: dict[str, _Key] = {}
"""By key: its bytes up to the value's length, how many these are, and whole fields by short text.

Measured (`benchmarks/encode.py`): keeping keys saves a third, keeping texts such as a model's name another
eighth to a quarter. At most 2048 keys of 16 texts each are kept, so memory stays below a few megabytes.
"""


class _Strings(dict[int, bytes]):
    """What stands before a text of so many bytes in a `KeyValue`: the AnyValue's length, tag and length."""

    def __missing__(self, size: int) -> bytes:
        head = b"\x0a" + varint(size)
        found = varint(len(head) + size) + head
        if size < 0x4000:
            self[size] = found
        return found


class _Integers(dict[int, bytes]):
    """A 64-bit integer as a framed AnyValue: `integers[7]`. Remembers the first 8192 that it meets."""

    def __missing__(self, number: int) -> bytes:
        content = b"\x18" + varint(number & MAX_UINT64)
        found = varint(len(content)) + content
        if len(self) < _MAX_INTEGERS:
            self[number] = found
        return found


_length = Lengths()
_strings = _Strings()
_integers = _Integers()


def append_attributes(parts: list[bytes], tag: bytes, attributes: Any, tally: Tally) -> None:
    """Append every attribute as a `KeyValue` field with `tag`; `attributes` is a mapping or None."""
    for key, value in _items(attributes):
        found = _keys.get(key) if type(key) is str else None
        prefix, size, known = found or _remember(key, tally)
        kind = type(value)
        if kind is str:
            short = len(value) < _MAX_KNOWN_CHARACTERS
            whole = known.get(value) if short else None
            if whole is None:
                try:
                    raw = value.encode()
                except UnicodeEncodeError:
                    raw, short = text_bytes(value, tally), False  # to be counted each time
                head = _strings[len(raw)]
                whole = b"".join((_length[size + len(head) + len(raw)], prefix, head, raw))
                if short and len(known) < _MAX_KNOWN:
                    known[value] = whole
            parts += (tag, whole)
            continue
        if kind is int and MIN_INT64 <= value <= MAX_INT64:
            content = _integers[value]
        elif kind is float:
            content = b"\x09\x21" + pack_double(value)
        elif kind is bool:
            content = _TRUE if value else _FALSE
        elif value is None:
            content = _ABSENT
        else:
            content = encode_any_value(value, tally)
            content = _length[len(content)] + content
        parts += (tag, _length[size + len(content)], prefix, content)


def _items(attributes: Any) -> Any:
    """The pairs of a mapping. A copy of the SDK's attributes is a plain dict, whose loop runs in C."""
    if not attributes:
        return ()
    try:
        return attributes.copy().items()
    except AttributeError:
        return attributes.items()


def _remember(key: Any, tally: Tally) -> _Key:
    """What `_keys` holds of `key`, put there if it is an ordinary one."""
    before = tally.repaired
    raw = text_bytes(key, tally)
    # As a proto3 scalar, an empty key isn't written.
    prefix = b"\x0a" + varint(len(raw)) + raw + b"\x12" if raw else b"\x12"
    found: _Key = (prefix, len(prefix), {})
    if type(key) is str and len(raw) < 256 and tally.repaired == before:
        if len(_keys) >= _MAX_KEYS:
            _keys.clear()  # keys that carry numbers or ids must not shut out those that repeat
        _keys[key] = found
    return found
