"""The HTTP side of an embedded server: HTTP/1.1 with keep-alive, gzip, TLS, one thread a connection."""

from __future__ import annotations

import contextlib
import errno
import gzip
import selectors
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from ajolo_fanout.testing.answers import Answer, ReceivedRequest

if TYPE_CHECKING:
    from ajolo_fanout.testing.tls import Tls

__all__ = ["HttpFront"]

Exchange = Callable[[ReceivedRequest], "Answer | None"]


class HttpFront:
    """Accepts connections on loopback from construction until `stop()`.

    `exchange` gets every complete request and gives the answer, or None to close the connection without one.
    """

    def __init__(self, exchange: Exchange, tls: Tls | None, port: int = 0) -> None:
        self.exchange = exchange
        self.refused: list[str] = []
        self._context = tls.server_context() if tls else None
        if self._context is not None:
            self._context.sslsocket_class = _Channel
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._wake_reader, self._wake_writer = socket.socketpair()
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name=f"otlp-server-{self.port}", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Close every connection and wait for every thread."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        self._wake_writer.send(b"x")
        self._acceptor.join()
        with self._lock:
            for connection in self._connections:
                _shut(connection)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, self._wake_reader, self._wake_writer):
            one.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while True:
                selector.select()
                with self._lock:
                    if self._stopping:
                        return
                try:
                    connection, _ = self._listener.accept()
                except (BlockingIOError, ConnectionError):
                    continue  # the client went away between the two calls
                connection.setblocking(True)  # noqa: FBT003 - the socket's own signature
                thread = threading.Thread(
                    target=self._serve,
                    args=(connection,),
                    name=f"otlp-server-{self.port}-connection",
                    daemon=True,
                )
                with self._lock:
                    self._connections.add(connection)
                self._threads = [one for one in self._threads if one.is_alive()]
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        channel = connection
        try:
            # Nagle's algorithm and delayed acknowledgements together cost 40 ms a request.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                # By hand, because wrap_socket() detaches the socket that stop() has to be able to shut.
                channel = self._context.wrap_socket(
                    connection.dup(), server_side=True, do_handshake_on_connect=False
                )
                channel.do_handshake()
            _Handler(channel, ("127.0.0.1", self.port), self)
        except OSError as error:
            if not _is_of_the_connection(error):
                raise
            if not self._stopping:
                self.refused.append(f"{type(error).__name__}: {error}")
        finally:
            if channel is not connection:
                channel.close()
            _shut(connection)
            with self._lock:
                self._connections.discard(connection)
                connection.close()  # under the lock: stop() must not shut a number used again by then


class _Channel(ssl.SSLSocket):
    """One that closes itself: a connection that is reset just then makes `wrap_socket()` raise, and drop it open."""

    def __del__(self) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection and writes the answers."""

    protocol_version = "HTTP/1.1"
    server_version = "ajolo-fanout-testing"
    wbufsize = -1  # head and body leave in one piece

    def __init__(self, request: socket.socket, address: tuple[str, int], front: HttpFront) -> None:
        self._front = front
        super().__init__(request, address, front)  # type: ignore[arg-type]  # handed through to .server, unused

    def _exchange(self) -> None:
        if self.headers.get("Transfer-Encoding"):
            self._send(Answer(status=411, message="Content-Length wanted"), close=True)
            return
        length = int(self.headers.get("Content-Length") or 0)
        wire = self.rfile.read(length)
        if len(wire) < length:
            raise ConnectionError(f"the client left after {len(wire)} of {length} bytes")
        try:
            body = _decompress(wire, self.headers.get("Content-Encoding", ""))
        except (OSError, EOFError, zlib.error, ValueError) as error:
            self._send(Answer(status=400, message=f"cannot decompress the body: {error}"))
            return
        answer = self._front.exchange(
            ReceivedRequest(
                protocol="http/protobuf",
                method=self.command,
                path=self.path,
                headers={name.lower(): text for name, text in self.headers.items()},
                body=body,
                wire_size=len(wire),
                at=time.monotonic(),
            )
        )
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    do_POST = do_GET = do_PUT = do_HEAD = _exchange  # noqa: N815 - the names http.server looks for

    def _send(self, answer: Answer, *, close: bool = False) -> None:
        payload = answer.payload()
        headers = answer.http_headers()
        self.send_response_only(answer.status)
        self.send_header("Server", self.server_version)
        if "date" not in {name.lower() for name in headers}:  # a script may have a clock of its own
            self.send_header("Date", self.date_time_string())
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(payload)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(payload)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: `requests` tells what came."""


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    raise ValueError(f"unknown Content-Encoding {encoding!r}")


def _is_of_the_connection(error: OSError) -> bool:
    # ENOTCONN is ssl's word, and no ConnectionError, for a connection that both sides ended before the handshake.
    return isinstance(error, ssl.SSLError | ConnectionError | TimeoutError) or error.errno == errno.ENOTCONN


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side may have been faster
        connection.shutdown(socket.SHUT_RDWR)
