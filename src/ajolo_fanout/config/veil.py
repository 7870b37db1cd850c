"""What of a file may be shown: a credential that was written in the wrong place is hidden wherever it stands.

Keys, names and choices are repeated in messages so that one finds them, and a plan shows its values. Somebody
may have pasted a key there all the same: where that is likely, `…` stands in its place, and the line and the
column still lead there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePath

from ajolo_fanout.steps.redaction.api_keys import VENDOR_KEYS
from ajolo_fanout.steps.redaction.checks import random_key
from ajolo_fanout.values import MASK

__all__ = ["veiled", "veiled_path", "veiled_text"]

_HIDDEN = "…"
_SHORTEST = 16
"""Of fewer characters no key is told from a word."""
_HEADER = re.compile(r"[:=]\s|\b(?i:bearer|basic|token|api-?token|api-?key)\s")
"""A header pasted whole, `Authorization: Bearer KEY`, with or without its name."""
_PIECES = re.compile(r"[^A-Za-z0-9]+")
_CHANGES = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])")
_PLAIN = re.compile(r"[a-z_.*?-]*")
"""The words of which most names are made: no key is without a digit and a capital letter."""
_DETECTORS = ("jwt", "api_key", "private_key", "url_credentials")


def veiled(word: str) -> str:
    """A key, a name or a choice as a message may show it: itself, or `…` where it may be a credential."""
    return _HIDDEN if _may_be_credential(word) else word


def veiled_path(folder: PurePath, written: str) -> str:
    """The path `folder / written`, what was written as a message may show it."""
    if _found(written, ""):  # a whole key, perhaps over several lines
        return str(folder / _HIDDEN)
    return str(folder / PurePath(*map(veiled, PurePath(written).parts)))


def veiled_text(text: str, name: str = "") -> str:
    """A value as a plan may show it: itself, or `***` where redaction would find a credential in it.

    Args:
        text: The value.
        name: What it is called: some names give their value away.
    """
    return MASK if _found(text, name) else text


def _may_be_credential(word: str) -> bool:
    if _HEADER.search(word):
        return True
    if len(word) < _SHORTEST or _PLAIN.fullmatch(word):
        return False
    if any(map(_drawn_at_random, _PIECES.split(word))) or _vendors(loose=False).search(word):
        return True
    return any(random_key(one[0], "", "") for one in _vendors(loose=True).finditer(word))


def _drawn_at_random(piece: str) -> bool:
    """Whether digits, small and capital letters change places as often as only chance has them."""
    return len(piece) >= _SHORTEST and 4 * len(_CHANGES.findall(piece)) >= len(piece)


@lru_cache(maxsize=2)
def _vendors(*, loose: bool) -> re.Pattern[str]:
    # Python's own engine: the words are few and short, and RE2 would be loaded for every file.
    rows = "|".join(row.pattern for row in VENDOR_KEYS if row.loose == loose)
    return re.compile(f"(?<![0-9A-Za-z])(?:{rows})")


def _found(text: str, name: str) -> bool:
    """Whether redaction would find a credential in `text`, or can't read it to its end."""
    from ajolo_fanout.steps.redaction.scan import ScanError, scanner  # with RE2, which only plans need

    try:
        return bool(scanner(_DETECTORS).scan(text, name).found)
    except ScanError:
        return True
