"""Takes renditions to their backend, request by request, and writes down what became of each span."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import attrs

from ajolo_fanout.delivery.account import Account, GateAccount
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.outcome import Outcome, Sender
from ajolo_fanout.delivery.shrink import shrink
from ajolo_fanout.health.fates import Reason
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.otlp.request import Request, requests

__all__ = ["NOT_SENT", "RETRY", "Dispatch", "Undelivered"]

RETRY = "retry"
"""How the causes of lines begin which say that something will be sent again."""

NOT_SENT = "not sent"
"""The status of what was not sent, because its batch had used up its time or the server wants to be left alone:
no word on the backend."""

_log = logging.getLogger("ajolo_fanout.delivery")

_SMALLEST_SPAN = 1024
"""Bytes. A backend that finds a span of this size too large takes none at all."""

_SMALLEST_LIMIT = 64 * 1024
"""Bytes below which the request limit that was learned from refusals doesn't fall."""


@attrs.frozen
class Undelivered:
    """What is to be sent again.

    Attributes:
        renditions: Whose fate is open.
        outcome: Why the last request wasn't taken.
        tried: The spans of that request.
        progress: Whether an earlier request of the same batch got an answer.
    """

    renditions: list[Rendition]
    outcome: Outcome
    tried: Sequence[Rendition] = ()
    progress: bool = False

    @property
    def refused_at_once(self) -> bool:
        """Whether its first request failed: the backend is down, or can't take this batch."""
        return not self.progress and self.outcome.status != NOT_SENT


@attrs.define
class _Run:
    """One batch on its way."""

    account: Account
    deadline: float
    settled: list[Rendition] = attrs.field(factory=list)
    answered: bool = False
    tried: Sequence[Rendition] = ()  # the spans of its last request
    slowest: float = 0.0  # seconds that its slowest answered request took

    def rest(self, renditions: Iterable[Rendition]) -> list[Rendition]:
        """Those whose fate is open, in order. Looked for only where something failed."""
        settled = Counter(map(id, self.settled))  # the same rendition may stand in a batch twice
        found = []
        for rendition in renditions:
            if settled[id(rendition)]:
                settled[id(rendition)] -= 1
            else:
                found.append(rendition)
        return found


