"""Lanes for the tests of the router: what they are offered is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ajolo_fanout.health.fates import Counts
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.router import Lane, Router
from ajolo_fanout.steps.pipeline import Steps

LIMIT = 20.0
"""Seconds that a test waits for what must happen."""


class Taker:
    """One backend's end: keeps the renditions it was offered, or does something worse."""

    def __init__(
        self,
        name: str,
        steps: Steps | None = None,
        *,
        stock: bool = False,
        does: Callable[[Rendition], object] | None = None,
    ) -> None:
        self.got: list[Rendition] = []
        self.ledger = Ledger(name)
        self._does = does
        self.lane = Lane(name, steps or Steps(), self.ledger, self._offer, stock)

    def _offer(self, renditions: Sequence[Rendition]) -> None:
        if self._does is not None:
            for rendition in renditions:
                self._does(rendition)
        self.got += renditions
        self.ledger.delivered(len(renditions))

    @property
    def counts(self) -> Counts:
        """The ledger's counts."""
        return self.ledger.counts()

    @property
    def ids(self) -> list[int]:
        """The span ids it got, in order."""
        return [one.context.span_id for one in self.got]


@contextmanager
def running(*takers: Taker, capacity: int = 10_000) -> Iterator[tuple[Inbox, Router]]:
    """A started router over an inbox; stopped on leaving."""
    inbox = Inbox(capacity)
    router = Router(inbox, [taker.lane for taker in takers])
    router.start()
    try:
        yield inbox, router
    finally:
        router.stop(soon())


def soon(seconds: float = LIMIT) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def adds_up(counts: Counts, seen: int) -> bool:
    """Whether every span seen has exactly one fate."""
    return counts.seen == seen and counts.pending == 0


def put_all(inbox: Inbox, spans: list[Any]) -> None:
    """Put them, none refused."""
    for span in spans:
        assert inbox.put(span)
