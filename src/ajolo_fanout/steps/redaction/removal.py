"""What is said of a value that redaction removed, and what stands in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["FAILED", "MASKED", "NOTHING_REDACTED", "RULES", "Removal", "by_reason"]

MASKED = "[masked]"
"""Stands for a value under a name that is masked."""

FAILED = "[redaction failed]"
"""Stands for a value that a rule failed on."""


RULES = ("drop", "content", "allow", "hash", "mask", "mask_ip", "failed")
"""The reasons for a removal that are no detector's and no pattern's name."""


class Removal(NamedTuple):
    """One value that redaction removed or replaced: where it stood and why, never what it was.

    Attributes:
        path: `name`, `status.description`, `attributes.NAME`, `events.INDEX`, `events.INDEX.name`,
            `events.INDEX.attributes.NAME`, `links.INDEX.attributes.NAME`, `resource.attributes.NAME`,
            `scope.name`, `scope.version` or `scope.attributes.NAME`, and below a NAME the keys and indexes of
            maps and arrays. An index counts what the span had before redaction; a name or key is spelled as
            it leaves, less what was found in it, and one that doesn't leave as the rule has it: `user.*`.
        reason: The rule: `content`, `drop`, `allow`, `hash`, `mask`, the name of a detector or a pattern,
            `mask_ip` or `failed`.
    """

    path: str
    reason: str


NOTHING_REDACTED: Mapping[str, int] = MappingProxyType({})
"""What most spans lose, by reason."""


def by_reason(removed: Sequence[Removal]) -> Mapping[str, int]:
    """How many values were removed, by reason."""
    return Counter([one.reason for one in removed]) if removed else NOTHING_REDACTED