class Dispatch:
    """The last part of one backend's pipeline: join, split, send, interpret, count. Used by two threads."""

    def __init__(
        self,
        books: Books,
        sender: Sender,
        *,
        max_request_bytes: int,
        join_bytes: int,
        timeout: float,
        keeps_refused: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The delivery to one backend.

        Args:
            books: Where the spans come from, where their fate is settled and written.
            sender: Sends one request.
            max_request_bytes: The largest request that the backend takes; 0 where there is no limit.
            join_bytes: The largest request that spans are joined to; not more than the above.
            timeout: Seconds for one request.
            keeps_refused: What an operator can mend (a wrong key) is to be sent again, rather than lost:
                there is a spool to keep it in.
            clock: A monotonic clock.
        """
        self._books = books
        self._gate = books.gate
        self._ledger = books.ledger
        self._sender = sender
        self._max_request_bytes = max_request_bytes
        self._join_bytes = join_bytes
        self._timeout = timeout
        self._keeps_refused = keeps_refused
        self._clock = clock
        self._under_way: dict[int, int] = {}  # by thread: the spans from memory in its request
        self.last_moment = math.inf
        """No request may last beyond this: the deadline of a shutdown, once there is one."""
        self.quiet: Callable[[], bool] = lambda: False
        """Whether the server wants to be left alone now: another thread may have been told so."""

    @property
    def join_bytes(self) -> int:
        """The largest request that spans are joined to now; a backend that refuses lowers it."""
        return self._join_bytes

    @property
    def under_way(self) -> int:
        """Spans from memory that are in requests which have no answer yet: whether they arrived, nobody knows.

        Those of a request that still waits for its connection have not.
        """
        made = list(self._under_way.items())
        return sum(count for thread, count in made if self._sender.may_have_arrived(thread))

    def run(self, account: Account, renditions: Sequence[Rendition], deadline: float) -> Undelivered | None:
        """Send a batch.

        Args:
            account: Where the fates of its spans are written.
            renditions: The batch.
            deadline: When the last request of it must be over (a `time.monotonic()` value).

        Returns:
            What is to be sent again, not settled yet; None when every span has its fate.
        """
        run = _Run(account, deadline)
        finished = False
        try:
            outcome = self._send_all(run, renditions)
            finished = True
        except Exception as error:  # isolation: one batch of one backend, counted below and told here
            self._ledger.failed(f"a batch could not be sent: {type(error).__name__}")
            _log.exception("%s: a batch could not be sent", self._books.backend)
            return None
        finally:
            if not finished:
                self._lose(run, run.rest(renditions), "error")
        if outcome is None:
            return None
        return Undelivered(run.rest(renditions), outcome, run.tried, run.answered)

    def _send_all(self, run: _Run, renditions: Sequence[Rendition]) -> Outcome | None:
        """Send what can be sent; the outcome that stopped it, or None."""
        for request in requests(renditions, self._join_bytes):
            outcome = self._send_request(run, request)
            if outcome is not None:
                return outcome
            del request  # its body goes before the next one is built
        return None

    def _send_request(self, run: _Run, request: Request) -> Outcome | None:
        """Send one request and settle its spans; the outcome when they are to be sent again."""
        run.tried = spans = list(request.renditions)
        if len(spans) == 1 and 0 < self._max_request_bytes < len(request.body):
            return self._send_limited(run, spans[0], len(request.body), self._max_request_bytes)
        outcome = self._send(run, request.body, len(spans))
        if self._leaves_open(outcome):
            return outcome
        if not outcome.too_large:
            self._conclude(run, spans, outcome)
            return None
        run.answered = True
        size = len(request.body)
        if len(spans) == 1:
            return self._send_limited(run, spans[0], size, size // 2)
        # Halved, never sent whole again; and the next batches are joined to smaller requests from the start.
        self._join_bytes = max(_SMALLEST_LIMIT, min(self._join_bytes, size // 2))
        middle = len(spans) // 2
        return self._send_all(run, spans[:middle]) or self._send_all(run, spans[middle:])

    def _send_limited(self, run: _Run, rendition: Rendition, size: int, limit: int) -> Outcome | None:
        """Send a span that is too large alone without its largest values, smaller at every refusal."""
        around = size - rendition.size  # resource, scope and framing
        while limit - around >= _SMALLEST_SPAN:
            smaller = shrink(rendition, limit - around)
            if smaller is None:
                break
            [request] = requests([smaller], limit + _SMALLEST_LIMIT)
            outcome = self._send(run, request.body, 1)
            if self._leaves_open(outcome):
                return outcome
            if not outcome.too_large:
                self._conclude(run, [rendition], outcome)
                self._books.tell(
                    "too_large", f"a span of {size} bytes was sent without its largest values", 1
                )
                return None
            limit //= 2
        if self._lose(run, [rendition], "too_large"):
            message = f"a span of {size} bytes is too large even without its largest values"
            self._ledger.noted(message)
            self._books.tell("too_large", message, 1)
        return None

    def _leaves_open(self, outcome: Outcome) -> bool:
        """Whether the spans of a request are to be sent again."""
        return outcome.kind == "retry" or (self._keeps_refused and outcome.mendable)

    def _send(self, run: _Run, body: bytes, count: int) -> Outcome:
        """One request, if it may leave."""
        started = self._clock()
        left = min(run.deadline, self.last_moment) - started
        if self._gate.closed or left <= 0 or run.deadline - started <= 2 * run.slowest:
            # Nobody failed: this batch has used up its time, and goes on from the retry store. A request that
            # has hardly the time which the others needed would be cut off, and what it holds sent twice.
            return Outcome("retry", NOT_SENT, "the batch's export_timeout is over")
        if self.quiet():
            return Outcome("retry", NOT_SENT, "the server wants to be left alone for a while")
        self._ledger.sent(1, len(body))
        if isinstance(run.account, GateAccount) and run.account.place != "ahead":
            self._under_way[threading.get_ident()] = count
        try:
            outcome = self._sender.send(body, count, min(self._timeout, left))
        finally:
            self._under_way.pop(threading.get_ident(), None)
        self._ledger.sent(outcome.times - 1, (outcome.times - 1) * len(body))
        if outcome.kind != "retry":
            run.slowest = max(run.slowest, self._clock() - started)
        if self._leaves_open(outcome) and not self._gate.closed:
            if outcome.kind == "retry":
                self._ledger.retrying(outcome.message)
                # In requests, since the same spans come again and again.
                self._books.tell(
                    f"{RETRY} {outcome.status}", f"will be sent again: {outcome.message}", 1, unit="request"
                )
            else:
                self._ledger.failed(outcome.message)
                self._books.tell(
                    f"kept {outcome.status}", f"kept in the spool: {outcome.message}", 1, unit="request"
                )
        return outcome

    def _conclude(self, run: _Run, spans: Sequence[Rendition], outcome: Outcome) -> None:
        """Write down an answer that is final for its spans."""
        run.answered = True
        count = len(spans)
        rejected = min(outcome.rejected, count) if outcome.kind == "partial" else 0
        if outcome.kind == "rejected":
            rejected = count
        if not self._settle(run, spans, rejected, "rejected"):
            return
        if rejected == count:
            self._ledger.failed(outcome.message)
        else:
            self._ledger.succeeded()
            if outcome.message:
                self._ledger.noted(outcome.message)
        if rejected:
            self._books.tell(
                f"rejected {outcome.status}", f"{rejected} spans rejected: {outcome.message}", rejected
            )
        elif outcome.message:
            self._books.tell(f"warning {outcome.status}", outcome.message, count)

    def _lose(self, run: _Run, spans: Sequence[Rendition], reason: Reason) -> bool:
        return self._settle(run, spans, len(spans), reason)

    def _settle(self, run: _Run, spans: Sequence[Rendition], lost: int, reason: Reason) -> bool:
        run.settled += spans
        return not spans or run.account.settle(spans, lost, reason)
