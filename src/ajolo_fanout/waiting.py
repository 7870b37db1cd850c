"""Waiting in an event loop without blocking it: threads that wait in its place, and how they call back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs

from ajolo_fanout.standby import Standby

__all__ = ["Done", "Waiters", "until"]

_log = logging.getLogger("ajolo_fanout.fanout")

Done = Callable[[], None]
"""Called, from any thread and at most a moment later than it could be, when what is waited for has come."""


@attrs.define(eq=False)
class _Waiter:
    standby: Standby
    busy: int = 0


class Waiters:
    """A few threads that wait in place of event loops, made when they are first needed.

    They are not the one that stands by for the end of the process: that must be free when the end comes.
    """

    def __init__(self, name: str, most: int) -> None:
        """None yet.

        Args:
            name: What their names begin with.
            most: How many there may be.
        """
        self._name = name
        self._most = most
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a child, where no thread of the parent exists."""
        self._lock = threading.RLock()  # a signal handler may flush in the middle of a call
        self._waiters: list[_Waiter] = []
        self._stopped = False

    def call(self, work: Callable[[], object]) -> bool:
        """Have `work` run on a thread: one that is free, or a new one, or else the one with least to do.

        Returns:
            False, without having it run, after `stop()` and where no thread can be started any more.
        """
        with self._lock:
            waiter = None if self._stopped else self._free()
            if waiter is None:
                return False
            waiter.busy += 1

            def run() -> None:
                try:
                    work()
                finally:
                    with self._lock:
                        waiter.busy -= 1

            waiter.standby.call(run)
        return True

    def stop(self) -> None:
        """Let the threads end after what they were asked for."""
        self._stopped = (
            True  # without the lock: a signal handler that waits for this may have interrupted its holder
        )
        for waiter in tuple(self._waiters):
            waiter.standby.stop()

    def _free(self) -> _Waiter | None:
        least = min(self._waiters, key=lambda one: one.busy, default=None)
        if least is not None and (not least.busy or len(self._waiters) >= self._most):
            return least
        try:
            made = _Waiter(Standby(f"{self._name}-{len(self._waiters)}"))
        except RuntimeError:  # the interpreter is ending, or the process has all the threads it may have
            return least
        self._waiters.append(made)
        if self._stopped:  # since this was asked for
            made.standby.stop()
        return made


async def until(ask: Callable[[Done], object], deadline: float) -> None:
    """Wait until what was asked for is done, or until `deadline`, while the event loop goes on.

    Works in asyncio and in trio, and so in anyio on either.

    Args:
        ask: Starts it, without waiting; gets what to call when it is done.
        deadline: A `time.monotonic()` value.

    Raises:
        RuntimeError: No event loop runs.
    """
    trio = sys.modules.get("trio")
    if trio is not None and _in_task_of(trio):
        await _in_trio(trio, ask, deadline)
    else:
        await _in_asyncio(ask, deadline)


def _in_task_of(trio: Any) -> bool:
    """Whether a task of trio's runs here. trio 0.22 has no `lowlevel.in_trio_task()`."""
    try:
        trio.lowlevel.current_task()
    except (
        RuntimeError,
        AttributeError,
    ):  # none does; trio is older than `lowlevel`, or is just being imported
        return False
    return True


async def _in_asyncio(ask: Callable[[Done], object], deadline: float) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def set_result() -> None:
        if not future.done():
            future.set_result(None)

    def done() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits there any more
            loop.call_soon_threadsafe(set_result)

    ask(done)
    # Not wait_for(): a cancelled caller leaves, and what was asked for goes on, on its own thread.
    await asyncio.wait([future], timeout=max(0.0, deadline - time.monotonic()))


async def _in_trio(trio: Any, ask: Callable[[Done], object], deadline: float) -> None:
    token = trio.lowlevel.current_trio_token()
    event = trio.Event()

    def done() -> None:
        with contextlib.suppress(trio.RunFinishedError):  # nobody waits there any more
            token.run_sync_soon(event.set)

    ask(done)
    with trio.move_on_after(max(0.0, deadline - time.monotonic())):
        await event.wait()
