"""How a process ends, is told to end, and splits: exit, SIGTERM, fork.

What is queued when a program ends must still leave, within the deadline. Some facts shape this module:

- CPython 3.12 starts no thread once the interpreter exits, so whatever works at exit stands by from the
  beginning: a `Standby` (`standby.py`) is one waiting thread.
- A signal handler of Python runs in the main thread between two bytecodes of whatever it interrupts. It
  must not need a lock that the interrupted code may hold. So the handler itself only puts a call on a C
  queue that may be re-entered and waits on a bare lock with a time limit; the work is done on threads
  that exist already.
- For the same reason a signal that comes in the instant before a long system call is handled after it. So
  it is with every handler in Python; nothing that we could add (a wake-up descriptor is asyncio's) is worth
  its side effects. What we wait for ourselves is waited for in short steps (`standby.py`).
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
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Protocol

import attrs

from ajolo_fanout import forks, surroundings
from ajolo_fanout.standby import GRACE, Followed, Pending

__all__ = ["Forked", "Guarded", "guard", "settle", "unguard", "watch_fork"]

_log = logging.getLogger("ajolo_fanout.process")


class Guarded(Protocol):
    """What has spans to deliver before the process ends."""

    @property
    def timeout(self) -> float:
        """Seconds that `begin_finish()` may take."""

    def begin_finish(self) -> Followed:
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
    Followed.wait_all([(one.begin_finish(), now + one.timeout + GRACE) for one in _process.guarded])


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
            pending.wait(deadline + GRACE)

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
