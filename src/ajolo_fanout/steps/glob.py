"""Globs of `*` and `?` over names and values that may be hostile: whole-string, case-sensitive.

Written out because `fnmatch` translates to a regular expression whose time grows with a power of the number
of stars; here every star settles for the first place where what follows it fits, and nothing backtracks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

__all__ = ["compile_glob", "is_glob", "matches_any"]

Matches = Callable[[str], bool]


def is_glob(pattern: str) -> bool:
    """Whether `pattern` stands for more than itself."""
    return "*" in pattern or "?" in pattern


@lru_cache(maxsize=1024)
def compile_glob(pattern: str) -> Matches:
    """A function that says whether a whole string fits `pattern`: `*` is anything, `?` any one character."""
    head, *rest = pattern.split("*")
    if not rest:
        return pattern.__eq__ if "?" not in pattern else _exactly(pattern)
    *middle, tail = rest
    between = [_finder(part) for part in middle if part]
    starts, ends = _starts(head), _ends(tail)
    least = len(head) + len(tail)

    def matches(text: str) -> bool:
        if len(text) < least or not starts(text) or not ends(text):
            return False
        at, end = len(head), len(text) - len(tail)
        for find in between:
            at = find(text, at, end)
            if at < 0:
                return False
        return True

    return matches


def matches_any(patterns: tuple[str, ...]) -> Matches:
    """A function that says whether a whole string fits one of `patterns`."""
    literal = frozenset([pattern for pattern in patterns if not is_glob(pattern)])
    globs = [compile_glob(pattern) for pattern in patterns if is_glob(pattern)]

    def matches(text: str) -> bool:
        return text in literal or any(glob(text) for glob in globs)

    return matches


def _exactly(part: str) -> Matches:
    fits = re.compile(_fixed(part), re.DOTALL).fullmatch
    return lambda text: fits(text) is not None


def _starts(part: str) -> Matches:
    if "?" not in part:
        return lambda text: text.startswith(part)
    fits = re.compile(_fixed(part), re.DOTALL).match
    return lambda text: fits(text) is not None


def _ends(part: str) -> Matches:
    if "?" not in part:
        return lambda text: text.endswith(part)
    fits = re.compile(_fixed(part), re.DOTALL).fullmatch
    return lambda text: fits(text, len(text) - len(part)) is not None


def _finder(part: str) -> Callable[[str, int, int], int]:
    """A function that finds `part` in text[at:end] and gives the place behind it; -1 where there is none."""
    size = len(part)
    if "?" not in part:

        def find(text: str, at: int, end: int) -> int:
            found = text.find(part, at, end)
            return found + size if found >= 0 else -1

        return find
    search = re.compile(_fixed(part), re.DOTALL).search  # of a fixed length, so it never backtracks

    def find_open(text: str, at: int, end: int) -> int:
        found = search(text, at, end)
        return found.end() if found is not None else -1

    return find_open


def _fixed(part: str) -> str:
    return "".join(["." if letter == "?" else re.escape(letter) for letter in part])
