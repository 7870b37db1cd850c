"""urllib3 connections that keep one deadline per request and can be cut off from another thread.

urllib3's read time-out bounds one read of the socket: a server that drips a byte now and then keeps a request
alive for ever. Here every read gets what is left of the request's own deadline. The public places where
urllib3 takes other classes (`PoolManager.pool_classes_by_scheme`, `ConnectionPool.ConnectionCls`) are all
that is used.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ajolo_fanout.delivery.connecting import Connector

__all__ = ["AbortedError", "Line", "pool_classes"]

_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing discards what the kernel hasn't sent yet, and resets the connection."""


class AbortedError(ConnectionError):
    """The sender was told to stop while this request was on its way."""

    def __init__(self) -> None:
        super().__init__("stopped at the deadline of the shutdown")


class _Request(threading.local):
    """What a thread knows of the request that it makes."""

    deadline = 0.0
    fresh = False
    times = 1


class Line:
    """What the connections of one sender share: each thread's deadline, and the way to cut all off."""

    def __init__(self, connector: Connector | None = None) -> None:
        """Nothing is open yet.

        Args:
            connector: Opens the connections; without one, each is opened by the thread whose request wants it, which
                `abort()` then can't free before it stands.
        """
        self._request = _Request()
        self._connector = connector
        self._open: set[socket.socket] = set()
        self._writing: set[int] = set()
        self._lock = threading.Lock()
        self._aborted = False
        self._in_flight = 0

    @property
    def aborted(self) -> bool:
        """Whether `abort()` was called."""
        return self._aborted

    def begin(self, deadline: float) -> None:
        """This thread starts a request that must end by `deadline` (a `time.monotonic()` value).

        Raises:
            AbortedError: after `abort()`.
        """
        self._request.deadline, self._request.fresh, self._request.times = deadline, False, 1
        with self._lock:
            self.check()
            self._in_flight += 1

    def end(self) -> None:
        """The request that this thread began is over, one way or another."""
        with self._lock:
            self._in_flight -= 1
            self._writing.discard(threading.get_ident())

    def again(self) -> None:
        """This thread makes its request once more."""
        self._request.times += 1

    @property
    def times(self) -> int:
        """How often this thread has made the request that it began last."""
        return self._request.times

    @property
    def fresh(self) -> bool:
        """Whether this thread's request began to open a connection, rather than using one that was open."""
        return self._request.fresh

    def has_written(self, thread: int) -> bool:
        """Whether anything of the request that `thread` (its ident) makes has left."""
        return thread in self._writing

    def writes(self) -> None:
        """This thread's request is about to leave.

        Raises:
            AbortedError: after `abort()`; nothing may be sent then.
        """
        with self._lock:
            self.check()
            self._writing.add(threading.get_ident())

    def left(self) -> float:
        """Seconds that this thread's request still has.

        Raises:
            TimeoutError: when it has none.
        """
        left = self._request.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request's time is over")
        return left

    def check(self) -> None:
        """Go no further after `abort()`.

        Raises:
            AbortedError: after `abort()`.
        """
        if self._aborted:
            raise AbortedError

    def open(self, connection: HTTPConnection, connect: Callable[[], None]) -> None:
        """Open a connection of this line, by the deadline of this thread's request.

        Args:
            connection: The connection.
            connect: Opens it.

        Raises:
            AbortedError: when the line was cut off before it stood; nothing may be sent then.
            TimeoutError: when it doesn't stand in time.
            Exception: what `connect` raises.
        """
        self.check()
        self._request.fresh = True
        if self._connector is None:
            connect()
        elif not self._connector.open(connect, connection.close, self.left()):
            # urllib3 closes it, and the thread that is still at it isn't to begin anew, nor to read on: closing wakes
            # nobody, and a proxy that answers a byte now and then would keep it for ever.
            connection.auto_open = 0
            if connection.sock is not None:
                _shut(connection.sock)
            self.check()
            raise TimeoutError("no connection in the request's time")
        self._opened(connection)

    def _opened(self, connection: HTTPConnection) -> None:
        """A connection of this line stands: bound its reads, remember its socket."""
        raw = cast("socket.socket", connection.sock)
        with self._lock:
            if not self._aborted:
                self._open.add(raw)
                connection.sock = cast("Any", BoundedSocket(raw, self))
                return
        connection.close()
        raise AbortedError

    def closed(self, raw: socket.socket) -> None:
        """A socket of this line was closed."""
        with self._lock:
            self._open.discard(raw)

    def abort(self) -> None:
        """Cut off every open connection and let none be opened; never blocks."""
        with self._lock:
            self._aborted = True
            sockets = list(self._open) if self._in_flight else []  # idle ones are closed as usual
            self._open.clear()
        if self._connector is not None:
            self._connector.stop()
        for transport in sockets:
            raw = _plain(transport)
            # A socket that is closed already needs nothing more; its own thread finds out.
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            _shut(raw)

    def forsake(self) -> None:
        """In a forked child: take the parent's sockets out of the hands of a greenlet that was copied with it.

        It would read the parent's answers. Closing is the parent's, and would be felt at the other end.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        for transport in self._open:
            raw = _plain(transport)
            with contextlib.suppress(OSError):  # closed, as far as this process goes
                os.dup2(nothing, raw.fileno(), inheritable=False)
        os.close(nothing)
        self._open.clear()


def _plain(transport: Any) -> socket.socket:
    """What is inside urllib3's TLS within TLS; anything else, itself."""
    return cast("socket.socket", getattr(transport, "socket", transport))


