"""`exporter = "stock"`: the unmodified OTLP exporters of the OpenTelemetry project, one word away.

They read `OTEL_EXPORTER_OTLP_*` when they are made, explicit arguments or not (the headers of one vendor
would reach another), so they are made with that out of their sight. What they say of success is little (a
redirect is success), so what they took is counted as handed over, not as delivered.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ajolo_fanout import surroundings
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.headers import reveal
from ajolo_fanout.delivery.making import make_all
from ajolo_fanout.delivery.proxy import proxy_options
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.profiles.endpoint import is_loopback

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter

__all__ = ["StockExporter", "without_ambient_otlp"]

_log = logging.getLogger("ajolo_fanout.delivery")

_environment = threading.Lock()

_AMBIENT = "OTEL_EXPORTER_OTLP_"
_CREDENTIAL_PROVIDER = "OTEL_PYTHON_EXPORTER_OTLP_"


class StockExporter(SpanExporter):
    """A stock exporter behind the gate: takes renditions, hands on the spans they were made from."""

    def __init__(self, backend: BackendPlan, books: Books) -> None:
        self._books = books
        self._gate = books.gate
        self._ledger = books.ledger
        self._exporter: SpanExporter
        self._send: Callable[[Sequence[ReadableSpan]], SpanExportResult]
        with without_ambient_otlp():
            if backend.target.protocol == "grpc":
                grpc_exporter = _grpc(backend)
                self._exporter = grpc_exporter
                self._send = partial(surroundings.RealThreads(1).call, grpc_exporter.export)
                self._stop: Callable[[], object] = partial(grpc_exporter.shutdown, timeout_millis=0)
            else:
                self._exporter = _http(backend)
                self._send = self._exporter.export
                self._stop = self._exporter.shutdown

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand a batch over, and count what the exporter says of it."""
        if self._gate.closed:
            return SpanExportResult.FAILURE  # past the deadline; counted when the gate was closed
        renditions = make_all(self._books, cast("Sequence[Rendition]", spans))
        if not renditions:
            return SpanExportResult.FAILURE  # a step failed for each; counted there
        readable = [one.readable for one in renditions if one.readable is not None]
        size = sum(one.size for one in renditions)
        result = SpanExportResult.FAILURE
        why = "the stock exporter failed to send a batch"
        reason = "rejected"
        try:
            assert len(readable) == len(renditions), "a rendition for a stock exporter carries its span"
            self._ledger.sent(1, size)
            result = self._send(readable)
        except Exception as error:  # isolation: counted and told below
            reason = "error"
            why = f"the stock exporter raised {type(error).__name__}"
            _log.debug("%s: %s", self._books.backend, why, exc_info=True)
        count = len(renditions)
        if result is SpanExportResult.SUCCESS:
            if self._gate.settle("queue", count, size, partial(self._ledger.handed_over, count)):
                self._ledger.succeeded()
        elif self._gate.settle("queue", count, size, partial(self._ledger.lost, reason, count)):
            self._ledger.failed(why)
            self._books.tell("stock", f"{why} (its own log line says why)", count)
        return result

    def abort(self) -> None:
        """End the stock exporter's retries; what it is sending at this moment it can't take back."""
        try:
            self._stop()
        except Exception:  # isolation: the others are still to be stopped
            _log.exception("%s: the stock exporter's shutdown failed", self._books.backend)

    def shutdown(self) -> None:
        """Nothing: the outlet calls `abort()`."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is kept back here."""
        return True


def _http(backend: BackendPlan) -> SpanExporter:
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    settings, tls = backend.settings, backend.settings.tls
    session = requests.Session()
    session.auth = _no_netrc
    if tls.insecure_skip_verify:
        session.verify = False
    if is_loopback(backend.target.host):
        session.trust_env = False  # requests would ask a proxy even for this machine
    return OTLPSpanExporter(
        endpoint=backend.target.url,
        certificate_file=_text(tls.ca_file),
        client_certificate_file=_text(tls.cert_file),
        client_key_file=_text(tls.key_file),
        headers=reveal(backend.target.headers),
        timeout=float(settings.timeout),
        compression=Compression.Gzip if settings.compression == "gzip" else Compression.NoCompression,
        session=session,
    )


def _no_netrc(request: Any) -> Any:
    """An authentication that adds nothing: without any, requests would put ~/.netrc's over our header."""
    return request


def _grpc(backend: BackendPlan) -> GrpcSpanExporter:
    import grpc  # type: ignore[import-untyped]
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    settings, tls = backend.settings, backend.settings.tls
    credentials = None
    if backend.target.secure:
        cert, key = tls.cert_file, tls.key_file or tls.cert_file
        credentials = grpc.ssl_channel_credentials(
            root_certificates=None if tls.ca_file is None else Path(tls.ca_file).read_bytes(),
            private_key=None if key is None else Path(key).read_bytes(),
            certificate_chain=None if cert is None else Path(cert).read_bytes(),
        )
    return OTLPSpanExporter(
        endpoint=backend.target.url,
        insecure=not backend.target.secure,
        credentials=credentials,
        headers=reveal(backend.target.headers),
        timeout=float(settings.timeout),
        channel_options=cast("Any", proxy_options(backend.target.url, os.environ)),
        compression=grpc.Compression.Gzip
        if settings.compression == "gzip"
        else grpc.Compression.NoCompression,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


@contextlib.contextmanager
def without_ambient_otlp() -> Iterator[None]:
    """Hide `OTEL_EXPORTER_OTLP_*` for the time that an exporter is made.

    The variables are the whole process's, so this is for install time only, and one thread at a time.
    """
    with _environment:
        hidden = {
            name: value
            for name, value in os.environ.items()
            if name.startswith((_AMBIENT, _CREDENTIAL_PROVIDER))
        }
        for name in hidden:
            del os.environ[name]
        try:
            yield
        finally:
            os.environ.update(hidden)
