"""How a process ends, is told to end, and splits: exit, SIGTERM, fork.

What is queued when a program ends must still leave, within the deadline. Some facts shape this module:

- CPython 3.12 starts no thread once the interpreter exits, so whatever works at exit stands by from the
  beginning: `Standby` is one waiting thread.
- A signal handler of Python runs in the main thread between two bytecodes of whatever it interrupts. It
  must not need a lock that the interrupted code may hold. So the handler itself only puts a call on a C
  queue that may be re-entered and waits on a bare lock with a time limit; the work is done on threads
  that exist already.
- For the same reason a signal that comes in the instant before a long system call is handled after it. So
  it is with every handler in Python; nothing that we could add (a wake-up descriptor is asyncio's) is worth
  its side effects.
- uvicorn, and gunicorn's workers, put a handler of their own in place, drain their requests after the
  signal, and uvicorn then restores what it found and raises the signal again. Whoever ends everything in
  the handler loses what ends during that drain; whoever chains plainly dies before `atexit`. What works:
  call the server's handler, hold SIGTERM back in this thread, deliver at exit, let it go.
- gunicorn's uvicorn worker puts the default back in each worker after the fork, and with it takes away what
  was installed before: so the handler is put in place again when the child's main thread first traces.
- Children of `multiprocessing` leave by `os._exit()`: `atexit` is skipped, its own finalizers are not. Celery's
  pool processes do so, too, after a signal of Celery's own.
- Where threads are greenlets, a handler may run in gevent's hub, which can't wait: a greenlet does it then.
- uWSGI has handlers of its own, in C, and calls `atexit` in its workers: its signals are left alone.

SIGINT is left alone: Python turns it into KeyboardInterrupt, and the program ends through `atexit`.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import queue
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Protocol, TypeVar

import attrs

from ajolo_fanout import forks, surroundings

__all__ = ["Followed", "Forked", "Guarded", "Pending", "Standby", "guard", "settle", "unguard", "watch_fork"]

_log = logging.getLogger("ajolo_fanout.process")

_Answer = TypeVar("_Answer")

_GRACE = 0.25
"""Seconds beyond a guarded object's own deadline: it ends by that deadline, and needs a moment to say so."""


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
        left = min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
        if not self._done.acquire(timeout=left):
            return False
        self._done.release()  # for whoever else waits
        return True


@attrs.frozen
class Followed:
    """A call that counts, and one after it that is given a moment."""

    first: Pending
    second: Pending

    def wait(self, deadline: float) -> bool:
        """As `Pending.wait()`, for the first; the second gets `_GRACE` then."""
        done = self.first.wait(deadline)
        self.second.wait(time.monotonic() + _GRACE)
        return done


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


class Guarded(Protocol):
    """What has spans to deliver before the process ends."""

    @property
    def timeout(self) -> float:
        """Seconds that `begin_finish()` may take."""

    def begin_finish(self) -> Pending | Followed:
        """Start to deliver and stop, on a thread that exists; takes no lock."""

    def begin_flush(self) -> Pending:
        """Start to deliver without stopping, on a thread that exists; takes no lock."""


class Forked(Protocol):
    """What has to start over in a forked child."""

    def after_fork(self) -> None:
        """Begin again, with counts from zero."""


@attrs.define
class _Process:
    """What this module knows of the process it is in."""

    guarded: tuple[
        Guarded, ...
    ] = ()  # replaced as a whole, never changed: the handler reads it without a lock
    forked: weakref.WeakSet[Forked] = attrs.field(factory=weakref.WeakSet)
    hooked: bool = False
    fork_hooked: bool = False
    forked_unsettled: bool = False  # a child whose signal handlers may have been replaced
    ending: bool = False
    holding: bool = False
    told_again: bool = False
    said_no_signal: bool = False


class _Anchor:
    """An object that multiprocessing can hold weakly for its hook in forked children."""


_process = _Process()
_lock = threading.RLock()  # a signal handler of the program's own may shut down in the middle of a shutdown
_anchor = _Anchor()


def guard(one: Guarded) -> None:
    """Deliver for `one` at exit, at the exit of a child of multiprocessing, and on SIGTERM."""
    with _lock:
        if not any(one is other for other in _process.guarded):
            _process.guarded = (*_process.guarded, one)
        _hook_exit()
    _hook_sigterm()


def unguard(one: Guarded) -> None:
    """Stop caring for `one`; after the last, the handler of SIGTERM that was there before is put back."""
    with _lock:
        _process.guarded = tuple(other for other in _process.guarded if other is not one)
        last = not _process.guarded
    if last and not _process.ending and surroundings.in_main_thread():
        current = signal.getsignal(signal.SIGTERM)
        if isinstance(current, _Handler):
            signal.signal(signal.SIGTERM, current.previous)


def watch_fork(one: Forked) -> None:
    """Call `one.after_fork()` in every forked child, for as long as `one` exists."""
    with _lock:
        _process.forked.add(one)
        if not _process.fork_hooked:
            _process.fork_hooked = True
            forks.in_child(_in_forked_child)