def _shut(transport: Any) -> None:
    """Wake a thread that reads or writes; of a TLS socket, it takes the plain one under it."""
    with contextlib.suppress(OSError):  # closed already
        socket.socket.shutdown(_plain(transport), socket.SHUT_RDWR)


class BoundedSocket:
    """A connected socket whose every read and write ends by the deadline of the request that does it."""

    def __init__(self, raw: socket.socket, line: Line) -> None:
        self._raw = raw
        self._line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:  # noqa: ARG002
        """What `http.client` reads an answer from."""
        return io.BufferedReader(_BoundedReader(self._raw, self._line))

    def sendall(self, data: Any) -> None:
        """Write all of `data`; Python bounds the whole of it by the socket's time-out."""
        self._line.writes()
        self._raw.settimeout(self._line.left())
        self._raw.sendall(data)

    def close(self) -> None:
        """Close it, once nobody reads from it any more."""
        self._line.closed(self._raw)
        self._raw.close()


_INTERIM = re.compile(rb"HTTP/1\.[0-9] 1[0-9][0-9]")
"""A status that is no answer yet. Nobody asks for 101: what follows it will be no HTTP, and an error."""

_STATUS_BYTES = len(b"HTTP/1.1 100")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LONGEST_HEAD = 64 * 1024
_PART = 8192


class _BoundedReader(io.RawIOBase):
    """One answer from its final head on, which must be whole: to `http.client` "HTTP/1.1 200" is a success."""

    def __init__(self, raw: socket.socket, line: Line) -> None:
        self._raw = raw
        self._stream = raw.makefile("rb", buffering=0)  # keeps the socket open until this is closed, too
        self._line = line
        self._begun = False
        self._ready = b""  # received and not handed out
        self._head: bytes | None = b""  # until it is complete

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._begun:
            self._begun = True
            self._ready = self._beginning()
        part = self._ready[: len(buffer)] or self._receive(len(buffer))
        self._ready = self._ready[len(part) :]
        buffer[: len(part)] = part
        if self._head is not None:
            if not part and self._head:
                raise ConnectionResetError("the answer was cut off in its head")
            self._head += part
            if _END_OF_HEAD.search(self._head):
                self._head = None
        return len(part)

    def _beginning(self) -> bytes:
        """The first bytes of the final answer; the interim ones (102, 103…) before it are read over.

        `http.client` reads over 100 alone: it would take any other for the answer, and the one that follows
        for the next request's.
        """
        got = self._receive(_PART)
        while got and (_INTERIM.match(got) or (len(got) < _STATUS_BYTES and b"\n" not in got)):
            end = _END_OF_HEAD.search(got)
            if end is not None:
                got = got[end.end() :] or self._receive(_PART)
                continue
            more = self._receive(_PART)
            if not more or len(got) > _LONGEST_HEAD:
                break  # cut off, or no head at all: `http.client` is to say so
            got += more
        return got

    def _receive(self, most: int) -> bytes:
        self._raw.settimeout(self._line.left())
        return self._stream.read(most) or b""

    def close(self) -> None:
        self._stream.close()
        super().close()


def pool_classes(line: Line) -> dict[str, Any]:
    """Connection pools on `line` by URL scheme, for `PoolManager.pool_classes_by_scheme`."""

    class PlainConnection(HTTPConnection):
        def connect(self) -> None:
            line.open(self, super().connect)

    class TlsConnection(HTTPSConnection):
        def connect(self) -> None:
            line.open(self, super().connect)
            # Where verification is switched off, the plan has said so; urllib3 need not warn at each request.
            self.is_verified = True

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": PlainPool, "https": TlsPool}
