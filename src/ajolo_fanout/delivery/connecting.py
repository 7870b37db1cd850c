"""Opens the connections of one sender on a thread of their own, so that whoever sends can stop waiting for one.

A lookup of a name, a handshake and a proxy may hang while there is no socket yet that could be cut off, and each
address of a name has a time-out of its own. gRPC opens its connections on other threads, too.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable

from ajolo_fanout.standby import Standby

__all__ = ["Connector"]


class Connector:
    """A thread that opens one connection after another, and that nobody has to wait for."""

    def __init__(self) -> None:
        """The thread exists from now on, until `stop()`.

        Raises:
            RuntimeError: No thread can be started (any more).
        """
        self._standby = Standby("ajolo_fanout-connector")
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
        try:
            self._standby.call(attempt.run)
            return attempt.wait(timeout)
        finally:
            with self._lock:
                self._attempts.discard(attempt)

    def stop(self) -> None:
        """Let everyone who waits go, and the thread once it can; never blocks."""
        with self._lock:
            self._stopped = True
            attempts = list(self._attempts)
        for one in attempts:
            one.leave()
        self._standby.stop()


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
