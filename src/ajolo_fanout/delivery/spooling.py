"""How one backend's delivery uses its spool: what is kept there, written ahead, and sent from it again.

Whatever goes wrong with the disk costs the spool and never the program: what it refuses stays where it was,
and the disk is left alone for a while.
"""

from __future__ import annotations

import operator
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs
from google.protobuf.message import DecodeError

from ajolo_fanout.delivery.account import SpoolAccount
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.dispatch import Dispatch, Undelivered
from ajolo_fanout.delivery.gate import Place
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.delivery.spool import LONGEST_PUT_OFF, Spool, Tally, Ticket, renditions_of
from ajolo_fanout.health.fates import Reason
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.otlp.request import requests
from ajolo_fanout.plan.model import SpoolPlan

__all__ = ["Part", "Spooling", "Taken", "open_spool", "split"]

_size_of = operator.attrgetter("size")

_REST = 10.0
"""Seconds for which a spool that failed isn't written to (a lock that hangs takes its patience only once), and
until what it refused is offered again."""

_MEND = 30.0
"""Seconds until a batch that was refused is tried again: so many, twice, three times, up to `LONGEST_PUT_OFF`.
Other batches go first meanwhile: a wrong key is refused with all of them, a prompt that a firewall dislikes
only with this one."""


@attrs.frozen(eq=False)
class Part:
    """Some spans of a batch, and where they stand on disk.

    Attributes:
        renditions: The spans.
        ticket: The right to send them, where they are in the spool.
    """

    renditions: Sequence[Rendition]
    ticket: Ticket | None = None

    @property
    def size(self) -> int:
        """Bytes of the renditions, as the gate counts them."""
        return sum(map(_size_of, self.renditions))


@attrs.frozen
class Taken:
    """What the spool has to be sent now.

    Attributes:
        parts: Each with its ticket.
        due: Seconds until there may be more; None when nothing waits.
        left_alone: Seconds for which the server wants to be left alone, as any process of this service was told.
    """

    parts: tuple[Part, ...] = ()
    due: float | None = None
    left_alone: float = 0.0


def split(groups: Sequence[Sequence[Rendition]], rest: Sequence[Rendition]) -> list[list[Rendition]]:
    """What of each group is in `rest`. The same rendition may stand in several groups, or twice in one."""
    left = Counter(map(id, rest))
    found: list[list[Rendition]] = []
    for group in groups:
        mine = []
        for one in group:
            if left[id(one)]:
                left[id(one)] -= 1
                mine.append(one)
        found.append(mine)
    return found


def open_spool(plan: SpoolPlan, backend: str, max_age: float, books: Books) -> Spool:
    """The spool of a backend; touches no disk yet."""
    return Spool(plan.settings, plan.service, backend, max_age=max_age, tell=books.note)


