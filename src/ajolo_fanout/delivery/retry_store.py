"""What one backend's redelivery holds in memory: batches in the order in which they are to be sent.

And what is counted and said of those that wait there no longer, without having been delivered.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Sequence
from functools import partial

import attrs

from ajolo_fanout.config.retry import RetrySettings
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.health.fates import Reason
from ajolo_fanout.otlp.rendition import Rendition

__all__ = ["Held", "RetryStore", "give_up_old", "size_of", "tell_not_kept"]


def size_of(renditions: Sequence[Rendition]) -> int:
    """Bytes of all of them."""
    return sum(map(_size_of, renditions))


_size_of = operator.attrgetter("size")


@attrs.frozen(eq=False)
class Held:
    """A batch that is to be sent again."""

    renditions: Sequence[Rendition]
    born: float  # when its first request failed or was put off, by the monotonic clock
    size: int

    @classmethod
    def of(cls, renditions: Sequence[Rendition], born: float) -> Held:
        """A batch and its size."""
        return cls(tuple(renditions), born, size_of(renditions))


class RetryStore:
    """The batches that wait. The gate bounds it; whoever uses it has a lock."""

    def __init__(self) -> None:
        self._batches: deque[Held] = deque()

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, held: Held) -> None:
        """Put a batch behind all others."""
        self._batches.append(held)

    def put_back(self, batches: Sequence[Held], *, behind: bool = False) -> None:
        """Put what was taken by `load` in front again, in its order, or behind all others."""
        if behind:
            self._batches.extend(batches)
        else:
            self._batches.extendleft(reversed(batches))

    def load(self, max_spans: int, max_bytes: int, *, trial: bool) -> list[Held]:
        """Take the oldest: one batch for a trial, else what fills a request."""
        load = [self._batches.popleft()]
        spans, size = len(load[0].renditions), load[0].size
        while self._batches and not trial:
            spans += len(self._batches[0].renditions)
            size += self._batches[0].size
            if spans > max_spans or size > max_bytes:
                break
            load.append(self._batches.popleft())
        return load

    def take_all(self) -> list[Held]:
        """Everything, which leaves it empty."""
        batches = list(self._batches)
        self._batches.clear()
        return batches

    def take_older(self, born: float) -> list[Held]:
        """What was born by then."""
        old = [held for held in self._batches if held.born <= born]
        if old:
            self._batches = deque(held for held in self._batches if held.born > born)
        return old

    @property
    def oldest(self) -> float:
        """When the oldest batch was born; of a store that isn't empty."""
        return min(held.born for held in self._batches)


def tell_not_kept(
    books: Books, settings: RetrySettings, count: int, outcome: Outcome | None, full: Reason
) -> None:
    """Say why spans that were to be sent again could not be kept.

    Args:
        books: Of their backend.
        settings: The bounds of the store.
        count: How many there were.
        outcome: Why they had not been taken; None when they were not tried.
        full: What had no room: `retry_full`, or `spool_full` where the disk hadn't, either.
    """
    if outcome is not None and outcome.kind == "rejected":
        books.tell(f"rejected {outcome.status}", f"{count} spans rejected: {outcome.message}", count)
        return
    also = ", and so is the spool" if full == "spool_full" else ""
    books.note(full, f"the retry store is full ({settings.max_bytes}){also}: {count} spans lost", count)


def give_up_old(books: Books, settings: RetrySettings, old: Sequence[Held]) -> None:
    """Count batches that have waited too long as lost, and say so."""
    count = sum(len(held.renditions) for held in old)
    size = sum(held.size for held in old)
    books.gate.settle("retry", count, size, partial(books.ledger.lost, "too_old", count))
    books.note(
        "too_old", f"{count} spans waited longer than {settings.max_age} to be sent again: lost", count
    )
