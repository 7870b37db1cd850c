"""Sends requests by gRPC with grpcio: bytes passed through, one channel a process, nothing shared."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import grpc  # type: ignore[import-untyped]

from ajolo_fanout import surroundings
from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.delivery.grpc_outcome import ANSWER_LIMIT, grpc_failure, grpc_success
from ajolo_fanout.delivery.headers import reveal, user_agent
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.delivery.proxy import proxy_options
from ajolo_fanout.delivery.rotation import renewed_context, with_current_keys
from ajolo_fanout.delivery.tls import TlsFiles
from ajolo_fanout.values import Secret

__all__ = ["METHOD", "GrpcSender"]

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class GrpcSender:
    """One backend's gRPC channel.

    Made without any I/O; the channel is made at the first request of a process, and made anew after a fork. A
    channel of the parent is left alone in the child: closing it there may wait for threads that don't exist.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, Secret],
        reading: Reading,
        *,
        tls: TlsSettings,
        compression: str = "none",
        timeout: float = 10.0,
    ) -> None:
        """A sender of OTLP's `Export` calls.

        Args:
            url: `http://host:port` (plain), `https://host:port` (TLS) or `unix:///path`.
            headers: Metadata by name in lower case.
            reading: How the answers are read.
            tls: For `https`.
            compression: `"none"` or `"gzip"`.
            timeout: Seconds that opening a connection may take.
        """
        parts = urllib.parse.urlsplit(url)
        self._url = url
        self._secure = parts.scheme == "https"
        self._address = url if parts.scheme == "unix" else parts.netloc
        self._headers = headers
        self._reading = reading
        self._tls = tls
        self._tls_files = TlsFiles(tls)
        self._compression = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        self._timeout = timeout
        self._threads = surroundings.RealThreads(2)  # the SDK's export thread, and the one that sends again
        self._left_behind: list[Any] = []  # channels of parent processes, kept so that nothing finalizes them
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._channel: Any = None
        self._aborted = False

    def start(self) -> None:
        """See `Sender`: no thread."""

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:
        """Call `Export`; see `Sender`. Once more when a key was refused and its file holds another now."""
        if os.getpid() != self._pid:
            if self._channel is not None:
                self._left_behind.append(self._channel)
            self._start()
        if self._left_behind and not _survives_fork(os.environ):
            return Outcome(
                "rejected",
                "fork",
                "gRPC was used before this process was forked, and GRPC_ENABLE_FORK_SUPPORT=0 leaves it "
                'without working threads here; unset that variable, or write protocol = "http/protobuf"',
            )
        deadline = time.monotonic() + timeout
        return with_current_keys(self._headers, lambda: self._once(body, count, deadline))

    def _once(self, body: bytes, count: int, deadline: float) -> tuple[Outcome, dict[str, str]]:
        sent: dict[str, str] = {}
        try:
            export = self._method()
            sent = reveal(self._headers)
            answer = self._threads.call(
                export,
                body,
                timeout=max(0.001, deadline - time.monotonic()),
                metadata=[
                    (name, text.encode() if name.endswith("-bin") else text) for name, text in sent.items()
                ],
                compression=self._compression,
            )
            return grpc_success(self._reading, cast("bytes", answer), count), sent
        except grpc.RpcError as error:
            return self._failed(error), sent
        except OSError as error:
            text = self._reading.mask(str(error))
            return Outcome("rejected", "TLS", f"`tls` can't be used: {text}", mendable=True), sent
        except Exception as error:  # a request that fails in any way has an outcome, and never raises
            if self._aborted:
                return Outcome("retry", "shutdown", "stopped at the deadline of the shutdown"), sent
            # grpcio's words on bad metadata contain it, and it is secret: only the kind is told.
            message = f"the call can't be made ({type(error).__name__}); metadata must be printable ASCII"
            return Outcome("rejected", type(error).__name__, message), sent

    def _failed(self, error: Any) -> Outcome:
        code = error.code()
        trailers = [(str(name), value) for name, value in error.trailing_metadata() or ()]
        shown = not self._secure or self._tls.cert_file is not None
        return grpc_failure(self._reading, code.name, error.details() or "", trailers, certificate=shown)

    def _method(self) -> Any:
        """The call, on a channel of this process; made anew when certificates were rotated.

        Raises:
            OSError: when the TLS files can't be used and never could.
            RuntimeError: after `abort()`.
        """
        with self._lock:
            if self._aborted:
                raise RuntimeError("aborted")
            if self._channel is None or (self._secure and self._tls_files.changed()):
                self._channel = self._fresh_channel()
            return self._channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)

    def _fresh_channel(self) -> Any:
        """A channel with the TLS files as they are now; the one at hand where those can't be used."""
        if self._secure:
            in_use = self._channel is not None
            # Tried out here: gRPC would find out with its next connection, and say little.
            if renewed_context(self._tls, self._tls_files, self._address, in_use=in_use) is None:
                return self._channel
        return self._make_channel()

    def _make_channel(self) -> Any:
        options = [
            # Its own connections: no other channel's settings or state.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", ANSWER_LIMIT),
            ("grpc.enable_retries", 0),  # redelivery is ours
            ("grpc.primary_user_agent", user_agent()),
            # A trial request must find out now, not after the two minutes of gRPC's own backoff. The
            # "minimum" is also what opening a connection may take.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.min_reconnect_backoff_ms", int(self._timeout * 1000) + 1000),
            *proxy_options(self._url, os.environ),
        ]
        if not self._secure:
            return grpc.insecure_channel(self._address, options=options)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_trusted(self._tls),
            private_key=_read(self._tls.key_file or self._tls.cert_file),
            certificate_chain=_read(self._tls.cert_file),
        )
        return grpc.secure_channel(self._address, credentials, options=options)

    def may_have_arrived(self, thread: int) -> bool:  # noqa: ARG002 - as `Sender` has it
        """See `Sender`: gRPC doesn't say."""
        return True

    def abort(self) -> None:
        """Cancel the calls in flight; refuse everything from now on."""
        self._aborted = True
        self.close()

    def forsake(self) -> None:
        """See `Sender`: the threads that make the calls are the parent's, and not copied."""

    def close(self) -> None:
        """Close the channel of this process."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None and self._pid == os.getpid():
            channel.close()


def _read(file: Path | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()


def _trusted(tls: TlsSettings) -> bytes | None:
    """The authorities: `ca_file`, or the system's trust store; None for the roots that come with grpcio."""
    if tls.ca_file is not None:
        return _read(tls.ca_file)
    if "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" in os.environ:
        return None
    paths = ssl.get_default_verify_paths()
    places = [paths.cafile, f"{paths.capath}/ca-certificates.crt" if paths.capath else None]
    for place in places:
        with contextlib.suppress(OSError):  # not there: the next one
            if place is not None:
                return Path(place).read_bytes()
    return None


def _survives_fork(environ: Mapping[str, str]) -> bool:
    """Whether gRPC set itself up for forks; it does unless it is told not to."""
    return environ.get("GRPC_ENABLE_FORK_SUPPORT", "1").strip().lower() not in ("0", "false", "no", "off")
