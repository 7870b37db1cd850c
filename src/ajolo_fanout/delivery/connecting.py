"""Opens the connections of one sender on threads of their own, so that whoever sends can stop waiting for one.

A lookup of a name, a handshake and a proxy may hang while there is no socket yet that could be cut off, and each
address of a name has a time-out of its own. gRPC opens its connections on other threads, too.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable

from ajolo_fanout.standby import Standby

__all__ = ["Connector"]


_AT_A_TIME = 2
"""As many threads send: behind one another's slow lookups, the time of one's request would pass in a queue."""


class Connector:
    """Two threads that open one connection after another, and that nobody has to wait for."""

    def __init__(self) -> None:
        """The threads exist from now on, until `stop()`.

        Raises:
            RuntimeError: No thread can be started (any more).
        """
        self._openers: list[Standby] = []
        try:
            for number in range(_AT_A_TIME):
                self._openers.append(Standby(f"ajolo_fanout-connector-{number}"))
        except RuntimeError:
            if not self._openers:
                raise
        self._idle = list(self._openers)
        self._waiting: deque[_Attempt] = deque()
        self._lock = threading.Lock()
        self._attempts: set[_Attempt] = set()
        self._stopped = False

    def open(self, connect: Callable[[], None], close: Callable[[], None], timeout: float) -> bool:
        """Have a connection opened, and wait for it.

        Args:
            connect: Opens it; not called any more where nobody waits when its turn comes.
            close: Closes it, or what there is of it; called where it comes too late.
            timeout: Seconds to wait.

        Returns:
            Whether it is open; False after `timeout` seconds and after `stop()`.

        Raises:
            BaseException: What `connect` raises.
        """
        within = contextvars.copy_context().run  # what we send is not traced there either
        attempt = _Attempt(lambda: within(connect), close)
        with self._lock:
            if self._stopped:
                return False
            self._attempts.add(attempt)
            self._waiting.append(attempt)
            opener = self._idle.pop() if self._idle else None
        try:
            if opener is not None:
                opener.call(lambda: self._run_all(opener))
            return attempt.wait(timeout)
        finally:
            with self._lock:
                self._attempts.discard(attempt)
                if attempt in self._waiting:
                    self._waiting.remove(attempt)

    def _run_all(self, opener: Standby) -> None:
        """What waits, on the thread of `opener`, which is idle then."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._idle.append(opener)
                    return
                attempt = self._waiting.popleft()
            attempt.run()

    def stop(self) -> None:
        """Let everyone who waits go, and the threads once they can; never blocks."""
        with self._lock:
            self._stopped = True
            attempts = list(self._attempts)
        for one in attempts:
            one.leave()
        for opener in self._openers:
            opener.stop()


class _Attempt:
    """One connection that is to be opened."""

    def __init__(self, connect: Callable[[], None], close: Callable[[], None]) -> None:
        self._over = threading.Event()
        self._connect = connect
        self._close = close
        self._lock = threading.Lock()
        self._done = False
        self._left = False  # nobody waits any more
        self._error: BaseException | None = None

    def run(self) -> None:
        """Open it, if anybody waits."""
        if self._is_left():
            return
        try:
            self._connect()
        except BaseException as error:  # raised again where it is waited for
            self._error = error
        with self._lock:
            self._done = True
        self._over.set()
        if self._is_left():
            self._error = None
            with contextlib.suppress(Exception):  # a connection, or half of one, that nobody knows of
                self._close()

    def _is_left(self) -> bool:
        # Asked, not read: it changes between two looks, which a type checker can't know.
        return self._left

    def leave(self) -> None:
        """Wait no more; nothing, where it is open already or has failed."""
        with self._lock:
            self._left = self._left or not self._done
        self._over.set()

    def wait(self, timeout: float) -> bool:
        """Wait until it is open; False where that took too long. Raises what opening it raised."""
        self._over.wait(min(timeout, threading.TIMEOUT_MAX))
        self.leave()
        if self._left:
            return False
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame, and with it the body of the request
        return True
