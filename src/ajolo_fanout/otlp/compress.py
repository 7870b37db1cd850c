"""Compression of request bodies, and of answers that come compressed unasked."""

from __future__ import annotations

import zlib
from typing import Literal

__all__ = ["Compression", "compress", "decompress"]

Compression = Literal["none", "gzip"]

_GZIP_LEVEL = 1
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib writes gzip's header, with a time of 0: equal bodies stay equal

_WINDOWS = {
    # The header of gzip or of zlib, whichever is there.
    "gzip": (32 + zlib.MAX_WBITS,),
    "x-gzip": (32 + zlib.MAX_WBITS,),
    # Zlib's, says the standard; many a server leaves it out.
    "deflate": (32 + zlib.MAX_WBITS, -zlib.MAX_WBITS),
}

_MOST_STEPS = 5
"""Encodings upon one another; each costs as much as a whole answer."""


def compress(body: bytes, compression: Compression) -> bytes:
    """`body` as `Content-Encoding: compression` wants it; itself for `"none"`."""
    if compression == "none":
        return body
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """`body`, or its beginning, as it was before its `Content-Encoding`, up to `most` bytes of it.

    An encoding that isn't known here is passed over: there are servers that name a character set, or nothing at all.

    Args:
        body: As it came.
        encoding: The header's value: one name, or several, the one that was applied last at the end.
        most: Bytes, of the result and of what comes about between two encodings.

    Raises:
        ValueError: it isn't of that encoding, or of more than five.
    """
    names = [name.strip().lower() for name in encoding.split(",")]
    steps = [_WINDOWS[name] for name in reversed(names) if name in _WINDOWS]
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"{len(steps)} encodings upon one another")
    for windows in steps:
        body = _inflate(body, windows, most)
    return body[:most]


def _inflate(body: bytes, windows: tuple[int, ...], most: int) -> bytes:
    why = ""
    for window in windows:
        try:
            return zlib.decompressobj(window).decompress(body, most)
        except zlib.error as error:
            why = why or str(error)
    raise ValueError(why)
