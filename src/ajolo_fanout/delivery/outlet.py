"""The outlet: the delivering end of one backend, from the gate to the end of its requests.

The SDK's BatchSpanProcessor stands in the middle with every knob passed explicitly. What it lacks is covered
from outside, through its public methods: the gate counts what its queue would drop, `force_flush` and
`shutdown`, which know no time-outs, run on a waiting thread, and past the deadline of a shutdown nothing
leaves any more.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from typing import cast

import attrs
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from ajolo_fanout import sdk_internals
from ajolo_fanout.delivery.account import GateAccount
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.dispatch import RETRY, Dispatch
from ajolo_fanout.delivery.exporter import RenditionExporter
from ajolo_fanout.delivery.gate import Gate, Refusal
from ajolo_fanout.delivery.outcome import Sender
from ajolo_fanout.delivery.redelivery import Redelivery
from ajolo_fanout.delivery.senders import make_sender
from ajolo_fanout.delivery.spooling import Spooling, open_spool
from ajolo_fanout.delivery.stock import StockExporter
from ajolo_fanout.delivery.stopper import Job, Stopper
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.report import BackendHealth
from ajolo_fanout.health.say import Teller
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.plan.model import BackendPlan

__all__ = ["Outlet", "begin_flush_all", "flush_all", "shutdown_all", "wait_flushed_all"]

_log = logging.getLogger("ajolo_fanout.delivery")

_FLUSH_TIMEOUT = 30.0
"""Seconds that a flush goes on behind the back of a caller who named no deadline."""

_SPOOLING_SHARE = 0.2
_SPOOLING_TIME = 2.0
"""With a spool, sending ends before the deadline of a shutdown, by this share of its time (at most so many
seconds): what is unsent then goes to the disk. Several that hang with full queues have much
to write."""

_BODY_SHARE = 8
"""A request is joined to at most this part of `max_queue_bytes`; twice that is kept free for building it."""


class Outlet:
    """Gate, BatchSpanProcessor, sender and retry store of one backend.

    Attributes:
        name: The backend's name.
        processor: The SDK's processor; its queue holds renditions.
    """

    def __init__(
        self,
        backend: BackendPlan,
        ledger: Ledger,
        *,
        teller: Teller | None = None,
        sender: Sender | None = None,
    ) -> None:
        """The outlet of `backend`, with its threads waiting; the first request opens a connection.

        Args:
            backend: The resolved backend.
            ledger: Where the fates are written.
            teller: Where an operator is told; by default the log, at most once a minute per cause.
            sender: Sends the requests; by default what the backend's kind and protocol ask for.
        """
        batch = backend.settings.batch
        self.name = backend.name
        self._ledger = ledger
        self._batch = batch
        self._teller = teller or Teller(_log)
        self._join_bytes, reserve = _room_for_requests(backend)
        self._gate = Gate(
            batch.max_queue_size, batch.max_queue_bytes - reserve, int(backend.settings.retry.max_bytes)
        )
        self._books = Books(backend.name, self._gate, ledger, self._teller)
        self._stock: StockExporter | None = None
        self._sender: Sender | None = None
        self._dispatch: Dispatch | None = None
        self._redelivery: Redelivery | None = None
        self._spooling: Spooling | None = None
        exporter: SpanExporter
        if backend.stock:
            exporter = self._stock = StockExporter(backend, self._books)
        else:
            exporter = self._own_exporter(backend, sender or make_sender(backend))
        self.processor = BatchSpanProcessor(
            exporter,
            max_queue_size=batch.max_queue_size,
            schedule_delay_millis=float(batch.schedule_delay) * 1000,
            max_export_batch_size=batch.max_export_batch_size,
            export_timeout_millis=float(batch.export_timeout) * 1000,
        )
        self._stopper = Stopper(f"ajolo_fanout-stopper-{backend.name}")
        self._closing = False
        self._sent_by = math.inf
        self._flush_job: Job | None = None
        self._shutdown_job: Job | None = None

    def _own_exporter(self, backend: BackendPlan, sender: Sender) -> SpanExporter:
        settings = backend.settings
        self._sender = sender
        sender.start()
        self._dispatch = dispatch = Dispatch(
            self._books,
            sender,
            max_request_bytes=backend.target.max_request_bytes,
            join_bytes=self._join_bytes,
            timeout=float(settings.timeout),
            keeps_refused=backend.spool is not None,
        )
        if backend.spool is not None:
            self._spooling = Spooling(
                self._books,
                open_spool(backend.spool, backend.name, float(settings.retry.max_age), self._books),
                always=backend.spool.always,
                join_bytes=lambda: dispatch.join_bytes,
            )
        timeout = float(self._batch.export_timeout)
        if backend.target.kind == "otlp":
            self._redelivery = Redelivery(
                self._books,
                dispatch,
                settings=settings.retry,
                batch_timeout=timeout,
                batch_size=self._batch.max_export_batch_size,
                spooling=self._spooling,
            )
        return RenditionExporter(
            self._books, dispatch, self._redelivery, spooling=self._spooling, batch_timeout=timeout
        )

    # The hot path.

    def offer_all(self, renditions: Sequence[Rendition]) -> None:
        """Take a chunk of spans, or count why not. Never raises, never waits for the backend."""
        if self._closing:
            self._ledger.lost("shutdown", len(renditions))
            return
        admitted = self._gate.admit(renditions, self._refused)
        on_end = self.processor.on_end
        handed = 0
        try:
            for rendition in admitted:
                # The processor looks at `context.trace_flags.sampled` and nothing else.
                on_end(cast("ReadableSpan", rendition))
                handed += 1
        except Exception:
            # Isolation: the router serves all backends. What the processor didn't take is counted here.
            _log.exception("%s: spans could not be queued", self.name)
            rest = admitted[handed:]
            GateAccount(self._books, "queue").settle(rest, len(rest), "error")
        if len(admitted) < len(renditions) and not self._closing:
            self._books.tell("queue_full", self._full_message(), len(renditions) - len(admitted))

    def _refused(self, why: Refusal, count: int) -> None:
        self._ledger.lost("shutdown" if why == "closed" else "queue_full", count)

    def _full_message(self) -> str:
        return (
            f"the queue is full (batch.max_queue_size = {self._batch.max_queue_size}, "
            f'batch.max_queue_bytes = "{self._batch.max_queue_bytes}"): spans lost'
        )

    # Flush and shutdown. `begin_…` all outlets, then `wait_…` each: side by side under one deadline.

    def begin_flush(self, deadline: float | None = None) -> Job:
        """Start sending everything that was offered before this call; joins a flush that hasn't begun yet.

        Args:
            deadline: A `time.monotonic()` value after which no retry is waited for.
        """
        if self._shutdown_job is not None:
            return self._shutdown_job  # which sends all that a flush would
        if deadline is None:
            deadline = time.monotonic() + _FLUSH_TIMEOUT
        job = self._stopper.ask("flush", self._flush, deadline)
        self._flush_job = job
        return job

    def wait_flushed(self, deadline: float) -> bool:
        """Wait for the flush begun last; whether it had sent everything by `deadline`."""
        return self._flush_job is None or self._flush_job.wait(deadline)

    def flush(self, deadline: float) -> bool:
        """Send everything that was offered before this call; whether that was done by `deadline`."""
        return self.begin_flush(deadline).wait(deadline)

    def begin_shutdown(self, deadline: float) -> Job:
        """Take no more spans and start sending what is there. `wait_sent`, then `wait_shutdown` follow.

        Of several deadlines the earliest holds.
        """
        self._closing = True
        self._sent_by = sent_by = min(self._sent_by, self._end_of_sending(deadline))
        if self._dispatch is not None:
            self._dispatch.last_moment = sent_by
        if self._shutdown_job is None:
            self._shutdown_job = self._stopper.ask("shutdown", self._drain, sent_by)
        return self._shutdown_job

    def wait_sent(self, deadline: float) -> None:
        """Wait until everything is sent, or has to go to the disk now: the request in flight is cut off then.

        Without a spool nothing is waited for here.

        Args:
            deadline: That of the whole shutdown.
        """
        if self._spooling is None or self._shutdown_job is None or self._sender is None:
            return
        if not self._shutdown_job.wait(min(self._sent_by, deadline)):
            self._sender.abort()

    def wait_shutdown(self, deadline: float) -> bool:
        """Wait for the shutdown until `deadline`, then cut off what is left: nothing leaves after that.

        Returns:
            Whether nothing was lost then.
        """
        if self._shutdown_job is not None:
            self._shutdown_job.wait(deadline)
        return self._cut_off()

    def shutdown(self, deadline: float) -> bool:
        """Send what is there until `deadline`, then stop for good; whether nothing was lost then."""
        self.begin_shutdown(deadline)
        self.wait_sent(deadline)
        return self.wait_shutdown(deadline)

    def _end_of_sending(self, deadline: float) -> float:
        if self._spooling is None:
            return deadline
        left = max(0.0, deadline - time.monotonic())
        return deadline - min(_SPOOLING_TIME, _SPOOLING_SHARE * left)

    def _flush(self, deadline: float) -> bool:
        self.processor.force_flush()  # knows no time-out; this thread is there to wait for it
        return self._redelivery is None or self._redelivery.flush(deadline)

    def _drain(self, deadline: float) -> bool:
        # First without a limit of its own (`shutdown` gives up, and drops, after 30 s), then for good.
        drained = self._flush(deadline)
        if self._redelivery is not None:
            self._redelivery.drain_spool(deadline)
            self._redelivery.spill()
        self.processor.shutdown()  # type: ignore[no-untyped-call]
        return drained

    def _cut_off(self) -> bool:
        rest = 0

        def record(spans: int, on_disk: int) -> None:
            nonlocal rest
            rest = spans
            self._ledger.lost("shutdown", spans)
            self._ledger.spooled(on_disk)

        under_way = 0 if self._dispatch is None else self._dispatch.under_way
        self._gate.close(record)
        if self._sender is not None:
            self._sender.abort()
            if not rest:
                self._sender.close()
        if self._stock is not None:
            self._stock.abort()
        if self._redelivery is not None:
            self._redelivery.stop()
        self._stopper.end()
        if rest:
            spans = "1 span was" if rest == 1 else f"{rest} spans were"
            message = f"{spans} unsent at the deadline of the shutdown: lost"
            if under_way:
                message += (
                    f"; {min(under_way, rest)} of them were on their way and may have arrived all the same"
                )
            before = self._ledger.health().last_error
            message += f" ({before})" if before else ""
            self._ledger.noted(message)
            self._books.tell("shutdown", message, rest)
        self._ledger.stopped()
        self._teller.tell_rest(self.name, without=RETRY)  # nothing will be sent again
        return not rest

    # Else.

    def health(self) -> BackendHealth:
        """The backend now, with the fill of queue, retry store and spool."""
        return attrs.evolve(
            self._ledger.health(),
            queued_spans=self._gate.spans("queue") + self._gate.spans("ahead"),
            queued_bytes=self._gate.bytes("queue") + self._gate.bytes("ahead"),
            retry_spans=self._gate.spans("retry"),
            retry_bytes=self._gate.bytes("retry"),
            spool_spans=0 if self._spooling is None else self._spooling.spans,
            spool_bytes=0 if self._spooling is None else self._spooling.bytes,
        )

    def after_fork(self) -> None:
        """Begin anew in a forked child: nothing queued, own threads. The ledger is its maker's to reset.

        The SDK's processor has its own way of noticing the fork, and empties its queue.
        """
        self._teller.reset()
        stopped = self._gate.closed or self._closing
        self._gate.reset()
        if stopped:
            self._gate.close(lambda *_: None)  # which is empty
            return
        self._flush_job = None
        self._stopper.start()
        if self._sender is not None:
            self._sender.start()
        if self._redelivery is not None:
            self._redelivery.start()

    def give_up(self) -> list[Rendition]:
        """What waits here, for the outlet that takes this one's place; what is being sent, is sent."""
        waiting = cast("list[Rendition]", sdk_internals.take_queue(self.processor))
        self._gate.settle("queue", len(waiting), sum(one.size for one in waiting), lambda: None)
        return waiting + (self._redelivery.give_up() if self._redelivery is not None else [])

    def forsake(self) -> None:
        """In a forked child where the parent's greenlets live on: nothing of it is to be sent, or counted, here.

        Another outlet takes this one's place.
        """
        self._closing = True
        self._gate.reset()
        self._gate.close(lambda *_: None)  # which is empty
        if self._sender is not None:
            self._sender.forsake()
        if self._redelivery is not None:
            self._redelivery.forsake()


