"""The router: one thread that takes what ends from the inbox, and gives it to the distributor.

It sleeps, drains, stops, starts over in a forked child; what becomes of a span is the distributor's business.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.health.say import Teller
from ajolo_fanout.pipeline.distributor import Distributor
from ajolo_fanout.pipeline.inbox import Inbox, Mark
from ajolo_fanout.pipeline.lanes import Lane
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.pipeline.whole import Whole

__all__ = ["Lane", "Router"]

_log = logging.getLogger("ajolo_fanout.pipeline")

_CHUNK = 512
_GATHER = 0.05
"""Seconds for which the router lets spans gather, so that a busy program is not interrupted for each."""


class Router:
    """Takes spans from an inbox to lanes, on a daemon thread of its own.

    `drain()` and `stop()` may be called by any number of threads at once. Deadlines are `time.monotonic()`
    values.
    """

    def __init__(
        self,
        inbox: Inbox,
        lanes: Sequence[Lane],
        *,
        teller: Teller | None = None,
        starts: Starts | None = None,
        bounds: BufferSettings | None = None,
        weighs: bool = True,
        look: Callable[[ReadableSpan], bool] | None = None,
    ) -> None:
        """A router that doesn't run yet.

        Args:
            inbox: Where the spans come from.
            lanes: Where they go, one a backend.
            teller: Where an operator is told of failing steps; by default the log, once a minute per backend.
            starts: Who notes spans at their start, for the lanes that need whole traces.
            bounds: Of the trace buffer.
            weighs: Whether weights are claimed: not where another's sampler decides what is recorded.
            look: Is shown every span until it has seen enough, which it says. Raises nothing.
        """
        self._inbox = inbox
        self._starts = starts or Starts()
        self._whole = Whole(bounds or BufferSettings(), self._starts, weighs=weighs)
        self._distributor = Distributor(
            lanes, self._whole, self._starts, teller or Teller(_log), weighs=weighs, look=look
        )
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def encoded(self) -> int:
        """How many times a span was encoded: with one shape, once a span, however many backends there are."""
        return self._distributor.encoded

    @property
    def whole(self) -> Whole:
        """The lanes that need whole traces; with an empty buffer where there are none."""
        return self._whole

    # Start, drain, stop, fork.

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="ajolo-fanout-router", daemon=True)
            self._thread.start()

    def drain(self, deadline: float) -> bool:
        """Wait until everything that was put before this call has been offered.

        Returns:
            Whether that was so by the deadline.
        """
        return self._pass(Mark(), deadline)

    def stop(self, deadline: float) -> bool:
        """Take no more spans, offer those that are there, and end the thread.

        What hasn't been offered by the deadline, because a step hangs, is counted as lost, reason `shutdown`.

        Returns:
            Whether everything was offered by the deadline.
        """
        self._inbox.close()
        self._stopped = True
        done = self._pass(Mark(last=True), deadline)
        if not done:
            self._abandon()
            self._inbox.mark(Mark(last=True))  # for the thread to end at, should it ever come back
        return done

    def after_fork(self) -> None:
        """In a forked child: start over with an empty inbox and a thread of its own."""
        self._distributor.after_fork()
        self._starts.lose_what_comes()
        self._whole.buffer.clear()
        self._inbox.after_fork()
        if self._stopped:
            self._inbox.close()
        if self._thread is not None:
            self._thread = None
            self.start()

    def forsake(self) -> None:
        """In a forked child where the parent's greenlets live on: ours is to end when it wakes up.

        What ends from now on waits in the inbox, for the router that takes this one's place.
        """
        self._thread = None
        self._whole.buffer.clear()
        self._inbox.after_fork()

    def give_up(self) -> list[Any]:
        """What waits in the inbox, for the router that takes this one's place; what is held goes on to the gates."""
        waiting = self._inbox.rest()
        if self._whole.buffer.spans:
            self._distributor.give_ruled(self._whole.everything())
        return waiting

    def _pass(self, mark: Mark, deadline: float) -> bool:
        thread = self._thread
        if thread is None or not thread.is_alive():
            return len(self._inbox) == 0
        if thread is threading.current_thread():
            return False  # a step of the user's own that flushes: it would wait for itself
        self._inbox.mark(mark)
        while not mark.reached.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if not thread.is_alive():  # it ended at another's last mark, before this one was put
                return mark.reached.is_set() or not self._abandon()
            if time.monotonic() >= deadline:
                return False
        return True

    def _abandon(self) -> int:
        """Count what is still in the inbox, or held, as lost; how many that were."""
        lost = held = self._whole.buffer.abandon()
        for work in self._distributor.works:
            if work.kind is not None and held:
                work.lane.ledger.lost("shutdown", held)
        while len(self._inbox):
            spans, _ = self._take()
            lost += len(spans)
            for work in self._distributor.works:
                work.lane.ledger.lost("shutdown", len(spans))
        self._starts.lose_what_comes()
        return lost

    # The thread.

    def _run(self) -> None:
        me = threading.current_thread()
        while self._thread is me and not self._turn():
            pass

    def _turn(self) -> bool:
        """Sleep, then take what is there through the steps; whether the router ends."""
        ends = False
        try:
            self._inbox.wait(_CHUNK, _GATHER, self._whole.patience())
            if self._thread is None:  # forsaken
                return True
            left = len(self._inbox)
            while left > 0 or (ends and len(self._inbox)):  # at the end, everybody else's marks, too
                spans, mark = self._take()
                left -= _CHUNK if mark is None else len(spans) + 1
                if spans:
                    self._distributor.route(spans)
                if mark is not None:
                    ends = ends or mark.last
                    if mark.last:
                        self._starts.end_all()
                        self._distributor.give_ruled(self._whole.everything())
                    mark.reached.set()
            self._distributor.give_ruled(self._whole.due())
        except BaseException:  # the router is everybody's: whatever it is, the next span gets its chance
            _log.exception("the router stumbled; it goes on")
            time.sleep(_GATHER)
        return ends

    def _take(self) -> tuple[list[Any], Mark | None]:
        """A chunk of the inbox, counted as seen by every backend in the same moment."""
        with self._inbox.moving:
            items, mark = self._inbox.take(_CHUNK)
            for work in self._distributor.works if items else ():
                work.lane.ledger.seen(len(items))
        return items, mark