class Spooling:
    """One backend's side of its spool. Safe for threads; never raises.

    Attributes:
        always: Whether batches are written before their first send.
        spans: How many spans are in it, as far as this process knows.
        bytes: Bytes of their batches on disk.
        refused: Why the last batch wasn't taken; None while it takes them.
        rests_until: By the clock; the disk failed, and isn't written to before.
        again_at: By the clock; when what was refused last, because of a full disk too, may be offered again.
    """

    def __init__(
        self,
        books: Books,
        spool: Spool,
        *,
        always: bool,
        join_bytes: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is touched yet.

        Args:
            books: Where the fates of what leaves memory are written.
            spool: The spool.
            always: `spool = "always"`.
            join_bytes: The largest request that spans are joined to now.
            clock: A monotonic clock.
        """
        self.always = always
        self._books = books
        self._spool = spool
        self._join_bytes = join_bytes
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """In a forked child: what is known is the parent's."""
        self.spans = 0
        self.bytes = 0
        self.refused: Reason | None = None
        self._trouble = ""
        self.rests_until = self.again_at = 0.0
        self._passed = 0  # of the oldest, those that go last
        self._keeping = threading.Lock()  # what is being written may have to be taken out again: no `close()`

    def open(self) -> None:
        """Make folder and database, and say why not."""
        message = self._spool.problem()
        if message:
            self._failed("error", f"the spool can't be used: {message}", 0)
        else:
            self.rest()

    def tell_others(self, outcome: Outcome | Undelivered | None) -> None:
        """Have other processes and the next program know for how long the server wants to be left alone.

        Before they find what is kept of the request that was told so.

        Args:
            outcome: What became of that request, or of its batch; None when there is nothing to tell.
        """
        if isinstance(outcome, Undelivered):
            outcome = outcome.outcome
        if outcome is None or not outcome.delay or self._clock() < self.rests_until:
            return
        message = self._spool.leave_alone(outcome.delay)
        if message:
            self._failed("error", f"the spool can't be written: {message}", 0)

    # What leaves memory for the disk.

    def keep(self, place: Place, renditions: Sequence[Rendition], *, age: float = 0.0) -> list[Rendition]:
        """Move spans from the gate's `place` to the disk, which is their fate.

        Args:
            place: Where they are.
            renditions: The spans.
            age: Seconds since they were batched.

        Returns:
            Those that are still in `place`, because the spool can't take them.
        """
        ledger, gate, rest = self._books.ledger, self._books.gate, list[Rendition]()
        with self._keeping:
            if gate.closed:
                return list(renditions)
            # Held at first: a shutdown may give them up at any moment, and nothing of that is left on disk.
            for part in self._write(renditions, age):
                count, ticket = len(part.renditions), part.ticket
                if ticket is None:
                    rest += part.renditions
                elif gate.settle(place, count, part.size, partial(ledger.spooled, count)):
                    self._spool.release(ticket)
                else:
                    self._spool.done(ticket)
        return rest

    def write_ahead(self, renditions: Sequence[Rendition]) -> list[Part]:
        """Write spans of the queue before they are sent; those without a ticket aren't on disk."""
        made = []
        with self._keeping:
            if self._books.gate.closed:
                return [Part(renditions)]
            for part in self._write(renditions, 0.0):
                ticket = part.ticket
                if ticket is not None and not self._books.gate.written_ahead(len(part.renditions), part.size):
                    self._spool.done(ticket)  # the shutdown's deadline came first: they were counted as lost
                    ticket = None
                made.append(attrs.evolve(part, ticket=ticket))
        return made

    def _write(self, renditions: Sequence[Rendition], age: float) -> list[Part]:
        """Write and hold them; without a ticket what the disk refused."""
        parts = []
        created = time.time() - age
        for request in requests(renditions, self._join_bytes()):
            spans = request.renditions
            parts.append(Part(spans, self._put(request.body, len(spans), created)))
        return parts

    def _put(self, body: bytes, count: int, created: float) -> Ticket | None:
        if self._clock() < self.rests_until:
            return None
        put = self._spool.put(body, count, created, hold=True)
        if put.dropped:
            message = f"the spool is full: {put.dropped.spans} spans that had waited longest were given up"
            self._books.note("spool_full", message, put.dropped.spans)
            self._less(put.dropped)
        if not put.stored:
            self._failed(put.reason or "error", f"the spool takes no more: {put.message}", count)
            return None
        self.refused, self._trouble = None, ""
        self.spans += count
        self.bytes += len(body)
        return put.ticket

    def _failed(self, reason: Reason, message: str, count: int) -> None:
        self.refused = reason
        self.again_at = self._clock() + _REST
        self.rests_until = self.again_at if reason == "error" else 0.0
        if message != self._trouble:  # once: what the backend says matters, too
            self._books.ledger.noted(message)
            self._trouble = message
        self._books.tell(f"spool {reason}", message, count)

    # What is sent from the disk.

    def take(self, max_spans: int, *, trial: bool) -> Taken:
        """Lease what fills one request, or a single batch for a trial."""
        parts: list[Part] = []
        spans = size = 0
        max_bytes = self._join_bytes()
        while spans < max_spans and size < max_bytes and not (trial and parts):
            lease = self._spool.lease(skip=self._passed)
            self._given_up(lease.too_old, "too_old", "waited too long in the spool")
            if lease.message:
                self._failed("error", f"the spool can't be read: {lease.message}", 0)
                return Taken(tuple(parts), _REST)
            for batch in lease.batches:
                part = self._part(batch.ticket, batch.body)
                if part is not None:
                    parts.append(part)
                    spans += len(part.renditions)
                    size += len(batch.body)
            if not lease.batches and not lease.damaged:
                if parts or not self._passed:
                    return Taken(tuple(parts), lease.due, lease.left_alone)
                self._passed = 0  # all others are sent
        return Taken(tuple(parts), 0.0)

    def send(self, parts: Sequence[Part], dispatch: Dispatch, deadline: float) -> Undelivered | None:
        """Send what was taken, joined, and write down what became of each part.

        Args:
            parts: All of them, with their tickets.
            dispatch: Sends them.
            deadline: When the last request must be over, by the clock.

        Returns:
            What is to be sent again; it waits on disk.
        """
        account = SpoolAccount(self._books)
        undelivered = dispatch.run(account, [one for part in parts for one in part.renditions], deadline)
        rest = undelivered.renditions if undelivered is not None else []
        self.tell_others(undelivered)
        for part, mine in zip(parts, split([part.renditions for part in parts], rest), strict=True):
            # Of several in one request nobody knows which was refused: each gets a trial of its own.
            to_blame = undelivered is not None and {*map(id, undelivered.tried)} <= {*map(id, mine)}
            outcome = undelivered.outcome if undelivered is not None and to_blame else None
            self.settle(part, mine, outcome, account.lost)
        return undelivered

    def pass_over(self) -> None:
        """The oldest batch that isn't passed over yet was tried alone and not taken: others go first now."""
        self._passed += 1

    def _part(self, ticket: Ticket, body: bytes) -> Part | None:
        try:
            return Part(renditions_of(body), ticket)
        except DecodeError:
            self._spool.discard(ticket, "error")
            message = f"a spooled batch of {ticket.spans} spans can't be read: given up"
            self._books.note("spool_unreadable", message, ticket.spans)
            return None

    def _given_up(self, what: Tally, reason: str, why: str) -> None:
        if what:
            self._books.note(f"spool {reason}", f"{what.spans} spans {why}: given up", what.spans)

    def settle(
        self,
        part: Part,
        rest: Sequence[Rendition],
        outcome: Outcome | None,
        lost: Mapping[int, Reason],
    ) -> None:
        """Write down what became of a part with a ticket.

        Args:
            part: What was sent.
            rest: Of its spans those that are to be sent again.
            outcome: Why, where it is about this part alone.
            lost: The reasons for those that were lost, by the `id()` of each.
        """
        ticket = part.ticket
        assert ticket is not None
        later = _not_before(ticket, outcome)
        if rest and len(rest) == len(part.renditions):
            self._spool.release(ticket, later)
            return
        left = [(one.body, len(one.renditions)) for one in requests(rest, self._join_bytes())]
        reasons: list[str] = [lost[id(one)] for one in part.renditions if id(one) in lost]
        counted = Counter(reasons)
        whole = next((reason for reason, n in counted.items() if n == len(part.renditions)), None)
        if whole is None:
            answer = self._spool.done(ticket, counted, left, later)
        else:
            answer = self._spool.discard(ticket, whole)
        if answer:
            self.spans = max(0, self.spans - ticket.spans + len(rest))

    # Else.

    def rest(self) -> None:
        """Nothing is to be done for a while: look what is in it, and close the file."""
        fill = self._spool.fill()
        if not fill.message:
            self.spans, self.bytes = fill.held.spans, fill.held.bytes
        self._spool.rest()

    def _less(self, gone: Tally) -> None:
        self.spans = max(0, self.spans - gone.spans)
        self.bytes = max(0, self.bytes - gone.bytes)

    def close(self) -> None:
        """Let go of what this process holds: others may send it."""
        with self._keeping:
            self._spool.close()


def _not_before(ticket: Ticket, outcome: Outcome | None) -> float:
    """When a batch may be tried again by anybody, in seconds since the epoch."""
    if outcome is not None and outcome.mendable:
        again = max(1, ticket.attempts - 1)  # the first was before it was written, or right after
        return time.time() + min(LONGEST_PUT_OFF, _MEND * again)
    return 0.0
