"""Servers that no library would write: they speak TCP, and badly. Real sockets on loopback."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing resets the connection."""


class Hostile:
    """A listening socket whose connections are each given to `behave` on a thread of its own.

    Attributes:
        received: The bytes of each connection, in the order of the connections.
        woken: Set it to let those who wait for it go on.
    """

    def __init__(
        self, behave: Callable[[Hostile, socket.socket, bytearray], None], backlog: int = 16
    ) -> None:
        self.received: list[bytearray] = []
        self.woken = threading.Event()
        self._behave = behave
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(backlog)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._threads: list[threading.Thread] = []

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            got = bytearray()
            self.received.append(got)
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, got), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, got: bytearray) -> None:
        # A client that goes away, or the end of the test, is what these servers are for.
        with contextlib.suppress(OSError):
            self._behave(self, connection, got)
        connection.close()

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.woken.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def read_request(connection: socket.socket, got: bytearray) -> bool:
    """Read one HTTP request with a Content-Length into `got`, from where it ends now; whether it came whole."""
    start = len(got)
    while True:
        head, end, body = bytes(got[start:]).partition(b"\r\n\r\n")
        if end:
            lengths = [
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ]
            if len(body) >= (lengths[0] if lengths else 0):
                return True
        part = connection.recv(65536)
        if not part:
            return False
        got += part


def answering(raw: bytes) -> Callable[[Hostile, socket.socket, bytearray], None]:
    """Every request of a connection gets `raw`."""

    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        while not server.woken.is_set():
            before = len(got)
            read_request(connection, got)
            if len(got) == before:
                return
            connection.sendall(raw)

    return behave


def lead_on(connection: socket.socket, port: int) -> None:
    """What a proxy does behind its CONNECT: all that comes goes to `port` of this machine, and back."""
    with socket.create_connection(("127.0.0.1", port)) as onward:
        back = threading.Thread(target=_pump, args=(onward, connection), daemon=True)
        back.start()
        _pump(connection, onward)
        back.join(5)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may go
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def hang_on_answer(server: Hostile, connection: socket.socket, got: bytearray) -> None:
    """Reads all there is and never says a word."""
    while part := connection.recv(65536):
        got += part


def never_read(server: Hostile, connection: socket.socket, got: bytearray) -> None:
    """Takes the connection and reads nothing until it is woken; then all there is."""
    server.woken.wait(60)
    hang_on_answer(server, connection, got)


def drip(server: Hostile, connection: socket.socket, got: bytearray) -> None:
    """Answers one byte every 20 ms: each read of a client succeeds in time, the answer never ends."""
    read_request(connection, got)
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100000:
        connection.sendall(bytes([byte]))
        if server.woken.wait(0.02):
            return


def reset_midway(server: Hostile, connection: socket.socket, got: bytearray) -> None:
    """Reads a little, answers half a head, and resets."""
    got += connection.recv(16)
    connection.sendall(b"HTTP/1.1 200 O")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def cut_off_head(server: Hostile, connection: socket.socket, got: bytearray) -> None:
    """Reads it all and closes in the middle of its answer's head."""
    read_request(connection, got)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-pro")


def cut_off_body(server: Hostile, connection: socket.socket, got: bytearray) -> None:
    """Reads it all and closes in the middle of its answer's body."""
    read_request(connection, got)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}")


def close_after_one(server: Hostile, connection: socket.socket, got: bytearray) -> None:
    """Answers one request as if the connection stayed open, and closes it at the next one's first byte."""
    read_request(connection, got)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    connection.recv(1)


@contextlib.contextmanager
def hang_on_connect():  # type: ignore[no-untyped-def] # noqa: ANN201 - the URL
    """A port whose queue of connections is full: a further SYN is never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)  # noqa: FBT003 - the standard library's signature
                fillers.append(filler)
                filler.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for filler in fillers:
                filler.close()


@contextlib.contextmanager
def refused():  # type: ignore[no-untyped-def] # noqa: ANN201 - the URL
    """A port that nobody listens on, and that nobody else can be given meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"
