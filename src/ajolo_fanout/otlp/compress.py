"""Compression of request bodies, and of answers that come compressed unasked."""

from __future__ import annotations

import zlib
from typing import Literal

__all__ = ["Compression", "compress", "decompress"]

Compression = Literal["none", "gzip"]

_GZIP_LEVEL = 1
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib writes gzip's header, with a time of 0: equal bodies stay equal

_EITHER_WINDOW = 32 + zlib.MAX_WBITS
"""gzip's header or zlib's, whichever is there."""


def compress(body: bytes, compression: Compression) -> bytes:
    """`body` as `Content-Encoding: compression` wants it; itself for `"none"`."""
    if compression == "none":
        return body
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """`body`, or its beginning, as it was before its `Content-Encoding`, up to `most` bytes of it.

    Raises:
        ValueError: it isn't of that encoding, or that is none of `gzip` and `deflate`.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body[:most]
    if name not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"unknown encoding {name[:20]!r}")
    try:
        return zlib.decompressobj(_EITHER_WINDOW).decompress(body, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
