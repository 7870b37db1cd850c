"""The gate: how much of one backend's is in memory, and that each span in it gets exactly one fate.

The SDK's BatchSpanProcessor drops from a full queue without a public count. The gate in front of it admits
only what that queue has room for, and counts what it refuses. It also holds the books of what is inside: a
span that was admitted is settled once, by the answer of the backend, by the retry store being full, or by
`close()`, which takes all that is left at the deadline of a shutdown. Whoever comes second finds it closed
and changes nothing.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Literal

from ajolo_fanout.otlp.rendition import Rendition

__all__ = ["Gate", "Place", "Refusal"]

Refusal = Literal["full", "closed"]
"""Why a span isn't let in."""

Place = Literal["queue", "ahead", "retry"]
"""Where a span is: between the gate and the end of its request; there, but safe on disk (`spool = "always"`);
or in the store of what is to be sent again."""

_size_of = operator.attrgetter("size")


class Gate:
    """Bounds two stretches: the queue up to the end of a request, and the store of what is to be sent again.

    Attributes:
        max_spans: Spans that may be in the queue at a time.
        max_bytes: Bytes of renditions that may be in the queue at a time.
        max_retry_bytes: Bytes of renditions that may be in the retry store at a time.
    """

    def __init__(self, max_spans: int, max_bytes: int, max_retry_bytes: int) -> None:
        self.max_spans = max_spans
        self.max_bytes = max_bytes
        self.max_retry_bytes = max_retry_bytes
        self.reset()

    def reset(self) -> None:
        """Empty and open: in a forked child, where what was inside is the parent's."""
        self._lock = threading.Lock()
        self._spans: dict[Place, int] = {"queue": 0, "ahead": 0, "retry": 0}
        self._bytes: dict[Place, int] = {"queue": 0, "ahead": 0, "retry": 0}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether everything inside was given up at a shutdown."""
        return self._closed

    def spans(self, place: Place) -> int:
        """Spans in `place` now."""
        return self._spans[place]

    def bytes(self, place: Place) -> int:
        """Bytes of their renditions."""
        return self._bytes[place]

    def admit(
        self, renditions: Sequence[Rendition], refused: Callable[[Refusal, int], None]
    ) -> Sequence[Rendition]:
        """Let renditions into the queue, in order, as far as there is room.

        Args:
            renditions: A chunk of them: the lock is taken once.
            refused: Called at most once, under the lock: why, and how many.

        Returns:
            Those that are in; `renditions` itself when all are.
        """
        count, size = len(renditions), sum(map(_size_of, renditions))
        with self._lock:
            if self._closed:
                refused("closed", count)
                return ()
            spans = self.max_spans - self._spans["queue"] - self._spans["ahead"]
            room = self.max_bytes - self._bytes["queue"] - self._bytes["ahead"]
            admitted = renditions
            if count > spans or size > room:
                admitted, size = _that_fit(renditions, spans, room)
                refused("full", count - len(admitted))
            self._spans["queue"] += len(admitted)
            self._bytes["queue"] += size
            return admitted

    def resize(self, place: Place, by: int) -> bool:
        """Spans in `place` turn out so many bytes larger than they were admitted for; False when closed.

        What is inside stays inside, even where that is more than would be let in.
        """
        with self._lock:
            if self._closed:
                return False
            self._enter(place, 0, by)
            return True

    def settle(self, place: Place, spans: int, size: int, record: Callable[[], None]) -> bool:
        """Take spans out of `place` for good.

        Args:
            place: Where they are.
            spans: How many.
            size: Their bytes, as they were admitted.
            record: Writes their fate into the ledger; called under the lock, so that no reader sees them gone
                and not counted.

        Returns:
            False when the gate is closed: their fate was written then, and `record` isn't called.
        """
        with self._lock:
            if self._closed:
                return False
            self._leave(place, spans, size)
            record()
            return True

    def keep(self, place: Place, spans: int, size: int, full: Callable[[], None]) -> bool:
        """Move spans from `place` to the retry store, and say whether they are there.

        Args:
            place: Where they are now.
            spans: How many.
            size: Their bytes.
            full: Writes the loss into the ledger when the store has no room for them; they are gone then.
        """
        with self._lock:
            if self._closed:
                return False
            self._leave(place, spans, size)
            if self._bytes["retry"] + size > self.max_retry_bytes:
                full()
                return False
            self._enter("retry", spans, size)
            return True

    def written_ahead(self, spans: int, size: int) -> bool:
        """Spans of the queue are on disk now, and can't be lost any more; False when the gate is closed."""
        with self._lock:
            if self._closed:
                return False
            self._leave("queue", spans, size)
            self._enter("ahead", spans, size)
            return True

    def close(self, record: Callable[[int, int], None]) -> None:
        """Give up everything inside; a second call does nothing.

        Args:
            record: Gets how many spans are lost, and how many are left on disk.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            ahead = self._spans["ahead"]
            rest = sum(self._spans.values()) - ahead
            self._spans = dict.fromkeys(self._spans, 0)
            self._bytes = dict.fromkeys(self._bytes, 0)
            if rest or ahead:
                record(rest, ahead)

    def _enter(self, place: Place, spans: int, size: int) -> None:
        self._spans[place] += spans
        self._bytes[place] += size

    def _leave(self, place: Place, spans: int, size: int) -> None:
        self._enter(place, -spans, -size)


def _that_fit(renditions: Sequence[Rendition], spans: int, room: int) -> tuple[list[Rendition], int]:
    """Those that fit, each asked for in its turn, and their bytes."""
    found: list[Rendition] = []
    size = 0
    for rendition in renditions:
        if len(found) >= spans:
            break
        if size + rendition.size <= room:
            found.append(rendition)
            size += rendition.size
    return found, size
