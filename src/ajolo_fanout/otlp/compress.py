"""Compression of request bodies."""

from __future__ import annotations

import zlib
from typing import Literal

__all__ = ["Compression", "compress"]

Compression = Literal["none", "gzip"]

_GZIP_LEVEL = 1
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib writes gzip's header, with a time of 0: equal bodies stay equal


def compress(body: bytes, compression: Compression) -> bytes:
    """`body` as `Content-Encoding: compression` wants it; itself for `"none"`."""
    if compression == "none":
        return body
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()
