"""The SpanExporter behind a backend's BatchSpanProcessor: takes batches of renditions to the dispatch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ajolo_fanout.delivery.account import GateAccount
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.dispatch import Dispatch
from ajolo_fanout.delivery.making import make_all
from ajolo_fanout.delivery.redelivery import Redelivery
from ajolo_fanout.delivery.spooling import Part, Spooling
from ajolo_fanout.otlp.rendition import Rendition

__all__ = ["RenditionExporter"]


class RenditionExporter(SpanExporter):
    """What the SDK sees of our senders. Its spans are renditions; it never waits for a retry."""

    def __init__(
        self,
        books: Books,
        dispatch: Dispatch,
        redelivery: Redelivery | None,
        *,
        spooling: Spooling | None = None,
        batch_timeout: float,
    ) -> None:
        """The exporter of one backend.

        Args:
            books: Whether anything may leave any more, and where a loss is written.
            dispatch: Sends a batch.
            redelivery: Takes what is to be sent again; None where nothing is (console, file).
            spooling: The spool, for a backend that uses it.
            batch_timeout: Seconds for all requests of one batch.
        """
        self._books = books
        self._gate = books.gate
        self._dispatch = dispatch
        self._redelivery = redelivery
        self._spooling = spooling
        self._batch_timeout = batch_timeout

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or put it by to be sent again; the SDK's thread is free again then."""
        if self._gate.closed:
            return SpanExportResult.FAILURE  # past the deadline; counted when the gate was closed
        renditions = make_all(self._books, cast("Sequence[Rendition]", spans))
        if not renditions:
            return SpanExportResult.FAILURE  # a step failed for each; counted there
        again = self._redelivery
        deadline = time.monotonic() + self._batch_timeout
        if again is None:
            return _result(self._send_once(renditions, deadline))
        if again.down:
            return _result(again.put("queue", renditions, None))
        if self._spooling is not None and self._spooling.always:
            return _result(self._write_and_send(again, self._spooling.write_ahead(renditions), deadline))
        undelivered = self._dispatch.run(GateAccount(self._books, "queue"), renditions, deadline)
        return _result(undelivered is None or again.put("queue", undelivered.renditions, undelivered.outcome))

    def _send_once(self, renditions: Sequence[Rendition], deadline: float) -> bool:
        """For what is never sent again: a console, a file."""
        account = GateAccount(self._books, "queue")
        undelivered = self._dispatch.run(account, renditions, deadline)
        if undelivered is not None:
            account.settle(undelivered.renditions, len(undelivered.renditions), "error")
        return undelivered is None

    def _write_and_send(self, again: Redelivery, parts: Sequence[Part], deadline: float) -> bool:
        """Send what is on disk already; what the disk didn't take is sent all the same."""
        kept, stopped = True, False
        for part in parts:
            account = GateAccount(self._books, "queue" if part.ticket is None else "ahead")
            rest: Sequence[Rendition] = part.renditions
            outcome = None
            if not stopped:
                undelivered = self._dispatch.run(account, rest, deadline)
                rest, outcome = (
                    ((), None) if undelivered is None else (undelivered.renditions, undelivered.outcome)
                )
                stopped = undelivered is not None
            if part.ticket is not None:
                again.left_on_disk(part, rest, outcome)
            elif rest:
                kept = again.put("queue", rest, outcome) and kept
        return kept

    def shutdown(self) -> None:
        """Nothing: the outlet ends its sender when everything else has ended."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is kept back here."""
        return True


def _result(ok: bool) -> SpanExportResult:
    return SpanExportResult.SUCCESS if ok else SpanExportResult.FAILURE
