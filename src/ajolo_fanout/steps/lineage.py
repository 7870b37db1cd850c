"""Which spans have others below them that carry tokens and cost: what `usage = "leaf"` has to know."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from ajolo_fanout.steps.processors.dialect_names import USAGE

__all__ = ["Lineage", "above_usage"]

_MAX_OPEN = 50_000


class Lineage:
    """Follows spans in the order in which they end: children before their parents.

    A child that ends after its parent comes too late to be known of; where a trace is held until it is
    finished, `above_usage()` knows of it. At most 50,000 parents that haven't ended are remembered, the
    oldest forgotten first: a forgotten one counts as having nothing below it.
    """

    def __init__(self) -> None:
        self._carried: dict[tuple[int, int], None] = {}
        self._lock = threading.Lock()

    def usage_below(self, span: Any) -> bool:
        """Whether spans below `span`, which has just ended, carry tokens or cost. Ask once for each span."""
        context, parent = span.context, span.parent
        if context is None:
            return False
        with self._lock:
            key = (context.trace_id, context.span_id)
            below = key in self._carried
            if below:
                del self._carried[key]
            if parent is not None and not parent.is_remote and (below or _carries(span)):
                if len(self._carried) >= _MAX_OPEN:
                    del self._carried[next(iter(self._carried))]
                self._carried[context.trace_id, parent.span_id] = None
        return below

    def after_fork(self) -> None:
        """Forget everything, the lock included, in a forked child."""
        self._carried = {}
        self._lock = threading.Lock()


def above_usage(spans: Iterable[Any]) -> set[int]:
    """The ids of those spans of one trace that have others of them below, which carry tokens or cost."""
    parents: dict[int, int] = {}
    carriers: list[int] = []
    for span in spans:
        if span.context is None:
            continue
        if span.parent is not None and not span.parent.is_remote:
            parents[span.context.span_id] = span.parent.span_id
        if _carries(span):
            carriers.append(span.context.span_id)
    found: set[int] = set()
    for carrier in carriers:
        parent = parents.get(carrier)
        while parent is not None and parent not in found:  # whatever is above a known one is known, too
            found.add(parent)
            parent = parents.get(parent)
    return found


def _carries(span: Any) -> bool:
    return any(str(name).startswith(USAGE) for name in span.attributes)
