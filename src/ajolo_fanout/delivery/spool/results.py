"""What the spool answers: plain values, each saying what really happened."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

__all__ = ["Answer", "Batch", "Fill", "Lease", "Put", "Refusal", "Tally", "Ticket"]

Refusal = Literal["spool_full", "too_old", "error"]
"""Why something isn't in the spool: a loss's reason in the ledger's words."""


@attrs.frozen
class Tally:
    """A number of batches, the spans in them, and the bytes they take on disk."""

    batches: int = 0
    spans: int = 0
    bytes: int = 0

    def __bool__(self) -> bool:
        return self.batches > 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.batches + other.batches, self.spans + other.spans, self.bytes + other.bytes)


@attrs.frozen
class Ticket:
    """The right of one process to send one batch, until it says what became of it.

    Attributes:
        key: The batch's name, unique everywhere.
        owner: The lease that the batch is held under.
        spans: Spans in it.
        created: Seconds since the epoch.
        attempts: How often it has been leased, this time included.
    """

    key: str
    owner: str
    spans: int
    created: float
    attempts: int = 1


@attrs.frozen
class Batch:
    """A batch to be sent now.

    Attributes:
        ticket: To be handed back with `done`, `release` or `discard`.
        body: An `ExportTraceServiceRequest`, not compressed; equal to what was put.
        age: Seconds since it was created.
    """

    ticket: Ticket
    body: bytes = attrs.field(repr=False)
    age: float


@attrs.frozen
class Put:
    """What became of a batch that was to be stored. True when it is in the spool.

    Attributes:
        stored: Whether it is in the spool.
        ticket: The right to send it, where it was put with `hold=True`.
        dropped: Older batches that were given up for it (`when_full = "drop_oldest"`).
        reason: Why it was refused, in the ledger's words; None when it was stored.
        message: Why, for the operator; empty when it was stored.
    """

    stored: bool
    ticket: Ticket | None = None
    dropped: Tally = Tally()
    reason: Refusal | None = None
    message: str = ""

    def __bool__(self) -> bool:
        return self.stored


@attrs.frozen
class Lease:
    """Batches to be sent now, the oldest first, and what was given up on the way.

    Attributes:
        batches: This process alone has them, until it hands back their tickets or is gone.
        due: Seconds until the next batch that waits may be tried; 0 when there are more now, None when none
            waits (others may be held by other processes).
        too_old: Batches that had waited longer than the spool's `max_age`: gone.
        damaged: Batches whose bytes have changed on disk: set aside.
        message: Why nothing could be read, for the operator; empty when it could.
        left_alone: Seconds for which the server wants to be left alone; there are no batches meanwhile.
    """

    batches: tuple[Batch, ...] = ()
    due: float | None = None
    too_old: Tally = Tally()
    damaged: Tally = Tally()
    message: str = ""
    left_alone: float = 0.0


@attrs.frozen
class Answer:
    """Whether it is done. True when it is.

    Attributes:
        ok: Whether it was written.
        message: Why not, for the operator. What failed for the disk's sake is tried again with the next call.
    """

    ok: bool
    message: str = ""

    def __bool__(self) -> bool:
        return self.ok


@attrs.frozen
class Fill:
    """What is in the spool of one backend.

    Attributes:
        held: All batches: those that wait, and those that a process is sending.
        sending: Those of them that are leased.
        oldest: When the oldest of them was created, in seconds since the epoch; None when there is none.
        lost: What was ever given up here, by reason: `spool_full`, `too_old`, `rejected`, `error`….
        message: Why this couldn't be read, for the operator; empty when it could.
    """

    held: Tally = Tally()
    sending: Tally = Tally()
    oldest: float | None = None
    lost: Mapping[str, Tally] = MappingProxyType({})
    message: str = ""
