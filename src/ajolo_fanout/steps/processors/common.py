"""What all processors share: a match, and how a change becomes one that looks at it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ajolo_fanout.steps.attributes import Attributes
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.match import Match, compile_match

__all__ = ["MATCH", "Change", "Processor", "every_attributes", "matching"]

Change: TypeAlias = Callable[[Draft], None]
"""What a processor does to a draft."""

MATCH = "Only spans that this means are changed; by default all."


class Processor(Protocol):
    """The settings of a processor."""

    def compile(self) -> Change:
        """The function that changes a draft."""


def matching(match: Match | None, change: Change) -> Change:
    """`change`, for the spans that `match` means."""
    if match is None:
        return change
    means = compile_match(match)

    def change_matching(draft: Draft) -> None:
        if means(draft):
            change(draft)

    return change_matching


def every_attributes(draft: Draft) -> list[Attributes]:
    """The attributes of the span, of its events and of its links."""
    found = [draft.attributes]
    found += [event.attributes for event in draft.events]
    found += [link.attributes for link in draft.links]
    return found
