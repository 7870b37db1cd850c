"""Batches that are to be sent again, away from the queue, until their backend takes them.

They wait in bounded memory; for a backend that uses the spool, on disk, and in memory only what the disk
can't take. While a backend is down, one trial request at a time finds out whether it is back; everything else
waits, for as long as the server said, by the whole backend and not only by the batch that was told. Once it
is back, what waits is joined to full requests and goes as fast as the backend answers.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from ajolo_fanout.config.retry import RetrySettings
from ajolo_fanout.delivery.account import GateAccount
from ajolo_fanout.delivery.backoff import Backoff, between
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.dispatch import NOT_SENT, RETRY, Dispatch, Undelivered
from ajolo_fanout.delivery.gate import Place
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.delivery.retry_store import Held, RetryStore, give_up_old, size_of, tell_not_kept
from ajolo_fanout.delivery.spooling import Part, Spooling, Taken, split
from ajolo_fanout.delivery.suppression import suppressed
from ajolo_fanout.health.fates import Reason
from ajolo_fanout.otlp.rendition import Rendition

__all__ = ["Redelivery"]

_log = logging.getLogger("ajolo_fanout.delivery")

_LOOK = 5.0
"""Seconds between two looks into a spool in which nothing waits: other processes may have left something."""

_LONGEST_PAUSE = 3600.0
"""Seconds; whoever waits longer looks once more meanwhile."""


class Redelivery:
    """What one backend is to be sent again, and the thread that sends it."""

    def __init__(
        self,
        books: Books,
        dispatch: Dispatch,
        *,
        settings: RetrySettings,
        batch_timeout: float,
        batch_size: int,
        spooling: Spooling | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """An empty store, with its thread at work: what is in the spool is sent from now on.

        Args:
            books: Bounds the store, and keeps its losses.
            dispatch: Sends a batch.
            settings: The bounds.
            batch_timeout: Seconds for all requests of one batch.
            batch_size: The most spans of one batch, joined ones too.
            spooling: The spool, for a backend that uses it.
            clock: A monotonic clock.
        """
        self._books = books
        self._gate = books.gate
        self._ledger = books.ledger
        self._dispatch = dispatch
        self._settings = settings
        self._batch_timeout = batch_timeout
        self._batch_size = batch_size
        self._spooling = spooling
        self._clock = clock
        self.start()

    def start(self) -> None:
        """Begin empty, with a thread of this process (at construction, and again in a forked child)."""
        self._changed = threading.Condition()
        self._store = RetryStore()
        self._sending = False  # from the store
        self._disk_first = False  # a trial from the store failed: the next is the disk's
        self._spill_at = math.inf  # when the disk is asked once more to take the store
        self._backoff = backoff = Backoff(self._clock)
        self._dispatch.quiet = lambda: backoff.quiet
        self._stopped = False
        self._look_at = 0.0  # when to look into the spool
        self._news = 0  # how often there was reason to look at once
        self._asked = 0  # how often somebody wanted the spool drained
        self._drained = 0  # the last of them after which it was found empty, or the backend down
        if self._spooling is not None:
            self._spooling.reset()
        name = f"ajolo_fanout-redelivery-{self._books.backend}"
        # In a context of its own: nothing that we send is traced.
        threading.Thread(target=suppressed().run, args=(self._work,), name=name, daemon=True).start()

    @property
    def down(self) -> bool:
        """Whether the backend is to be left alone but for trial requests."""
        return self._backoff.down

    # What comes from the queue.

    def put(self, place: Place, renditions: Sequence[Rendition], outcome: Outcome | None) -> bool:
        """Take a batch out of the gate's `place`: to the disk, else into the store.

        Args:
            place: Where it is.
            renditions: Whose fate is open.
            outcome: Why they were not taken; None when they were not tried, because the backend is down.

        Returns:
            Whether they are to be sent again. If not, their fate is written.
        """
        rest = list(renditions)
        if self._spooling is not None:
            self._spooling.tell_others(outcome)
            rest = self._spooling.keep(place, rest)
        with self._changed:
            kept = self._hold(place, rest, outcome)
            self._spill_later()
            self._came(outcome, spooled=len(rest) < len(renditions))
        if not kept and not self._gate.closed:
            tell_not_kept(self._books, self._settings, len(rest), outcome, self._full())
        return kept

    def left_on_disk(self, part: Part, rest: Sequence[Rendition], outcome: Outcome | None) -> None:
        """A part that was written ahead was sent, or put off; what is open of it is left to the spool.

        What is not open has its fate in the ledger: the spool doesn't count it once more.

        Args:
            part: With its ticket.
            rest: Of its spans those that are to be sent again.
            outcome: Why; None when they were not tried.
        """
        assert self._spooling is not None
        self._spooling.tell_others(outcome)
        self._spooling.settle(part, rest, outcome, {})
        if rest:
            count, size = len(rest), size_of(rest)
            self._gate.settle("ahead", count, size, partial(self._ledger.spooled, count))
            with self._changed:
                self._came(outcome, spooled=True)

    def _hold(self, place: Place, rest: Sequence[Rendition], outcome: Outcome | None) -> bool:
        """Into the store, if there is anything and room for it. Under the lock."""
        if not rest:
            return True
        held, count = Held.of(rest, self._clock()), len(rest)
        if outcome is not None and outcome.kind == "rejected":  # would have been kept, but by the disk only
            self._gate.settle(place, count, held.size, partial(self._ledger.lost, "rejected", count))
            return False
        kept = self._gate.keep(place, count, held.size, partial(self._ledger.lost, self._full(), count))
        if kept:
            self._store.add(held)
        return kept

    def _came(self, outcome: Outcome | None, *, spooled: bool) -> None:
        """Something was put here, or left on disk. Under the lock."""
        if outcome is not None and outcome.status != NOT_SENT:
            self._backoff.failed(outcome.delay, trial=False)
        if spooled:
            self._look_soon()
        self._changed.notify_all()

    def _full(self) -> Reason:
        refused = None if self._spooling is None else self._spooling.refused
        return "spool_full" if refused == "spool_full" else "retry_full"

    # Flush and shutdown.

    def flush(self, deadline: float) -> bool:
        """Try now rather than at the next backoff, and wait until the store is empty.

        A server that named a time is not asked before it. Returns early where that time is beyond `deadline`.
        What is on disk has its fate, and isn't waited for.

        Returns:
            Whether the store is empty.
        """
        with self._changed:
            self._hurry(deadline)
            while self._store or self._sending:
                left = deadline - self._clock()
                hopeless = self._backoff.hopeless(deadline) and not self._sending
                if left <= 0 or hopeless or self._stopped:
                    return False
                self._pause(left)
            return True

    def drain_spool(self, deadline: float) -> None:
        """Send what is on disk until it is empty, the backend fails, or `deadline` comes."""
        if self._spooling is None:
            return
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._hurry(deadline)
            while not (self._drained >= mine or self._stopped or self._backoff.hopeless(deadline)):
                left = deadline - self._clock()
                if left <= 0:
                    return
                self._pause(left)

    def spill(self) -> None:
        """At the end: move what waits in memory to the disk, where there is one and it takes it again.

        A batch in flight follows: it comes back when its request is cut off, or `stop` gives it up.
        """
        if self._spooling is None:
            return
        self._spooling.rests_until = 0.0
        for in_flight in (False, True):
            with self._changed:
                while in_flight and self._sending and not self._stopped:
                    self._pause(None)
                waiting = self._store.take_all()
            self._to_disk(self._spooling, waiting)

    def _to_disk(self, spooling: Spooling, waiting: Sequence[Held]) -> None:
        """What the disk doesn't take goes into the store again."""
        for held in waiting:
            rest = spooling.keep("retry", held.renditions, age=self._clock() - held.born)
            if rest:
                with self._changed:
                    self._store.add(Held.of(rest, held.born))
        with self._changed:
            self._spill_at = spooling.again_at if self._store else math.inf

    def _spill_later(self) -> None:
        """Have a disk that failed or was full tried once more, as soon as that may be. Under the lock."""
        if self._store and self._spooling is not None and self._spooling.refused:
            self._spill_at = min(self._spill_at, self._spooling.again_at)

    def _hurry(self, deadline: float) -> None:
        self._backoff.hurry(deadline)
        self._look_soon()
        self._changed.notify_all()

    def _look_soon(self) -> None:
        """There is reason to look into the spool, even where a look is under way that began before."""
        self._look_at = 0.0
        self._news += 1

    def stop(self) -> None:
        """Send nothing any more, and forget the store (the gate has counted it)."""
        with self._changed:
            self._stopped = True
            self._store.take_all()
            self._changed.notify_all()

    def forsake(self) -> None:
        """Have a greenlet that was copied in a fork end; it may hold the lock, so none is taken."""
        self._stopped = True
        self._store.take_all()

    def give_up(self) -> list[Rendition]:
        """What waits here, for who takes this one's place."""
        with self._changed:
            waiting = [one for held in self._store.take_all() for one in held.renditions]
        self._gate.settle("retry", len(waiting), size_of(waiting), lambda: None)  # their fate is open
        return waiting

    # The thread.

    def _work(self) -> None:
        if self._spooling is not None:
            self._spooling.open()
        while job := self._next():
            try:
                job()
            except Exception:
                # Isolation: this thread must outlive any batch. `Dispatch.run` has counted its spans.
                _log.exception("%s: sending again failed", self._books.backend)
                self._disk_first = False
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()
        if self._spooling is not None:
            self._spooling.close()

    def _next(self) -> Callable[[], None] | None:
        """Wait until there is something to try; None when stopped."""
        with self._changed:
            while not self._stopped:
                self._expire()
                now, next_try = self._clock(), self._backoff.next_try
                if self._store and now >= next_try and not self._disk_first:
                    self._sending = True
                    most, trial = (self._batch_size, self._dispatch.join_bytes), self._backoff.down
                    return partial(self._again, self._store.load(*most, trial=trial), trial=trial)
                if self._store and now >= self._spill_at and self._spooling is not None:
                    self._sending = True  # for a flush: where they end isn't known yet
                    return partial(self._to_disk, self._spooling, self._store.take_all())
                look_at = max(next_try, self._look_at)
                if self._spooling is not None and now >= look_at:
                    self._look_at = now + _LOOK
                    return partial(self._replay, self._spooling, self._asked, self._news)
                wakes = [] if self._spooling is None else [look_at]
                if self._store:
                    wakes.append(min(next_try, self._spill_at, self._store.oldest + self._settings.max_age))
                self._pause(max(0.001, min(wakes) - now) if wakes else None)
            return None

    def _pause(self, seconds: float | None) -> None:
        """Wait for a change, or so long; a server may name a time beyond what a lock can wait. Under the lock."""
        self._changed.wait(seconds if seconds is None else min(seconds, _LONGEST_PAUSE))

    def _again(self, load: Sequence[Held], *, trial: bool) -> None:
        """Send from the store."""
        renditions = [one for held in load for one in held.renditions]
        account, began = GateAccount(self._books, "retry"), self._clock()
        undelivered = self._dispatch.run(account, renditions, began + self._batch_timeout)
        rest = undelivered.renditions if undelivered is not None else []
        if self._spooling is not None:
            self._spooling.tell_others(undelivered)
        with self._changed:
            if not self._stopped:
                open_ones = split([held.renditions for held in load], rest)
                back = [Held.of(mine, held.born) for held, mine in zip(load, open_ones, strict=True) if mine]
                self._store.put_back(back, behind=trial and _refused(undelivered))
                if self._spooling is not None and trial and _refused(undelivered):
                    self._disk_first = True
                    self._look_soon()
            self._judge(undelivered, began)

    def _replay(self, spooling: Spooling, asked: int, news: int) -> None:
        """Send from the disk; `asked`: those who wanted it before this look began, `news`: what it was for."""
        trial = self._backoff.down
        taken = spooling.take(self._batch_size, trial=trial)
        self._told_elsewhere(taken.left_alone)
        undelivered, began = None, self._clock()
        if taken.parts and began < self._backoff.next_try:
            # Another request failed meanwhile, and perhaps the server named a time.
            for part in taken.parts:
                spooling.settle(part, part.renditions, None, {})
            taken = Taken()
        if taken.parts:
            undelivered = spooling.send(taken.parts, self._dispatch, began + self._batch_timeout)
            if trial and _refused(undelivered):
                spooling.pass_over()
        if undelivered is not None or not taken.parts:
            spooling.rest()
        with self._changed:
            if undelivered is not None or not taken.parts:
                self._disk_first = False
            if taken.parts:
                self._judge(undelivered, began)
                self._look_at = 0.0
                done = self._backoff.down
            else:
                if self._news == news:
                    wait = _LOOK if taken.due is None else min(taken.due, _LOOK)
                    # Not all processes at once, and not again and again for a batch that others let go of.
                    pause = max(0.05, wait * between(0.8, 1))
                    self._look_at = self._clock() + pause
                done = True
            if done:
                self._drained = asked

    def _told_elsewhere(self, seconds: float) -> None:
        """Another process, or this program before it was started again, was asked to leave the server alone."""
        if not seconds:
            return
        with self._changed:
            known = self._backoff.quiet
            self._backoff.failed(seconds, trial=False)
        if not known and seconds >= 1:
            message = f"it was asked before to leave the server alone, and does so for {seconds:.0f} s more"
            self._ledger.retrying(message)
            self._books.tell(f"{RETRY} left alone", message, 0)

    def _judge(self, undelivered: Undelivered | None, began: float) -> None:
        """What a try that began then says of the backend. Under the lock."""
        answered = undelivered is None or undelivered.progress
        if answered and self._backoff.answered(began) and not self._gate.closed:
            self._books.tell("back", "answers again", 0, logging.INFO)
        if undelivered is not None:
            outcome = undelivered.outcome
            if not (undelivered.progress and outcome.status == NOT_SENT):
                self._backoff.failed(outcome.delay, trial=True)

    def _expire(self) -> None:
        """Give up what has waited too long. Under the lock."""
        old = self._store.take_older(self._clock() - self._settings.max_age)
        if old:
            give_up_old(self._books, self._settings, old)
            if not self._store:
                self._changed.notify_all()


def _refused(undelivered: Undelivered | None) -> bool:
    """Whether the next trial is another batch's: a gateway may time out over this one alone, for ever."""
    return undelivered is not None and undelivered.refused_at_once
