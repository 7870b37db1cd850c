"""Hashes that can be joined and not guessed: HMAC-SHA-256 over one form that equal values share."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ajolo_fanout.steps.nesting import Nesting
from ajolo_fanout.values import Secret

__all__ = ["Hasher", "canonical"]


class Hasher:
    """Hashes values with a key; a key from a file follows the file."""

    __slots__ = ("_base", "_key", "_text")

    def __init__(self, key: Secret) -> None:
        self._key = key
        self._text: str | None = None
        self._base = hmac.new(b"", digestmod=hashlib.sha256)

    def __call__(self, value: Any) -> str:
        """The hash of `value`, 64 hexadecimal digits.

        Raises:
            Exception: when the value has no canonical form, or there is no key.
        """
        text = self._key.reveal()
        if text != self._text:
            if not text:
                raise ValueError("an empty key hashes so that everybody can guess")
            self._base = hmac.new(text.encode("utf-8", "surrogatepass"), digestmod=hashlib.sha256)
            self._text = text
        made = self._base.copy()
        made.update(canonical(value))
        return made.hexdigest()


def canonical(value: Any) -> bytes:
    """The bytes that are hashed.

    A string is its UTF-8 and bytes are themselves, so that `printf %s alice | openssl dgst -sha256 -hmac KEY`
    gives the same hash. Everything else is JSON without spaces, its keys sorted, characters as they are and
    bytes in it as Base64: the integer 42 joins the string "42", and `true` doesn't join 1.

    Raises:
        ValueError: when the value is nested too deep.
        TypeError: when OTLP has no form for it.
    """
    if isinstance(value, str):
        return str.encode(value, "utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return bytes(value)
    plain = _plain(value, Nesting(), 0)
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _plain(value: Any, nesting: Nesting, depth: int) -> Any:
    """`value` as `json` takes it."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (Mapping, Sequence)):
        nesting.enter(depth)
        if isinstance(value, Mapping):
            return {str(key): _plain(inner, nesting, depth + 1) for key, inner in value.items()}
        return [_plain(inner, nesting, depth + 1) for inner in value]
    raise TypeError(f"no canonical form of a {type(value).__name__}")
