"""The spool of one (service.name, backend): batches on disk that outlive an outage, and this process.

Several processes work on it at once. Nothing is ever raised to the caller: each call answers what really
happened.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import attrs

from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.delivery.spool import folder, peace, store
from ajolo_fanout.delivery.spool.engine import Engine, Failure, Hands, Tell
from ajolo_fanout.delivery.spool.results import Answer, Batch, Fill, Lease, Put, Tally, Ticket
from ajolo_fanout.values import Size

__all__ = ["Spool"]

_log = logging.getLogger("ajolo_fanout.delivery")

T = TypeVar("T")

_PATIENCE = 5.0
_RESERVE = Size(16 * 1024**2)
"""Even taking a batch out of SQLite's file needs room: from a disk filled to the brim, none could leave."""

_SLACK = 16 * 1024
"""What a batch may take in the file beyond its own size: pages are filled in part."""

_DONE = Answer(ok=True)
_NOTHING: Mapping[str, int] = MappingProxyType({})


@attrs.frozen
class _Taken:
    """What one transaction of `lease` came to."""

    entries: list[store.Entry]
    tickets: list[Ticket]
    damaged: list[store.Damaged]
    too_old: Tally
    due: float | None
    left_alone: float


class Spool:
    """The batches of one (service.name, backend) on disk. Safe for threads and for forks; never raises.

    Attributes:
        service: The program's `service.name`.
        backend: The backend's name in the file.
    """

    def __init__(
        self,
        settings: SpoolSettings,
        service: str,
        backend: str,
        *,
        max_age: float | None = None,
        tell: Tell | None = None,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """A spool that has touched nothing yet; the first call opens it. `problem()` says whether that works.

        Args:
            settings: The folder and the bounds.
            service: The program's `service.name`.
            backend: The backend's name in the file.
            max_age: Seconds after which a batch that waits is given up; never more than the backend accepts.
            tell: Gets what no answer says: that something damaged was set aside. By default the log.
            patience: Seconds that a call waits for other threads and processes.
            clock: Seconds since the epoch; it must mean the same in all processes.
        """
        self.service = service
        self.backend = backend
        self._settings = settings
        self._max_age = max_age
        self._longest_peace = math.inf if max_age is None else max_age
        self._clock = clock
        self._tell = tell or partial(_say, backend)
        self._engine = Engine(
            settings.directory, (service, backend), patience=patience, tell=self._tell, forked=self._begin
        )
        self._begin()

    def _begin(self) -> None:
        """As it is in a process that has leased nothing yet."""
        self._mine: dict[str, str] = {}  # what this process holds: key -> the name it is held under
        self._owed: dict[str, Callable[[sqlite3.Connection], object]] = {}  # what the disk refused, by key

    # For the sender.

    def put(self, body: bytes, spans: int, created: float, *, hold: bool = False) -> Put:
        """Write a batch.

        Args:
            body: An `ExportTraceServiceRequest`, not compressed (that is done here), and nothing else:
                headers and keys have no place on disk.
            spans: Spans in it.
            created: When they were batched, in seconds since the epoch.
            hold: Lease it at once, because this process is about to send it (`spool = "always"`).
        """
        now = self._clock()
        created = min(created, now) if math.isfinite(created) else now
        if self._max_age is not None and created < now - self._max_age:
            return Put(stored=False, reason="too_old", message="older than anything may wait in the spool")
        entry = store.pack(secrets.token_hex(16), body, spans, float(created))
        limit = self._settings.max_bytes
        if entry.size > limit:
            message = f"a batch of {entry.size} bytes is more than the whole spool (max_bytes = {limit})"
            return Put(stored=False, reason="spool_full", message=message)
        try:
            return self._write(partial(self._put, entry, hold=hold, now=now), then=self._keep)
        except Failure as failure:
            return Put(stored=False, reason=failure.reason, message=failure.message)

    def lease(self, limit: int = 1, *, skip: int = 0) -> Lease:
        """Take the oldest batches that may be sent now; nobody else gets them while this process lives.

        Args:
            limit: How many; their bodies stand in memory.
            skip: How many of the oldest are left out.
        """
        now = self._clock()
        try:
            if not self._owed and self._engine.read(self._nothing_to_do):
                return Lease()
            took = self._write(partial(self._take, limit, skip, now), then=self._keep_all)
        except Failure as failure:
            return Lease(message=failure.message)
        batches = tuple(
            Batch(ticket, store.unpack(entry), max(0.0, now - entry.created))
            for ticket, entry in zip(took.tickets, took.entries, strict=True)
        )
        for one in took.damaged:
            message = f"a batch of {one.tally.spans} spans was damaged on disk: {self._engine.set_aside(one)}"
            self._tell("spool_damaged", message, one.tally.spans)
        damaged = sum((one.tally for one in took.damaged), Tally())
        return Lease(batches, took.due, took.too_old, damaged, left_alone=took.left_alone)

    def done(
        self,
        ticket: Ticket,
        lost: Mapping[str, int] = _NOTHING,
        rest: Sequence[tuple[bytes, int]] = (),
        not_before: float = 0.0,
    ) -> Answer:
        """The backend has the batch, or a part of it: take it out, and leave the rest in its place.

        Args:
            ticket: What was leased.
            lost: How many of its spans the backend didn't take after all, by reason.
            rest: What of it is to be sent again: requests and their spans. It is as old as the batch.
            not_before: As for `release`.
        """
        entries = [store.pack(secrets.token_hex(16), body, spans, ticket.created) for body, spans in rest]
        left = [attrs.evolve(one, not_before=_moment(not_before), attempts=1) for one in entries]
        return self._settle(ticket, partial(_remove, ticket, lost=dict(lost), left=left))

    def discard(self, ticket: Ticket, reason: str) -> Answer:
        """Give the batch up, and keep count of it under `reason` (a reason for a loss, as in the ledger)."""
        return self._settle(ticket, partial(_remove, ticket, reason=reason))

    def release(self, ticket: Ticket, not_before: float = 0.0) -> Answer:
        """Let the batch wait for another try, by any process of this service.

        Args:
            ticket: What was leased.
            not_before: When it may be tried again, in seconds since the epoch; at most `LONGEST_PUT_OFF` ahead.
        """
        return self._settle(ticket, partial(_release, ticket, _moment(not_before)))

    def leave_alone(self, seconds: float) -> str:
        """The server wants to be left alone for so long: no process of this service is given a batch meanwhile.

        For no longer than the `max_age` of whoever asks.

        Returns:
            Why that can't be written down, for the operator; empty when it is.
        """
        longest = self._longest_peace
        try:
            self._write(lambda hands: peace.asked_for(hands.connection, self._clock(), seconds, longest))
        except Failure as failure:
            return failure.message
        return ""

    def fill(self) -> Fill:
        """What is in it now."""
        try:
            return self._engine.read(lambda hands: store.fill(hands.connection))
        except Failure as failure:
            return Fill(message=failure.message)

    # For whoever installs, and for the command line.

    def wake(self) -> str:
        """Let what was put off be tried now; why that can't be, for the operator, empty when it can."""

        def all_of_it(hands: Hands) -> None:
            store.wake(hands.connection)
            peace.ended(hands.connection)

        try:
            self._write(all_of_it)
        except Failure as failure:
            return failure.message
        return ""

    def problem(self) -> str:
        """Why it can't be used, for the operator; empty when it can. Makes the folder and the database."""
        try:
            self._write(lambda hands: store.totals(hands.connection))
        except Failure as failure:
            return failure.message
        self.rest()
        return ""

    def clear(self, *, beside_others: bool = False) -> tuple[Tally, str]:
        """Give up everything that waits, and give the space back.

        Args:
            beside_others: Do so even while other processes work on it. What they are sending stays theirs.

        Returns:
            What is gone (counted under `cleared`), and why nothing could be; empty when it could.
        """
        try:
            self._write(lambda hands: store.free(hands.connection, hands.me, hands.gone))
            others = self._engine.others()
            if others and not beside_others:
                return Tally(), f"{others} other processes are working on it"
            gone = self._write(lambda hands: store.delete_waiting(hands.connection, "cleared"))
        except Failure as failure:
            return Tally(), failure.message
        with contextlib.suppress(Failure):  # they are gone; the space can wait
            self._engine.tidy(thoroughly=True)
        return gone, ""

    def rest(self) -> None:
        """Close the file until the next call (leases stay). To be called before waiting for long.

        A spool at rest costs nothing, and survives even a fork that Python doesn't know of.
        """
        self._engine.rest()

    def close(self) -> None:
        """Close for good; what this process has leased is free for others."""
        if self._owed:
            try:
                self._write(lambda _: None)
            except Failure as failure:
                _log.warning("%s: batches that were delivered stay in the spool: %s", self.backend, failure)
        self._engine.close()
        self._begin()

    # Inside a transaction.

    def _write(self, work: Callable[[Hands], T], then: Callable[[T], None] | None = None) -> T:
        """Run `work`, after what is still owed from before; `then` gets its result, still under the lock."""
        owed = dict(self._owed)

        def all_of_it(hands: Hands) -> T:
            for one in owed.values():
                one(hands.connection)
            if hands.first:
                store.keep_only(hands.connection, hands.me, self._mine)
            return work(hands)

        def finish(result: T) -> None:
            for key in owed:
                self._owed.pop(key, None)
                self._mine.pop(key, None)
            if then is not None:
                then(result)

        return self._engine.write(all_of_it, finish)

    def _keep(self, put: Put) -> None:
        if put.ticket is not None:
            self._mine[put.ticket.key] = put.ticket.owner

    def _forget(self, key: str, _: object) -> None:
        self._mine.pop(key, None)

    def _keep_all(self, took: _Taken) -> None:
        self._mine.update({ticket.key: ticket.owner for ticket in took.tickets})

    def _put(self, entry: store.Entry, hands: Hands, *, hold: bool, now: float) -> Put:
        dropped = Tally()
        if any(self._short_of(entry.size, hands)):
            self._clean(hands, now)
            over, disk = self._short_of(entry.size, hands)
            keep_old = self._settings.when_full == "drop_newest"
            made = store.make_room(hands.connection, 0 if keep_old else max(over, disk))
            if made is None or (keep_old and (over or disk)):
                full = f"the spool is full (max_bytes = {self._settings.max_bytes})"
                short = f"the spool leaves the last {_RESERVE} of the disk alone"
                return Put(stored=False, reason="spool_full", message=full if over else short)
            dropped = made
        if not hold:
            store.add(hands.connection, entry)
            return Put(stored=True, dropped=dropped)
        store.add(hands.connection, attrs.evolve(entry, owner=hands.me, attempts=1))
        ticket = Ticket(entry.key, hands.me, entry.spans, entry.created)
        return Put(stored=True, ticket=ticket, dropped=dropped)

    def _short_of(self, size: int, hands: Hands) -> tuple[int, int]:
        """Bytes that are too many for `max_bytes` if `size` is added, and for the disk."""
        over = store.totals(hands.connection).bytes + size - self._settings.max_bytes
        disk = 0
        if folder.free_bytes(self._settings.directory) < _RESERVE:
            disk = size + _SLACK - store.unused(hands.connection)
        return max(0, over), max(0, disk)

    def _take(self, limit: int, skip: int, now: float, hands: Hands) -> _Taken:
        too_old = self._clean(hands, now)
        left_alone = peace.left(hands.connection, now, self._longest_peace)
        if left_alone:
            return _Taken([], [], [], too_old, left_alone, left_alone)
        entries, damaged = store.take(hands.connection, hands.me, now, limit, skip)
        tickets = [Ticket(one.key, hands.me, one.spans, one.created, one.attempts) for one in entries]
        return _Taken(entries, tickets, damaged, too_old, store.next_due(hands.connection, now), 0.0)

    def _clean(self, hands: Hands, now: float) -> Tally:
        """Let go of what the dead held, and give up what is too old."""
        store.free(hands.connection, hands.me, hands.gone)
        return Tally() if self._max_age is None else store.expire(hands.connection, now - self._max_age)

    def _nothing_to_do(self, hands: Hands) -> bool:
        return not hands.first and store.all_owned_by(hands.connection, hands.me)

    def _settle(self, ticket: Ticket, work: Callable[[sqlite3.Connection], bool]) -> Answer:
        if self._mine.get(ticket.key) != ticket.owner:
            return Answer(ok=False, message="this process doesn't hold that batch")
        try:
            there = self._write(lambda hands: work(hands.connection), then=partial(self._forget, ticket.key))
        except Failure as failure:
            # It stays leased, so nobody sends it meanwhile; the next call that can write settles it.
            self._owed[ticket.key] = work
            return Answer(ok=False, message=failure.message)
        with contextlib.suppress(Failure):  # the batch is settled; the space can wait
            self._engine.tidy()
        return _DONE if there else Answer(ok=False, message="the batch is no longer in the spool")


def _remove(
    ticket: Ticket,
    connection: sqlite3.Connection,
    reason: str = "",
    lost: Mapping[str, int] = _NOTHING,
    left: Sequence[store.Entry] = (),
) -> bool:
    removed = store.delete_owned(connection, ticket.key, ticket.owner)
    if not removed:
        return False
    if reason:
        store.lose(connection, reason, removed)
    for why, spans in lost.items():
        store.lose(connection, why, Tally(spans=spans))
    for entry in left:
        store.add(connection, entry)
    return True


def _moment(not_before: float) -> float:
    return float(not_before) if math.isfinite(not_before) else 0.0


def _release(ticket: Ticket, not_before: float, connection: sqlite3.Connection) -> bool:
    return store.release(connection, ticket.key, ticket.owner, not_before)


def _say(backend: str, cause: str, message: str, n: int) -> None:
    del cause, n
    _log.warning("%s: %s", backend, message)
