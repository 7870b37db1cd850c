"""`type = "media"`: images, audio and files inside messages become their type, length and hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

import attrs

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.glob import matches_any
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.nesting import Nesting
from ajolo_fanout.steps.processors.common import MATCH, Change, every_attributes, matching
from ajolo_fanout.values import option

__all__ = ["MediaSettings", "replace_media"]

# RFC 2397. Backslashes are those of a JSON string that stands in a string (`\/`). What follows a `data:` can
# be told from it in one pass: no part of the pattern can take what the next one needs, but for the last `;`.
# Base64 may be broken into lines, and its signs be percent-encoded.
_BASE64 = r"[A-Za-z0-9+/=_%\\-]"
_DATA_URI = re.compile(
    r"data:(?P<type>[\w.+-]+\\?/[\w.+-]+)?(?P<parameters>(?:;(?!base64,)[\w.-]+(?:=[^;,\s\"\\]*)?)*)"
    rf"(?:;base64,(?P<base64>{_BASE64}*(?:\r?\n{_BASE64}{{20,}})*)"
    r"|(?(type),(?P<text>[^\s\"'\\<>)\]}]*)|(?!)))",
    re.IGNORECASE,
)


@attrs.frozen
class MediaSettings:
    """Replaces data URIs (`data:image/png;base64,…`), in JSON strings, arrays and maps, too.

    What stands there instead, `[media image/png, 48213 bytes, sha256:9f86d081884c7d65]`, tells one picture
    from another.
    """

    attributes: tuple[str, ...] = option(
        "Attributes to look into, by name: globs of * and ?; of spans, events and links.",
        default=("*",),
        example='["gen_ai.*"]',
    )
    match: Match | None = option(MATCH, default=None, example='{ attributes = { "gen_ai.system" = "*" } }')

    def compile(self) -> Change:
        """The function that replaces them."""
        looked_into = matches_any(self.attributes)

        def change(draft: Draft) -> None:
            for attributes in every_attributes(draft):
                for name, value in tuple(attributes.raw().items()):
                    if isinstance(value, (bool, int, float)) or not looked_into(name):
                        continue
                    replaced = replace_media(value)
                    if replaced is not value:
                        attributes[name] = replaced

        return matching(self.match, change)


def replace_media(value: Any) -> Any:
    """`value` with what stands for each data URI in it; `value` itself where there is none.

    Raises:
        ValueError: when it is nested too deep, or holds itself.
    """
    return _replaced(value, Nesting(), 0)


def _replaced(value: Any, nesting: Nesting, depth: int) -> Any:
    if isinstance(value, str):
        return _DATA_URI.sub(_stand_in, value) if "data:" in value or "DATA:" in value else value
    if isinstance(value, Mapping):
        nesting.enter(depth)
        kept = {key: _replaced(inner, nesting, depth + 1) for key, inner in value.items()}
        return value if all(kept[key] is inner for key, inner in value.items()) else kept
    if isinstance(value, (list, tuple)):
        nesting.enter(depth)
        items = [_replaced(inner, nesting, depth + 1) for inner in value]
        return value if all(one is two for one, two in zip(items, value)) else items  # noqa: B905 - made of it
    return value


def _stand_in(found: re.Match[str]) -> str:
    kind = (found["type"] or "text/plain").replace("\\", "")  # as the RFC has it
    content = _decoded(found["base64"]) if found["base64"] is not None else found["text"].encode()
    return f"[media {kind}, {len(content)} bytes, sha256:{hashlib.sha256(content).hexdigest()[:16]}]"


def _decoded(text: str) -> bytes:
    plain = urllib.parse.unquote(text).replace("\\", "").replace("\r", "").replace("\n", "").rstrip("=")
    padded = plain + "=" * (-len(plain) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if "-" in plain or "_" in plain else None)
    except binascii.Error:
        return plain.encode()  # cut off, or no base64: its own text has a length and a hash, too
