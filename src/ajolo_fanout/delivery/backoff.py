"""When a backend is asked again: full jitter, or the time that the server said, by the whole backend.

The schedule is the AWS Architecture Blog's "full jitter": a random share of a pause that doubles.
"""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff", "between"]

_FIRST = 1.0
_LONGEST = 30.0
_SHORTEST_WAIT = 0.05
_HURRIED = 1.0
"""Seconds. While somebody waits for a flush, the pause grows no further than this."""

between: Callable[[float, float], float] = random.SystemRandom().uniform
"""Jitter, drawn apart from the `random` module's own stream: a program that seeds it to repeat what it did would not,
if a thread of ours drew from it now and then."""


class Backoff:
    """What one backend's failures in a row mean for the next try. Its user's lock protects it.

    Attributes:
        next_try: No request before this moment, by the clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._server_said = False  # whether `next_try` is the server's, and not ours
        self._said_at = 0.0  # when it last was
        self._hurry_until = 0.0
        self.next_try = 0.0

    @property
    def down(self) -> bool:
        """Whether the backend is to be left alone but for trial requests."""
        return self._failures > 0

    @property
    def quiet(self) -> bool:
        """Whether the server wants to be left alone now. To be read without the lock, too."""
        return self._server_said and self._clock() < self.next_try

    def answered(self, began: float) -> bool:
        """It takes requests; whether it was down before, and no longer is.

        Args:
            began: When what was answered began. A time that the server named since then stands: an older request
                may be answered last.
        """
        if self.quiet and self._said_at >= began:
            return False
        was_down = self.down
        self._failures = 0
        self._server_said = False
        self.next_try = 0.0
        return was_down

    def failed(self, delay: float | None, *, trial: bool) -> None:
        """A request failed.

        Args:
            delay: Seconds that the server asked to wait; None or 0 where it said nothing.
            trial: It was a trial, and counts; other requests that were under way fail for the same reason.
        """
        now = self._clock()
        if trial or not self._failures:
            self._failures += 1
        if delay:
            # Obeyed however long it is; of two batches that were told different times, the later one.
            said = now + delay
            self.next_try = max(self.next_try, said) if self._server_said else said
            self._server_said, self._said_at = True, now
            return
        if self._server_said and self.next_try > now:
            return
        self._server_said = False
        ceiling = min(_LONGEST, _FIRST * 2 ** min(self._failures - 1, 10))
        if now < self._hurry_until:
            ceiling = min(ceiling, _HURRIED)
        self.next_try = now + max(_SHORTEST_WAIT, between(0, ceiling))

    def hurry(self, deadline: float) -> None:
        """Somebody waits until `deadline`: try now, unless the server named a time."""
        self._hurry_until = max(self._hurry_until, deadline)
        if not self._server_said:
            self.next_try = min(self.next_try, self._clock())

    def hopeless(self, deadline: float) -> bool:
        """Whether the server doesn't want to be asked before `deadline`."""
        return self._server_said and self.next_try > deadline
