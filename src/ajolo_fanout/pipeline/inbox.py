"""The inbox: what stands between the program's threads and the router.

Putting a span takes no lock, so it may happen anywhere: in any thread, in a signal handler that interrupted
another put, in a child just forked. The router is woken by a bell, `queue.SimpleQueue`, whose `put` is
reentrant by its documentation; it is rung only when the router waits for that, so idle means asleep.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import sys
import threading
from typing import Any

from ajolo_fanout.steps.counter import Counter

__all__ = ["Inbox", "Mark"]

_NEVER = sys.maxsize


class Mark:
    """A place in the inbox: when the router comes to it, everything put before has been offered.

    Attributes:
        reached: Set when the router came to it.
        last: Whether the router ends there.
    """

    __slots__ = ("last", "reached")

    def __init__(self, *, last: bool = False) -> None:
        self.reached = threading.Event()
        self.last = last


class Inbox:
    """A bounded queue from many threads to one. Beyond its capacity the newest is refused, and counted.

    Threads that put at the same instant may overshoot the capacity by one each, which is the price of having
    no lock.

    Attributes:
        moving: Held by whoever takes, until what it took is counted elsewhere, and by whoever reads counts: so
            no span is missing from both sides, or on both. Putting doesn't need it.
    """

    def __init__(self, capacity: int) -> None:
        """An empty inbox for `capacity` spans."""
        self._size = capacity
        self._refusals = Counter()
        self._late = Counter()
        self.after_fork()

    def after_fork(self) -> None:
        """Empty, counts at zero, and open if it was: what the parent put is the parent's to send."""
        self._refusals.reset()
        self._late.reset()
        self._queue: collections.deque[Any] = collections.deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ring_at = _NEVER
        self._capacity = self._size
        self._hurried = False
        self._marks = 0
        self.moving = threading.RLock()  # a finalizer that ends, or counts, may run anywhere

    # The program's threads.

    def put(self, span: Any) -> bool:
        """Take `span`; False where it is refused, which is counted. Never waits, never raises."""
        waiting = len(self._queue)
        if waiting >= self._capacity:
            (self._refusals if self._capacity else self._late).add()
            return False
        self._queue.append(span)
        if waiting >= self._ring_at:
            self._ring()
        return True

    def mark(self, mark: Mark) -> None:
        """Put a mark behind everything that is there, and have the router hurry."""
        with self.moving:
            self._marks += 1
            self._queue.append(mark)
        self._hurried = True
        self._ring()

    def close(self) -> None:
        """Take no more spans."""
        self._capacity = 0

    @property
    def refused(self) -> int:
        """How many spans were refused because it was full."""
        return self._refusals.value

    @property
    def late(self) -> int:
        """How many spans came after it was closed."""
        return self._late.value

    @property
    def spans(self) -> int:
        """How many spans wait. Exact while `moving` is held."""
        with self.moving:
            return len(self._queue) - self._marks

    def __len__(self) -> int:
        """How many spans and marks wait."""
        return len(self._queue)

    # The router's thread.

    def wait(self, full: int, gather: float, patience: float | None = None) -> None:
        """Sleep until there is something, then `gather` seconds or until `full` spans or a mark are there.

        Args:
            full: How many spans are worth getting up for at once.
            gather: Seconds to let them gather.
            patience: Seconds after which to return although there is nothing; None for never.
        """
        self._sleep_until(0, patience)
        if not self._hurried and self._queue:
            self._sleep_until(full - 1, gather)
        self._hurried = False

    def take(self, limit: int) -> tuple[list[Any], Mark | None]:
        """At most `limit` spans, oldest first, and the mark behind them where there is one. Under `moving`."""
        taken: list[Any] = []
        pop = self._queue.popleft
        with contextlib.suppress(IndexError):  # empty; who stops past a deadline takes, too
            for _ in range(limit):
                item = pop()
                if type(item) is Mark:
                    self._marks -= 1
                    return taken, item
                taken.append(item)
        return taken, None

    def rest(self) -> list[Any]:
        """Take everything that is there, marks left out."""
        with self.moving:
            taken = [item for item in self._queue if type(item) is not Mark]
            self._queue.clear()
            self._marks = 0
        return taken

    def _sleep_until(self, waiting: int, timeout: float | None) -> None:
        """Sleep until more than `waiting` are there, or someone rings for another reason, or time is up."""
        while not self._bell.empty():
            self._bell.get_nowait()  # rung for what is looked at below; only this thread takes from it
        self._ring_at = waiting
        if len(self._queue) <= waiting and not self._hurried:
            with contextlib.suppress(queue.Empty):  # the time is up
                self._bell.get(timeout=timeout)
        self._ring_at = _NEVER

    def _ring(self) -> None:
        self._ring_at = _NEVER
        self._bell.put(None)
