"""What can still be read of a damaged database: every batch whose checksum is right goes into the new one."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from ajolo_fanout.delivery.spool import store
from ajolo_fanout.delivery.spool.database import transaction
from ajolo_fanout.delivery.spool.results import Tally

__all__ = ["salvage"]


def salvage(aside: Path, fresh: sqlite3.Connection) -> tuple[Tally, Tally | None]:
    """Copy the sound batches of `aside` into `fresh`, their leases with them.

    Args:
        aside: The database that was set aside; what it can be made to say, it says.
        fresh: The new one, empty.

    Returns:
        What was copied, and what is missing from it; None where the damaged one can't tell.

    Raises:
        sqlite3.Error: when `fresh` can't be written.
    """
    try:
        old = sqlite3.Connection(str(aside), isolation_level=None)
    except sqlite3.Error:
        return Tally(), None
    old.text_factory = lambda text: text.decode("utf-8", "replace")
    saved = Tally()
    with contextlib.closing(old), transaction(fresh):
        for entry in _sound(old):
            store.add(fresh, entry)
            saved += Tally(1, entry.spans, entry.size)
        for reason, tally in _losses(old):
            store.lose(fresh, reason, tally)
        missing = _missing(old, saved)
        if missing:
            store.lose(fresh, "error", missing)
    return saved, missing


def _sound(old: sqlite3.Connection) -> Iterator[store.Entry]:
    """From the first on until the damage, then from the last back to it."""
    seen: set[object] = set()
    for order in ("ASC", "DESC"):
        rows = _rows(old, f"{store.JOINED} ORDER BY b.id {order}")
        for row in rows:
            if row[0] in seen:
                break
            seen.add(row[0])
            entry = store.entry_of(row)
            if isinstance(entry, store.Entry):
                yield entry


def _rows(old: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    with contextlib.suppress(sqlite3.Error):  # the damage: what came before it has been yielded
        yield from old.execute(query)


def _losses(old: sqlite3.Connection) -> list[tuple[str, Tally]]:
    found = _rows(old, "SELECT batches, spans, bytes, reason FROM losses")
    return [(str(row[3]), tally) for row in found if (tally := _tally(row)) is not None]


def _missing(old: sqlite3.Connection, saved: Tally) -> Tally | None:
    for row in _rows(old, "SELECT batches, spans, bytes FROM totals"):
        there = _tally(row)
        if there is not None:
            return Tally(
                *(max(0, n - m) for n, m in zip(attrs.astuple(there), attrs.astuple(saved), strict=True))
            )
    return None


def _tally(row: Sequence[object]) -> Tally | None:
    numbers = [number for number in row[:3] if isinstance(number, int)]
    return Tally(*numbers) if len(numbers) == 3 else None
