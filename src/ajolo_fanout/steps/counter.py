"""A counter that the program's threads may use at any moment: it takes no lock to count."""

from __future__ import annotations

import itertools
import threading
import weakref

from ajolo_fanout import forks

__all__ = ["Counter"]


class Counter:
    """Counts from many threads, from signal handlers and around a fork; a forked child starts at zero.

    Counting is one step in C, so nothing can come between. `itertools.count` can only be read by taking its
    next number: the numbers that reading took are subtracted again, under a lock that only readers know.
    """

    __slots__ = ("__weakref__", "_lock", "_numbers", "_read")

    def __init__(self) -> None:
        self.reset()
        _COUNTERS.add(self)

    def reset(self) -> None:
        """Start from zero."""
        self._lock = threading.RLock()  # a signal handler may read in the middle of a reading
        self._read = 0
        self._numbers = itertools.count()

    def add(self) -> None:
        """Count one."""
        next(self._numbers)

    @property
    def value(self) -> int:
        """How many were counted."""
        with self._lock:
            number = next(self._numbers) - self._read
            self._read += 1
        return number


_COUNTERS: weakref.WeakSet[Counter] = weakref.WeakSet()


def _in_forked_child() -> None:
    for counter in list(_COUNTERS):
        counter.reset()


forks.in_child(_in_forked_child)
