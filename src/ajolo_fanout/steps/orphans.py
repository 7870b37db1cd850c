"""Orphans: what becomes of spans whose parent was left out, so that no backend sees half a tree.

A pure function over the spans of one trace. What it can't see (a span that is still running, one that was
decided about earlier) it asks for by id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from ajolo_fanout.steps.additions import ROOT, Parent

__all__ = ["DROPPED", "Known", "Look", "Orphans", "Place", "RemoteParent", "settle"]

Orphans = Literal["keep", "reparent", "promote", "drop"]
RemoteParent = Literal["keep", "promote"]


class _Dropped:
    """The place of a span that isn't sent after all."""

    def __repr__(self) -> str:
        return "DROPPED"


DROPPED = _Dropped()

Place = Parent | _Dropped
"""Where a span goes: another parent, `ROOT`, or `DROPPED`."""


@attrs.frozen
class Known:
    """What is known of a span that another one may hang from.

    Attributes:
        sent: Whether the backend gets it.
        parent: Its own parent; None for the root of a trace, and where what is above no longer matters.
    """

    sent: bool
    parent: Parent | None = None


Look = Callable[[int], "Known | None"]
"""What is known of the span with an id; None where there is none, and none will come."""


def settle(
    spans: Mapping[int, Parent | None], look: Look, orphans: Orphans, remote_parent: RemoteParent
) -> dict[int, Place]:
    """Find a place for each span whose parent the backend doesn't get.

    Args:
        spans: The spans that the backend is to get, by id, each with its parent.
        look: What is known of any other span: those that were left out, above all.
        orphans: What becomes of a span whose local parent isn't sent.
        remote_parent: What becomes of one whose parent is in another service.

    Returns:
        The place of every span that can't stay as it is.
    """
    family = _Family(spans, look, promotes=remote_parent == "promote")
    places: dict[int, Place] = {}
    for span_id, parent in spans.items():
        if parent is None:
            continue
        parent_id, remote = parent
        if remote:
            if remote_parent == "promote":
                places[span_id] = ROOT
        elif orphans == "drop":
            if not family.stands(parent_id):
                places[span_id] = DROPPED
        elif orphans != "keep" and not family.sent(parent_id):
            places[span_id] = family.ancestor(parent_id) if orphans == "reparent" else ROOT
    return places


class _Family:
    """The spans of one trace by id. Every walk up the tree is remembered, so that all together are linear."""

    def __init__(self, spans: Mapping[int, Parent | None], look: Look, *, promotes: bool) -> None:
        self._spans = spans
        self._look = look
        self._promotes = promotes
        self._known: dict[int, Known | None] = {}
        self._ancestors: dict[int, Parent] = {}
        self._stands: dict[int, bool] = {}

    def known(self, span_id: int) -> Known | None:
        if span_id in self._spans:
            return Known(sent=True, parent=self._spans[span_id])
        if span_id not in self._known:
            self._known[span_id] = self._look(span_id)
        return self._known[span_id]

    def sent(self, span_id: int) -> bool:
        known = self.known(span_id)
        return known is not None and known.sent

    def ancestor(self, span_id: int) -> Parent:
        """The nearest of `span_id` and its ancestors that is sent; `ROOT` where none is."""
        path: list[int] = []
        seen: set[int] = set()
        found = ROOT
        while span_id not in seen:  # ids that others gave may go in a circle
            if span_id in self._ancestors:
                found = self._ancestors[span_id]
                break
            known = self.known(span_id)
            if known is not None and known.sent:
                found = (span_id, False)
                break
            path.append(span_id)
            seen.add(span_id)
            if known is None or known.parent is None:
                break
            span_id, remote = known.parent
            if remote:
                found = ROOT if self._promotes else (span_id, True)
                break
        self._ancestors.update(dict.fromkeys(path, found))
        return found

    def stands(self, span_id: int) -> bool:
        """Whether `span_id` and all its ancestors up to the local root are sent."""
        path: list[int] = []
        seen: set[int] = set()
        stands = False
        while span_id not in seen:
            if span_id in self._stands:
                stands = self._stands[span_id]
                break
            path.append(span_id)
            seen.add(span_id)
            known = self.known(span_id)
            if known is None or not known.sent:
                break
            if known.parent is None or known.parent[1]:
                stands = True  # a root here; or one that was settled earlier
                break
            span_id = known.parent[0]
        self._stands.update(dict.fromkeys(path, stands))
        return stands
