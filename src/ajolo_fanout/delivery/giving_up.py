"""Batches that wait in memory no longer, without having been delivered: counted, and said."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ajolo_fanout.config.retry import RetrySettings
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.delivery.retry_store import Held
from ajolo_fanout.health.fates import Reason

__all__ = ["give_up_old", "tell_not_kept"]


def tell_not_kept(
    books: Books, settings: RetrySettings, count: int, outcome: Outcome | None, full: Reason
) -> None:
    """Say why spans that were to be sent again could not be kept.

    Args:
        books: Of their backend.
        settings: The bounds of the store.
        count: How many there were.
        outcome: Why they had not been taken; None when they were not tried.
        full: What had no room: `retry_full`, or `spool_full` where the disk hadn't, either.
    """
    if outcome is not None and outcome.kind == "rejected":
        books.tell(f"rejected {outcome.status}", f"{count} spans rejected: {outcome.message}", count)
        return
    also = ", and so is the spool" if full == "spool_full" else ""
    books.note(full, f"the retry store is full ({settings.max_bytes}){also}: {count} spans lost", count)


def give_up_old(books: Books, settings: RetrySettings, old: Sequence[Held]) -> None:
    """Count batches that have waited too long as lost, and say so."""
    count = sum(len(held.renditions) for held in old)
    size = sum(held.size for held in old)
    books.gate.settle("retry", count, size, partial(books.ledger.lost, "too_old", count))
    books.note(
        "too_old", f"{count} spans waited longer than {settings.max_age} to be sent again: lost", count
    )
