"""Protobuf's wire format, as much of it as OTLP spans need, and the repairs that keep text encodable.

A field is a tag (number << 3 | wire type) and its content; a message in a message is its length and its
fields. Everything here answers bytes that can be joined. The small dictionaries are caches with a bound:
lengths, short integers and attribute keys repeat from span to span.
"""

from __future__ import annotations

import struct

import attrs

__all__ = [
    "MAX_INT64",
    "MAX_UINT32",
    "MAX_UINT64",
    "MIN_INT64",
    "Lengths",
    "Tally",
    "clamp",
    "delimited",
    "pack_double",
    "shown",
    "text_bytes",
    "varint",
    "varint_size",
]

MAX_UINT32 = 2**32 - 1
MAX_UINT64 = 2**64 - 1
MIN_INT64 = -(2**63)
MAX_INT64 = 2**63 - 1
pack_double = struct.Struct("<d").pack


@attrs.define
class Tally:
    """Counts what the encoder had to repair so that nothing was lost.

    Attributes:
        repaired: Values that were sent in another form than they had: text with half a surrogate pair, an
            integer beyond 64 bits, an object OTLP has no form for, a time before 1970.
    """

    repaired: int = 0


def varint(number: int) -> bytes:
    """`number` (0 to 2**64 - 1) in base 128, least significant group first."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def varint_size(number: int) -> int:
    """How many bytes `varint(number)` has."""
    return 1 if number < 0x80 else (number.bit_length() + 6) // 7


class Lengths(dict[int, bytes]):
    """A tag followed by a length, by length: `lengths[n]`. Remembers lengths below 16384."""

    __slots__ = ("_tag",)

    def __init__(self, tag: bytes = b"") -> None:
        super().__init__()
        self._tag = tag

    def __missing__(self, number: int) -> bytes:
        found = self._tag + varint(number)
        if number < 0x4000:
            self[number] = found
        return found


def delimited(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field: text, bytes or a message."""
    return tag + varint(len(content)) + content


def text_bytes(text: object, tally: Tally) -> bytes:
    """The UTF-8 of what should be a text, whatever it is. Never raises.

    None is the empty text, and bytes that are UTF-8 are taken as they are: so does protobuf. Half a
    surrogate pair becomes U+FFFD, two halves that belong together become their character; anything else is
    sent as `str()` shows it. All these count as repaired.
    """
    if text is None:
        return b""
    if isinstance(text, str):
        try:
            return str.encode(text)
        except UnicodeEncodeError:
            tally.repaired += 1
            return str.encode(text, "utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    if isinstance(text, bytes):
        try:
            text.decode()
        except UnicodeDecodeError:
            tally.repaired += 1
            return text.decode("utf-8", "replace").encode()
        return bytes(text)
    tally.repaired += 1
    return text_bytes(shown(text), Tally())


def shown(value: object) -> str:
    """`str(value)`, and where that raises the name of its type.

    An integer with more digits than the interpreter converts (4300, CVE-2020-10735) is written in base 16,
    which has no such limit.
    """
    try:
        return str(value)
    except (
        Exception
    ):  # the program's own __str__ may raise anything; who shows a value has counted it as repaired
        return hex(value) if isinstance(value, int) else type(value).__name__


def clamp(number: object, maximum: int, tally: Tally) -> int:
    """`number` as an unsigned integer field holds it: 0 for None, the nearest that fits for anything else."""
    if number is None:
        return 0
    if isinstance(number, int) and 0 <= number <= maximum:
        return int(number)
    tally.repaired += 1
    try:
        return min(max(int(number), 0), maximum)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, OverflowError):
        return 0
