"""Whatever two processes do to a spool, it is what a list in memory would be (Hypothesis)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.delivery.spool.support import Clock, spool

from ajolo_fanout.delivery.spool import Spool, Tally, Ticket
from ajolo_fanout.delivery.spool.store import ROW_BYTES

LIMIT = 3000
MAX_AGE = 100.0


@attrs.define
class Row:
    body: bytes
    spans: int
    created: float
    not_before: float = 0.0
    holder: int | None = None
    ticket: Ticket | None = None

    @property
    def tally(self) -> Tally:
        return Tally(1, self.spans, len(self.body) + ROW_BYTES)


class TwoProcesses(RuleBasedStateMachine):
    """Two spools on one folder, each with leases of its own, against a list of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.rows: list[Row] = []  # in the order in which they were put
        self.lost: dict[str, Tally] = {}
        self.number = 0

    @initialize(drop_oldest=st.booleans())
    def begin(self, drop_oldest: bool) -> None:
        self.drop_oldest = drop_oldest
        self.spools = [self.open(), self.open()]

    def open(self) -> Spool:
        return spool(
            self.folder / "spool",
            max_bytes=LIMIT,
            when_full="drop_oldest" if self.drop_oldest else "drop_newest",
            max_age=MAX_AGE,
            clock=self.clock,
        )

    def teardown(self) -> None:
        for one in getattr(self, "spools", []):
            one.close()
        shutil.rmtree(self.folder)

    def lose(self, reason: str, rows: list[Row]) -> Tally:
        gone = sum((row.tally for row in rows), Tally())
        if gone:
            self.lost[reason] = self.lost.get(reason, Tally()) + gone
        self.rows = [row for row in self.rows if row not in rows]
        return gone

    def waiting(self) -> list[Row]:
        return sorted((row for row in self.rows if row.holder is None), key=lambda row: row.created)

    def expire(self) -> Tally:
        limit = self.clock.now - MAX_AGE
        return self.lose("too_old", [row for row in self.waiting() if row.created < limit])

    def over(self, size: int) -> int:
        return sum(row.tally.bytes for row in self.rows) + size - LIMIT

    @rule(
        who=st.integers(0, 1),
        size=st.sampled_from([8, 300, 400, 500]),
        age=st.sampled_from([0.0, 1.0, 50.0, 100.0, 101.0]),
        hold=st.booleans(),
    )
    def put(self, who: int, size: int, age: float, hold: bool) -> None:
        self.number += 1
        body = self.number.to_bytes(8, "big") + bytes(range(256)) * 20
        row = Row(body[:size], self.number % 7 + 1, self.clock.now - age)
        put = self.spools[who].put(row.body, row.spans, row.created, hold=hold)
        if age > MAX_AGE:
            assert put.reason == "too_old"
            return
        dropped: list[Row] = []
        if self.over(row.tally.bytes) > 0:
            self.expire()
            over = self.over(row.tally.bytes)
            for old in self.waiting():
                if sum(one.tally.bytes for one in dropped) >= over:
                    break
                dropped.append(old)
            if over > 0 and (not self.drop_oldest or sum(one.tally.bytes for one in dropped) < over):
                assert (put.stored, put.reason) == (False, "spool_full")
                return
        assert put.stored, put.message
        assert put.dropped == self.lose("spool_full", dropped)
        assert (put.ticket is not None) == hold
        row.holder, row.ticket = (who if hold else None), put.ticket
        self.rows.append(row)

    @rule(who=st.integers(0, 1), limit=st.integers(1, 4))
    def lease(self, who: int, limit: int) -> None:
        lease = self.spools[who].lease(limit)
        assert not lease.message
        assert lease.too_old == self.expire()
        ready = [row for row in self.waiting() if row.not_before <= self.clock.now][:limit]
        assert [batch.body for batch in lease.batches] == [row.body for row in ready]
        for row, batch in zip(ready, lease.batches, strict=True):
            assert batch.ticket.spans == row.spans
            assert batch.age == self.clock.now - row.created
            row.holder, row.ticket = who, batch.ticket
        rest = [max(0.0, row.not_before - self.clock.now) for row in self.waiting()]
        assert lease.due == (min(rest) if rest else None)

    @precondition(lambda self: any(row.holder is not None for row in self.rows))
    @rule(
        data=st.data(),
        how=st.sampled_from(["done", "release", "release later", "discard", "by the other"]),
    )
    def settle(self, data: st.DataObject, how: str) -> None:
        row = data.draw(st.sampled_from([row for row in self.rows if row.holder is not None]), "row")
        assert row.holder is not None
        assert row.ticket is not None
        one = self.spools[row.holder]
        if how == "by the other":
            assert not self.spools[1 - row.holder].done(row.ticket)
        elif how.startswith("release"):
            row.not_before = self.clock.now + (20 if how == "release later" else 0)
            assert one.release(row.ticket, row.not_before)
            row.holder = row.ticket = None
        elif how == "done":
            assert one.done(row.ticket)
            self.rows.remove(row)
        else:
            assert one.discard(row.ticket, "rejected")
            self.lose("rejected", [row])

    @rule(seconds=st.sampled_from([1.0, 20.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(who=st.integers(0, 1))
    def rest(self, who: int) -> None:
        self.spools[who].rest()

    @rule(who=st.integers(0, 1))
    def die(self, who: int) -> None:
        """As if it were killed: its lock goes, and nothing else is said."""
        owner = self.spools[who]._engine._owner
        if owner is not None:
            owner.close()
        self.spools[who].rest()
        self.spools[who] = self.open()
        for row in self.rows:
            if row.holder == who:
                row.holder = row.ticket = None

    @invariant()
    def is_what_the_list_says(self) -> None:
        for one in getattr(self, "spools", []):
            fill = one.fill()
            assert not fill.message
            assert fill.held == sum((row.tally for row in self.rows), Tally())
            assert dict(fill.lost) == self.lost
            assert fill.oldest == min((row.created for row in self.rows), default=None)


TestTwoProcesses = TwoProcesses.TestCase
TestTwoProcesses.settings = settings(
    max_examples=max(20, settings.default.max_examples // 4), stateful_step_count=40
)