def settle(one: Guarded) -> None:
    """In the main thread of a forked child that is at work: put the handler of SIGTERM in place again."""
    if _process.forked_unsettled and any(one is other for other in _process.guarded):
        _process.forked_unsettled = False
        _hook_sigterm()


# -- exit --------------------------------------------------------------------------------------------------


def _hook_exit() -> None:
    _hook_celery()
    if _process.hooked:
        return
    _process.hooked = True
    atexit.register(_at_exit)
    # Loaded now, not at import: only a program that installs needs it, and at exit it would be too late.
    from multiprocessing import parent_process, util

    util.register_after_fork(_anchor, _in_child_of_multiprocessing)
    if parent_process() is not None:  # a spawn or forkserver child that installs for itself
        _in_child_of_multiprocessing(_anchor)


def _in_child_of_multiprocessing(_: _Anchor) -> None:
    from multiprocessing import util

    # After the feeder threads of multiprocessing's queues (-5): they may run code that traces.
    util.Finalize(None, _at_exit, exitpriority=-100)


def _hook_celery() -> None:
    """Deliver when a process of Celery's prefork pool ends, where Celery is there."""
    signals = sys.modules.get("celery.signals")
    ends = getattr(signals, "worker_process_shutdown", None)
    if ends is not None:
        ends.connect(_in_pool_of_celery, weak=False, dispatch_uid=__name__)


def _in_pool_of_celery(**_: object) -> None:
    _at_exit()


def _at_exit() -> None:
    forks.notice()
    _process.ending = True
    try:
        _finish_all()
    finally:
        _release_sigterm()
        if _process.told_again:
            _die(signal.SIGTERM)


def _finish_all() -> None:
    """Have everything guarded deliver and stop, side by side; returns by the latest deadline."""
    now = time.monotonic()
    asked = [(one.begin_finish(), now + one.timeout + _GRACE) for one in _process.guarded]
    for pending, deadline in asked:
        pending.wait(deadline)


# -- SIGTERM -----------------------------------------------------------------------------------------------


class _Handler:
    """Our handler of SIGTERM, and the one that was there before it."""

    def __init__(self, previous: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
        self.previous = previous

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if callable(self.previous):
            # A server: it drains now and ends the program its own way. If this raises (SystemExit), the
            # program unwinds, and exit delivers.
            self.previous(number, frame)
            _hold_sigterm()
        elif _process.ending and _process.guarded:
            _process.told_again = True  # while an earlier one, or the exit, is delivering: that ends soon
        elif surroundings.threads_are_greenlets():
            surroundings.spawn(partial(self._deliver, number))
        else:
            self._deliver(number)

    def _deliver(self, number: int) -> None:
        if os.getpid() == 1:
            self._deliver_and_stay()
        else:
            self._deliver_and_die(number)

    def _deliver_and_stay(self) -> None:
        """The first process of a container: the kernel ignores a default SIGTERM there, and so do we."""
        now = time.monotonic()
        for pending, deadline in [(one.begin_flush(), now + one.timeout) for one in _process.guarded]:
            pending.wait(deadline + _GRACE)

    def _deliver_and_die(self, number: int) -> None:
        _process.ending = True
        _finish_all()
        _die(number)


def _die(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _hook_sigterm() -> None:
    if surroundings.uwsgi() is not None:
        return
    if not surroundings.in_main_thread():
        if not _process.said_no_signal:
            _process.said_no_signal = True
            _log.info(
                "installed outside the main thread, where Python sets no signal handler: on SIGTERM, what is "
                "queued is delivered only if the program ends through its normal exit"
            )
        return
    current = signal.getsignal(signal.SIGTERM)
    if isinstance(current, _Handler) or current is None or current is signal.SIG_IGN:
        return  # ours already; set by C code, which only that code can call; ignored, and so it stays
    signal.signal(signal.SIGTERM, _Handler(current))  # type: ignore[arg-type]


def _hold_sigterm() -> None:
    """Keep the SIGTERM that uvicorn raises after its drain from ending the program before its exit.

    Only in this thread: one sent from outside reaches another thread, and this handler, as ever.
    """
    if hasattr(signal, "pthread_sigmask") and _process.guarded and not _process.ending:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        _process.holding = True


def _release_sigterm() -> None:
    if _process.holding:
        _process.holding = False
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


# -- fork --------------------------------------------------------------------------------------------------


def _in_forked_child() -> None:
    global _lock  # noqa: PLW0603 - a lock that another thread held at the fork stays locked for ever
    _lock = threading.RLock()
    _process.ending = _process.told_again = False
    _process.forked_unsettled = True
    _hook_celery()
    _release_sigterm()
    for one in list(_process.forked):
        _start_over(one)


def _start_over(one: Forked) -> None:
    try:
        one.after_fork()
    except Exception:
        # Raised here it would only be printed by the interpreter; the others must still start over.
        _log.exception("starting over after a fork failed")