def _room_for_requests(backend: BackendPlan) -> tuple[int, int]:
    """The size that requests are joined to, and the bytes of the queue that are kept free for building one.

    A request's body stands in memory beside the spans it is made of, and compressed once more: with room kept
    for both, a stalled backend stays under `max_queue_bytes`.
    What a stock exporter needs is out of our sight.
    """
    largest = backend.target.max_request_bytes
    share = max(1, backend.settings.batch.max_queue_bytes // _BODY_SHARE)
    join_bytes = min(largest, share) if largest else share
    return join_bytes, 0 if backend.stock or backend.target.kind != "otlp" else 2 * join_bytes


def flush_all(outlets: Iterable[Outlet], deadline: float) -> bool:
    """Flush all side by side; whether all were done by `deadline`."""
    all_of_them = list(outlets)
    begin_flush_all(all_of_them, deadline)
    return wait_flushed_all(all_of_them, deadline)


def begin_flush_all(outlets: Iterable[Outlet], deadline: float) -> None:
    """The beginning of `flush_all`, which waits for nothing."""
    for one in outlets:
        one.begin_flush(deadline)


def wait_flushed_all(outlets: Iterable[Outlet], deadline: float) -> bool:
    """The end of `flush_all`."""
    done = [one.wait_flushed(deadline) for one in outlets]  # each is waited for, whatever the others say
    return all(done)


def shutdown_all(outlets: Iterable[Outlet], deadline: float) -> bool:
    """Shut all down side by side; whether every span had its fate by `deadline`."""
    all_of_them = list(outlets)
    for one in all_of_them:
        one.begin_shutdown(deadline)
    for one in all_of_them:  # all, before the first is waited for up to its end
        one.wait_sent(deadline)
    done = [one.wait_shutdown(deadline) for one in all_of_them]
    return all(done)
