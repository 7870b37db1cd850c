"""Threads that exist from the start and wait to be asked, for when none can be started and no lock be taken."""

from __future__ import annotations

import logging
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs

__all__ = ["GRACE", "LONGEST_WAIT", "Followed", "Pending", "Standby"]

_log = logging.getLogger("ajolo_fanout.process")

_Answer = TypeVar("_Answer")

GRACE = 0.25
"""Seconds beyond a deadline for who works to it to say that it is done."""

LONGEST_WAIT = 0.1
"""Seconds. A signal that comes in the instant before the main thread waits, or to another thread, doesn't end the
wait: its handler, which may bring the end forward, runs after it. So the main thread waits in steps."""


class Pending:
    """One call that a `Standby` was asked for."""

    __slots__ = ("_done", "_work")

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._done = threading.Lock()
        self._done.acquire()

    def run(self) -> None:
        """Make the call; what it raises is logged."""
        try:
            self._work()
        except Exception:
            # The standby must outlive any call, and there is no caller left to raise into.
            _log.exception("delivering at the end of the process failed")
        finally:
            self._done.release()

    def wait(self, deadline: float) -> bool:
        """Wait until the call has returned or `deadline` (a `time.monotonic()` value) has passed."""
        while not self._done.acquire(timeout=min(max(deadline - time.monotonic(), 0.0), LONGEST_WAIT)):
            if time.monotonic() >= deadline:
                return False
        self._done.release()  # for whoever else waits
        return True


@attrs.frozen
class Followed:
    """A call that counts, and one after it that is given a moment."""

    first: Pending
    second: Pending

    def wait(self, deadline: float) -> bool:
        """As `Pending.wait()`, for the first; the second gets `GRACE` then."""
        done = self.first.wait(deadline)
        self.second.wait(time.monotonic() + GRACE)
        return done

    @staticmethod
    def wait_all(asked: Sequence[tuple[Followed, float]]) -> None:
        """Wait for several, each until its own deadline; what comes after gets one `GRACE`, all together."""
        for one, deadline in asked:
            one.first.wait(deadline)
        end = time.monotonic() + GRACE
        for one, _ in asked:
            one.second.wait(end)


class Standby:
    """A thread that waits to be asked, for calls made where no thread can be started and no lock taken."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start()

    def _start(self) -> None:
        self._calls: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._closed = self._answering = False
        self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], object]) -> Pending:
        """Have `work` run on the thread.

        Takes no lock of Python's: the queue is C code that may interrupt itself, so this may be called in a
        signal handler. Asked from within a call, or after `stop()`, it runs at once, on the caller's thread.
        """
        pending = Pending(work)
        if threading.current_thread() is self._thread:
            pending.run()  # waiting for ourselves would never end
            return pending
        self._calls.put(pending)
        if self._closed:
            self._empty()
        return pending

    def answer(self, call: Callable[[], _Answer]) -> _Answer:
        """What `call` returns, made on the thread and waited for; raises what it raises.

        For one caller's thread. Where an earlier one is still under way (a signal handler came in between, or
        Ctrl-C), it is made on the caller's thread, and so it is where no thread runs any more.
        """
        if self._answering or sys.is_finalizing():
            return call()
        self._answering = True
        answers: list[_Answer] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                answers.append(call())
            except BaseException as error:  # the caller's, who waits for it
                errors.append(error)
            finally:
                self._answering = False

        self.call(work).wait(math.inf)
        if errors:
            raise errors[0]
        return answers[0]

    @property
    def busy(self) -> bool:
        """Whether it still works at an `answer()`, so that another would be made on the caller's thread."""
        return self._answering and not sys.is_finalizing()

    def stop(self) -> None:
        """Let the thread end after the calls it was already asked for."""
        self._calls.put(None)

    def after_fork(self) -> None:
        """Start over in a child, where no thread of the parent exists."""
        self._start()

    def end_in_child(self) -> None:
        """In a child of a process that was about to end: without a thread, as after `stop()`."""
        self._calls = queue.SimpleQueue()
        self._closed, self._answering = True, False

    def _serve(self) -> None:
        while (pending := self._calls.get()) is not None:
            pending.run()
            del pending  # or the last call would keep what it closes over alive until the next
        # Closed first, emptied then: a call put after this emptying finds `_closed` and empties for itself.
        self._closed = True
        self._empty()

    def _empty(self) -> None:
        while True:
            try:
                pending = self._calls.get_nowait()
            except queue.Empty:
                return
            if pending is not None:
                pending.run()
