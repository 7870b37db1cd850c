"""What one backend's redelivery holds in memory: batches in the order in which they are to be sent."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Sequence

import attrs

from ajolo_fanout.otlp.rendition import Rendition

__all__ = ["Held", "RetryStore", "size_of"]


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
