"""Where tokens and cost of a trace stand at one backend: what `usage = "leaf"` has to know.

Libraries put the sum of the calls on the agent's span, too, and that on its own agent's. So on each way from
the root down, tokens are to stand once, and cost is: as far down as they go among the spans that the backend
gets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ajolo_fanout.steps.draft import NO_USAGE, Measure, Usage
from ajolo_fanout.steps.processors.dialect_names import USAGE

__all__ = ["Lineage", "carries"]

_BEGINNINGS = tuple([beginning for beginning, _ in USAGE])


class Lineage:
    """The spans of one trace, as far as they were decided about.

    A span that ends after those above it were sent can't take off what they said. What it carries itself is
    taken off then: it is in the sum above. Where nothing was above (an agent's cost of zero counts as
    nothing), it keeps it. What is a sum by its name is read by few, so for its sake no call loses its cost:
    it is taken off already where a call that may cost something still runs.
    """

    def __init__(self, above: Callable[[int], int | None], most: int) -> None:
        """Nothing decided yet.

        Args:
            above: The id of the local parent of a span that is still running; None where nobody knows.
            most: How many spans are remembered; of those beyond, nothing is known later.
        """
        self._above = above
        self._most = most
        self._parents: dict[int, int] = {}
        self._tokens = _Marks(self._parent, most)
        self._cost = _Marks(self._parent, most)
        self._total = _Marks(self._parent, most)

    def settle(self, spans: Iterable[tuple[Any, bool]], running: Collection[int] = ()) -> Mapping[int, Usage]:
        """Which of these spans' tokens and cost others carry, by id; those of which none are left out.

        Args:
            spans: What is decided about now, each with whether the backend gets it.
            running: Calls that the backend is to get once they have ended.
        """
        known = [(span, sent) for span, sent in spans if span.context is not None]
        for span, _ in known:
            parent = span.parent
            if parent is not None and not parent.is_remote and len(self._parents) < self._most:
                self._parents[span.context.span_id] = parent.span_id
        carried = {span.context.span_id: carries(span) if sent else NO_USAGE for span, sent in known}

        def carriers(measure: Measure) -> set[int]:
            return {span_id for span_id, usage in carried.items() if measure in usage}

        costs = carriers("cost")
        settled: tuple[tuple[Measure, set[int]], ...] = (
            ("tokens", self._tokens.settle(carried, carriers("tokens"))),
            ("cost", self._cost.settle(carried, costs)),
            ("total", self._total.settle(carried, carriers("total"), costs.union(running))),
        )
        found: dict[int, Usage] = {}
        for measure, ids in settled:
            for span_id in ids:
                found[span_id] = found.get(span_id, NO_USAGE) | {measure}
        return found

    def _parent(self, span_id: int) -> int | None:
        known = self._parents.get(span_id)
        return self._above(span_id) if known is None else known


class _Marks:
    """One measure: who has carriers below, and who was sent with what it carries itself."""

    def __init__(self, parent: Callable[[int], int | None], most: int) -> None:
        self._parent = parent
        self._most = most
        self._below: dict[int, bool] = {}  # -> whether it, or one above it, was sent with its own
        self._kept: set[int] = set()

    def settle(self, spans: Iterable[int], carriers: set[int], others: Collection[int] = ()) -> set[int]:
        """Those of `spans` that are counted elsewhere; `others` count for those above them alone."""
        late = {one for one in carriers if self._climb(one)}
        for one in others:
            self._climb(one)
        # Who ends after what is below it makes known what is above itself, too.
        found = {one for one in spans if one in self._below}
        for one in found - carriers:
            self._climb(one)
        kept = carriers - found - late
        if len(self._kept) < self._most:
            self._kept |= kept
        return found | late

    def _climb(self, span_id: int) -> bool:
        """Mark all that is above a span; whether one of them was sent with its own."""
        path: list[int] = []
        counted = False
        above = self._parent(span_id)
        while above is not None and len(self._below) < self._most:
            if above in self._below:  # marked, and so is all above it; or ids that go in a circle
                counted = self._below[above]
                break
            self._below[above] = False
            path.append(above)
            above = self._parent(above)
        for one in reversed(path):
            counted = counted or one in self._kept
            self._below[one] = counted
        return counted


def carries(span: Any) -> Usage:
    """What of tokens and cost a span carries. A number that is zero adds nothing up, and counts for nothing."""
    found: set[Measure] = set()
    for name, value in (span.attributes or {}).items():
        if value and str(name).startswith(_BEGINNINGS):
            found.add(next(measure for beginning, measure in USAGE if str(name).startswith(beginning)))
    return frozenset(found) if found else NO_USAGE
