"""The ledger of one backend: what became of its spans, and the state that it is in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import attrs

from ajolo_fanout.health.fates import LEGAL_MOVES, REASONS, Counts, State
from ajolo_fanout.health.report import BackendHealth, BackendReport

__all__ = ["Counts", "Ledger", "Told"]


@attrs.frozen
class Told:
    """How far the reports of a ledger have come.

    Attributes:
        counts: What they have told of.
        errors: How many errors had been noted.
    """

    counts: Counts = attrs.field(factory=Counts)
    errors: int = 0


class Ledger:
    """Counts one backend's spans and follows its state. Thread-safe; one short lock a call.

    Every method takes how many spans it is about, so that a caller that has a chunk of them asks once. `seen`
    comes before any fate, so `pending` is never negative.
    """

    def __init__(self, backend: str, *, now: Callable[[], float] = time.time) -> None:
        """A ledger at zero, in state `starting`.

        Args:
            backend: The backend's name in the file.
            now: Seconds since the epoch, for `last_success` and the time of `last_error`.
        """
        self.backend = backend
        self._now = now
        self.reset()

    def reset(self) -> None:
        """Start from zero: in a forked child, where the parent's counts are the parent's."""
        # A new one: a thread of the parent may have held the old one at the fork. And one that may be taken
        # again: a signal handler of the program's own may read in the middle of a reading.
        self._lock = threading.RLock()
        self._n = dict.fromkeys(_COUNTERS, 0)
        self._lost = dict.fromkeys(REASONS, 0)
        self._redacted: dict[str, int] = {}  # as many reasons as the backend's redaction has rules
        self._told = Told()
        self._errors = 0
        self._state: State = "starting"
        self._last_success: float | None = None
        self._last_error = ""
        self._last_error_at: float | None = None

    # Fates. Each span seen gets exactly one.

    def seen(self, n: int = 1) -> None:
        """The backend's pipeline was asked about `n` spans."""
        self._add("seen", n)

    def filtered(self, n: int = 1) -> None:
        """`n` spans aren't selected."""
        self._add("filtered", n)

    def sampled_out(self, n: int = 1) -> None:
        """`n` spans are outside the sample."""
        self._add("sampled_out", n)

    def delivered(self, n: int = 1) -> None:
        """The backend said that it took `n` spans."""
        self._add("delivered", n)

    def handed_over(self, n: int = 1) -> None:
        """A stock exporter took `n` spans."""
        self._add("handed_over", n)

    def spooled(self, n: int = 1) -> None:
        """`n` spans are left to the spool."""
        self._add("spooled", n)

    def lost(self, reason: str, n: int = 1) -> None:
        """`n` spans are lost.

        Args:
            reason: One of `REASONS`.
            n: How many.

        Raises:
            KeyError: when `reason` is none of them; a slip of ours, which a test would find.
        """
        with self._lock:
            self._lost[reason] += n

    # What is no fate.

    def redacted(self, by_reason: Mapping[str, int]) -> None:
        """Redaction removed so many values, by reason."""
        with self._lock:
            for reason, n in by_reason.items():
                self._redacted[reason] = self._redacted.get(reason, 0) + n

    def repaired(self, n: int = 1) -> None:
        """`n` values were repaired to be encoded."""
        self._add("repaired", n)

    def sent(self, requests: int = 1, bytes: int = 0) -> None:  # noqa: A002 - it is what is counted
        """`requests` requests left, with `bytes` bytes of body before compression."""
        with self._lock:
            self._n["requests"] += requests
            self._n["bytes"] += bytes

    def replayed(self, n: int = 1) -> None:
        """`n` spans left the spool."""
        self._add("replayed", n)

    def never_recorded(self, n: int = 1) -> None:
        """The provider's sampler left out `n` traces, which nobody will ever see."""
        self._add("never_recorded", n)

    # States.

    def succeeded(self) -> None:
        """A request was taken."""
        with self._lock:
            self._last_success = self._now()
            self._move("ok")

    def retrying(self, message: str) -> None:
        """A request failed in a way that time may mend."""
        with self._lock:
            self._note(message)
            self._move("retrying")

    def failed(self, message: str) -> None:
        """A request was refused."""
        with self._lock:
            self._note(message)
            self._move("failing")

    def noted(self, message: str) -> None:
        """Something went wrong that doesn't change the state (a part of a batch was refused)."""
        with self._lock:
            self._note(message)

    def stopped(self) -> None:
        """The backend is shut down; nothing moves it any more."""
        with self._lock:
            self._move("stopped")

    # Reading.

    @property
    def state(self) -> State:
        """The state now."""
        return self._state

    def counts(self) -> Counts:
        """The counters at this moment, consistent with one another."""
        with self._lock:
            return self._counts()

    @property
    def told(self) -> Told:
        """How far reports have come. Takes no lock."""
        return self._told

    def report(self, since: Told | None = None) -> BackendReport:
        """What happened since the last call of this method (for `flush()` and `shutdown()`).

        Args:
            since: Where that stood when a call began whose report this is: others may have ended meanwhile.
        """
        with self._lock:
            since = self._told if since is None else since
            now = self._counts()
            new = now - since.counts
            error = self._last_error if self._errors > since.errors else ""
            self._told = Told(now, self._errors)
        return BackendReport(
            delivered=new.delivered,
            handed_over=new.handed_over,
            spooled=new.spooled,
            lost=new.lost,
            pending=now.pending,
            error=error,
        )

    def health(self) -> BackendHealth:
        """State, last success, last error and all counters."""
        with self._lock:
            return BackendHealth(
                name=self.backend,
                state=self._state,
                counts=self._counts(),
                last_success=self._last_success,
                last_error=self._last_error,
                last_error_at=self._last_error_at,
            )

    def _add(self, counter: str, n: int) -> None:
        with self._lock:
            self._n[counter] += n

    def _counts(self) -> Counts:
        lost = {reason: n for reason, n in self._lost.items() if n}
        return Counts(lost=lost, redacted_by=self._redacted, **self._n)

    def _note(self, message: str) -> None:
        self._last_error = message
        self._last_error_at = self._now()
        self._errors += 1

    def _move(self, state: State) -> None:
        # An illegal move (an answer that comes in after the shutdown) leaves the state as it is.
        if state in LEGAL_MOVES[self._state]:
            self._state = state


_COUNTERS = (
    "seen",
    "filtered",
    "sampled_out",
    "delivered",
    "handed_over",
    "spooled",
    "repaired",
    "requests",
    "bytes",
    "replayed",
    "never_recorded",
)
