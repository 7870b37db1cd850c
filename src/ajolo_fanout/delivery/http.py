"""Sends requests by HTTP with urllib3: no redirects, no silent retries, nothing ambient but proxies."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import attrs
import urllib3
from urllib3.util import Timeout

from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.delivery.connecting import Connector
from ajolo_fanout.delivery.connection import Line, pool_classes
from ajolo_fanout.delivery.headers import reveal, user_agent
from ajolo_fanout.delivery.http_outcome import http_outcome, unreachable
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.delivery.proxy import proxy_for
from ajolo_fanout.delivery.rotation import renewed_context, with_current_keys
from ajolo_fanout.delivery.tls import TlsFiles
from ajolo_fanout.otlp.compress import Compression, compress, decompress
from ajolo_fanout.values import Secret

__all__ = ["HttpSender", "exchange", "pool_manager"]

_MOST_OF_A_BODY = 1024**2
"""Bytes of an answer that are read, before and after it is inflated. OTLP's own are tiny, even with a reason for each
span that was refused; what is longer is cut off with its connection."""

_UNREADABLE = b"a body that isn't of the content-encoding it names"


class HttpSender:
    """One backend's HTTP connections.

    Made without any I/O; connections are opened at the first request of a process, and opened anew after a
    fork. Two threads may send at a time: the SDK's export thread and the one that sends again. After `start()`,
    neither can be held up beyond `abort()` by what hangs before a connection stands.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, Secret],
        reading: Reading,
        *,
        tls: TlsSettings,
        compression: Compression = "none",
    ) -> None:
        """A sender of `POST url`.

        Args:
            url: The whole URL.
            headers: By name in lower case.
            reading: How the answers are read.
            tls: For `https`.
            compression: `"none"` or `"gzip"`.
        """
        self._url = url
        self._host = urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
        self._headers = headers
        self._reading = reading
        self._tls = tls
        self._tls_files = TlsFiles(tls)
        self._compression = compression
        self._fixed = {"content-type": "application/x-protobuf", "user-agent": user_agent()}
        if compression != "none":
            self._fixed["content-encoding"] = compression
        self._begin(None)

    def _begin(self, connector: Connector | None) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._line = Line(connector)
        self._manager: urllib3.PoolManager | None = None

    def start(self) -> None:
        """See `Sender`."""
        connector = None
        # Where no thread can be started, each opens its connections itself.
        with contextlib.suppress(RuntimeError):
            connector = Connector()
        self._begin(connector)

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:
        """POST `body`; see `Sender`. Once more when a key was refused and its file holds another one now."""
        if os.getpid() != self._pid:
            self._begin(None)  # the parent's sockets and threads are the parent's
        deadline = time.monotonic() + timeout
        body = compress(body, self._compression)
        return with_current_keys(self._headers, lambda: self._once(body, count, deadline))

    def _once(self, body: bytes, count: int, deadline: float) -> tuple[Outcome, dict[str, str]]:
        sent: dict[str, str] = {}
        try:
            self._line.begin(deadline)
            try:
                manager = self._pool()
                sent = reveal(self._headers)
                status, headers, answer = self._post(manager, body, {**self._fixed, **sent})
            finally:
                self._line.end()
            outcome = http_outcome(self._reading, status, headers, answer, count)
        except Exception as error:  # a request that fails in any way has an outcome, and never raises
            outcome = self._failed(error)
        return attrs.evolve(outcome, times=self._line.times), sent

    def _failed(self, error: Exception) -> Outcome:
        if isinstance(error, UnicodeEncodeError):
            # urllib3 writes header values as Latin-1. The value is a secret, so only the fact is told.
            return Outcome("rejected", "header", "a header holds a character that HTTP can't carry")
        if isinstance(error, (urllib3.exceptions.LocationValueError, ValueError)) and not isinstance(
            error, (OSError, urllib3.exceptions.HTTPError)
        ):
            text = self._reading.mask(str(error))
            return Outcome("rejected", type(error).__name__, f"the request can't be built: {text}")
        shown = not self._is_tls() or self._tls.cert_file is not None
        return unreachable(self._reading, error, self._host, certificate=shown)

    def _post(
        self, manager: urllib3.PoolManager, body: bytes, headers: dict[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        line = self._line
        try:
            return self._exchange(manager, body, headers)
        except (urllib3.exceptions.ProtocolError, ConnectionError):
            if line.fresh or line.aborted:
                raise
            # The server had closed a connection that was kept open, most likely while it was idle: on a new
            # one, once. It may have closed it over this request, too; nothing tells the two apart.
            line.again()
            return self._exchange(manager, body, headers)

    def _exchange(
        self, manager: urllib3.PoolManager, body: bytes, headers: dict[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        return exchange(manager, self._line, "POST", self._url, headers, body)

    def _pool(self) -> urllib3.PoolManager:
        """The connections, made anew when certificates were rotated.

        Raises:
            OSError: when the TLS files can't be read and never could.
        """
        with self._lock:
            if self._manager is not None and not (self._is_tls() and self._tls_files.changed()):
                return self._manager
            context: ssl.SSLContext | None = None
            if self._is_tls():
                in_use = self._manager is not None
                try:
                    context = renewed_context(self._tls, self._tls_files, self._host, in_use=in_use)
                except OSError as error:
                    raise _UnusableTls(error) from error
                if context is None and self._manager is not None:
                    return self._manager
            old, self._manager = self._manager, pool_manager(self._url, self._line, context)
        if old is not None:
            old.clear()
        return self._manager

    def _is_tls(self) -> bool:
        return self._url.startswith("https://")

    def may_have_arrived(self, thread: int) -> bool:
        """See `Sender`."""
        return self._line.has_written(thread)

    def abort(self) -> None:
        """Reset the connections in flight; refuse everything from now on."""
        self._line.abort()

    def forsake(self) -> None:
        """See `Sender`."""
        self._line.forsake()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            manager, self._manager = self._manager, None
        if manager is not None:
            manager.clear()


class _UnusableTls(ssl.SSLError):
    """The TLS files can't be used: no request can be made with these settings."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"`tls` can't be used: {error}")


def exchange(
    manager: urllib3.PoolManager,
    line: Line,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> tuple[int, Mapping[str, str], bytes]:
    """One request on `line`, which has begun one: status, headers, and the body or its beginning.

    Raises:
        Exception: whatever urllib3 raises where no answer came.
    """
    response = manager.urlopen(
        method,
        url,
        body=body,
        headers=headers,
        retries=False,
        redirect=False,
        timeout=Timeout(total=line.left()),
        preload_content=False,
    )
    try:
        answer = decompress(
            _received(response), response.headers.get("content-encoding", ""), _MOST_OF_A_BODY
        )
    except (ValueError, urllib3.exceptions.DecodeError):
        # The server has answered, and would answer the same again: the status counts, and whether it is a page.
        answer = _UNREADABLE
    return response.status, response.headers, answer


def _received(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body as it came, or its beginning.

    Raises:
        urllib3.exceptions.DecodeError: it names more encodings than urllib3 takes, which looks in any case.
    """
    whole = False
    received = b""
    try:
        while not whole and len(received) < _MOST_OF_A_BODY:
            # Not inflated there: before urllib3 2.6 three megabytes become three gigabytes of memory.
            part = response.read(_MOST_OF_A_BODY - len(received), decode_content=False)
            whole = not part
            received += part
    finally:
        if whole:
            response.release_conn()
        else:
            response.close()
    return received


def pool_manager(url: str, line: Line, context: ssl.SSLContext | None) -> urllib3.PoolManager:
    """Connections to `url` on `line`, by the proxy that the environment names for it.

    Args:
        url: Where the requests go.
        line: Keeps their deadlines.
        context: For `https`; None for plain connections.
    """
    options: dict[str, Any] = {"maxsize": 2} if context is None else {"maxsize": 2, "ssl_context": context}
    proxy = proxy_for(url, os.environ)
    manager = urllib3.PoolManager(num_pools=2, **options) if proxy is None else _proxied(proxy, options)
    manager.pool_classes_by_scheme = pool_classes(line)
    return manager


def _proxied(proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    parts = urllib.parse.urlsplit(proxy)
    headers = None
    if parts.username is not None:
        credentials = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=credentials)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return urllib3.ProxyManager(bare, num_pools=2, proxy_headers=headers, **options)
