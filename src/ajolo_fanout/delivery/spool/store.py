"""What is done inside one transaction: plain SQL on one connection, no locks, no files, no clock.

A batch waits (no owner) or is leased (its owner's name). Only a batch that waits is given up for age or
for room: what a living process is sending is its own.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import attrs

from ajolo_fanout.delivery.spool.results import Fill, Tally

__all__ = [
    "JOINED",
    "LONGEST_PUT_OFF",
    "ROW_BYTES",
    "Damaged",
    "Entry",
    "add",
    "all_owned_by",
    "delete_owned",
    "delete_waiting",
    "entry_of",
    "expire",
    "fill",
    "free",
    "keep_only",
    "leases",
    "lose",
    "make_room",
    "next_due",
    "pack",
    "release",
    "shrink",
    "take",
    "totals",
    "unpack",
    "unused",
    "wake",
]

LONGEST_PUT_OFF = 300.0
"""Seconds. What is put off for longer was put off by a clock that has been set back since: it may be tried now."""

ROW_BYTES = 256
"""What a batch is counted with beyond its body: its rows and their indexes."""

_T = TypeVar("_T")

_DIGEST_SIZE = 16
_WORTH_PACKING = 512
_FREE_PAGES = 1024
_PAGES_AT_ONCE = 2048

_COLUMNS = (
    "b.id, b.key, b.created, b.spans, b.bytes, b.not_before, b.attempts, b.owner, d.digest, d.packed, d.body"
)
_PUT_OFF = "not_before > :now AND not_before <= :now + :longest"
_SUMS = "count(*), coalesce(sum(spans), 0), coalesce(sum(bytes), 0)"
JOINED = f"SELECT {_COLUMNS} FROM batches b LEFT JOIN bodies d ON d.id = b.id"  # noqa: S608 - constants


@attrs.frozen
class Entry:
    """One batch as it stands in the database.

    Attributes:
        key: Its name.
        created: Seconds since the epoch.
        spans: Spans in it.
        packed: Whether `body` is compressed.
        body: The request.
        not_before: Seconds since the epoch.
        attempts: How often it was leased.
        owner: Who leases it; None when it waits.
    """

    key: str
    created: float
    spans: int
    packed: bool
    body: bytes = attrs.field(repr=False)
    not_before: float = 0.0
    attempts: int = 0
    owner: str | None = None

    @property
    def size(self) -> int:
        """What it counts for."""
        return len(self.body) + ROW_BYTES

    @property
    def digest(self) -> bytes:
        """The checksum of everything that doesn't change."""
        hashed = hashlib.blake2b(self.key.encode(), digest_size=_DIGEST_SIZE)
        hashed.update(struct.pack(">dq?", self.created, self.spans, self.packed))
        hashed.update(self.body)
        return hashed.digest()


@attrs.frozen
class Damaged:
    """A row whose checksum is wrong.

    Attributes:
        key: Its name, as far as it has one.
        content: Its body as it is.
        tally: What it counted for.
    """

    key: str
    content: bytes = attrs.field(repr=False)
    tally: Tally


def pack(key: str, body: bytes, spans: int, created: float) -> Entry:
    """The entry of a new batch, compressed where that makes it smaller."""
    if len(body) >= _WORTH_PACKING:
        packed = zlib.compress(body, 1)
        if len(packed) < len(body):
            return Entry(key, created, spans, packed=True, body=packed)
    return Entry(key, created, spans, packed=False, body=body)


def unpack(entry: Entry) -> bytes:
    """The request as it was put."""
    return zlib.decompress(entry.body) if entry.packed else entry.body


def entry_of(row: Sequence[object]) -> Entry | Damaged:
    """What a row of the two joined tables holds, if its checksum is right."""
    _, key, created, spans, size, not_before, attempts, owner, digest, packed, body = row
    try:
        entry = Entry(
            key=_a(str, key),
            created=_a(float, created),
            spans=_a(int, spans),
            packed=bool(_a(int, packed)),
            body=_a(bytes, body),
            not_before=_a(float, not_before),
            attempts=_a(int, attempts),
            owner=None if owner is None else _a(str, owner),
        )
        right = entry.digest == digest
    except (TypeError, ValueError, struct.error):
        right = False
    if right:
        return entry
    counted = [value if isinstance(value, int) else 0 for value in (spans, size)]
    content = body if isinstance(body, bytes) else b""
    return Damaged(key if isinstance(key, str) else "", content, Tally(1, *counted))


def _a(kind: type[_T], value: object) -> _T:
    if type(value) is not kind:
        raise TypeError
    return value


def totals(connection: sqlite3.Connection) -> Tally:
    """Everything in the spool."""
    row = connection.execute("SELECT batches, spans, bytes FROM totals").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the totals are missing")
    return Tally(*row)


def add(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write an entry; nothing when it is there already (an operation that is done again)."""
    done = connection.execute(
        "INSERT INTO batches (key, created, spans, bytes, not_before, attempts, owner) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (
            entry.key,
            entry.created,
            entry.spans,
            entry.size,
            entry.not_before,
            entry.attempts,
            entry.owner,
        ),
    )
    if done.rowcount == 1:
        connection.execute(
            "INSERT INTO bodies (id, digest, packed, body) VALUES (?, ?, ?, ?)",
            (done.lastrowid, entry.digest, int(entry.packed), entry.body),
        )


def make_room(connection: sqlite3.Connection, size: int) -> Tally | None:
    """Give up the batches that have waited longest until `size` bytes are gone.

    Returns:
        What was given up; None, and nothing was, when all that wait don't come to `size`.
    """
    victims: list[tuple[int]] = []
    dropped = Tally()
    for row in connection.execute(
        "SELECT id, spans, bytes FROM batches WHERE owner IS NULL ORDER BY created, id"
    ):
        if dropped.bytes >= size:
            break
        victims.append((row[0],))
        dropped += Tally(1, row[1], row[2])
    if dropped.bytes < size:
        return None
    if dropped:
        connection.executemany("DELETE FROM batches WHERE id = ?", victims)
        lose(connection, "spool_full", dropped)
    return dropped


def free(connection: sqlite3.Connection, me: str, gone: Callable[[str], bool]) -> None:
    """Let go of what owners held that are no more."""
    owners = connection.execute(
        "SELECT DISTINCT owner FROM batches WHERE owner IS NOT NULL AND owner != ?", (me,)
    ).fetchall()
    for (owner,) in owners:
        if gone(str(owner)):
            connection.execute("UPDATE batches SET owner = NULL WHERE owner = ?", (owner,))


def keep_only(connection: sqlite3.Connection, me: str, keys: Iterable[str]) -> None:
    """Let go of what stands under `me` and isn't known to it: an operation whose end was never seen."""
    keys = set(keys)
    mine = connection.execute("SELECT id, key FROM batches WHERE owner = ?", (me,)).fetchall()
    unknown = [(number,) for number, key in mine if key not in keys]
    connection.executemany("UPDATE batches SET owner = NULL WHERE id = ?", unknown)


def expire(connection: sqlite3.Connection, before: float) -> Tally:
    """Give up what waits and was created before `before`."""
    return delete_waiting(connection, "too_old", "created < ?", before)


def delete_waiting(connection: sqlite3.Connection, reason: str, where: str = "", *values: float) -> Tally:
    """Give up what waits (and meets `where`, SQL of ours), and keep count of it under `reason`."""
    condition = f"owner IS NULL AND {where}" if where else "owner IS NULL"
    row = connection.execute(
        f"SELECT {_SUMS} FROM batches WHERE {condition}",  # noqa: S608
        values,
    ).fetchone()
    found = Tally(*row)
    if found:
        connection.execute(f"DELETE FROM batches WHERE {condition}", values)  # noqa: S608
        lose(connection, reason, found)
    return found


def take(
    connection: sqlite3.Connection, me: str, now: float, limit: int, skip: int = 0
) -> tuple[list[Entry], list[Damaged]]:
    """Lease the oldest batches that may be sent now, but for `skip`; take out those that are damaged."""
    rows = connection.execute(
        f"{JOINED} WHERE b.owner IS NULL AND NOT ({_PUT_OFF}) ORDER BY b.created, b.id LIMIT :limit OFFSET :skip",
        {"now": now, "longest": LONGEST_PUT_OFF, "limit": limit, "skip": skip},
    ).fetchall()
    taken: list[Entry] = []
    damaged: list[Damaged] = []
    for row in rows:
        entry = entry_of(row)
        if isinstance(entry, Damaged):
            connection.execute("DELETE FROM batches WHERE id = ?", (row[0],))
            lose(connection, "error", entry.tally)
            damaged.append(entry)
        else:
            connection.execute(
                "UPDATE batches SET owner = ?, attempts = attempts + 1 WHERE id = ?", (me, row[0])
            )
            taken.append(attrs.evolve(entry, owner=me, attempts=entry.attempts + 1))
    return taken, damaged


def all_owned_by(connection: sqlite3.Connection, me: str) -> bool:
    """Whether there is nothing but what `me` is sending."""
    row = connection.execute(
        "SELECT 1 FROM batches WHERE owner IS NULL OR owner != ? LIMIT 1", (me,)
    ).fetchone()
    return row is None


def unused(connection: sqlite3.Connection) -> int:
    """Bytes inside the file that new batches can take before it has to grow."""
    (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * size)


def next_due(connection: sqlite3.Connection, now: float) -> float | None:
    """Seconds until the next batch that waits may be sent; None when none waits."""
    (first,) = connection.execute(
        f"SELECT min(CASE WHEN {_PUT_OFF} THEN not_before ELSE 0 END) FROM batches WHERE owner IS NULL",  # noqa: S608
        {"now": now, "longest": LONGEST_PUT_OFF},
    ).fetchone()
    return None if first is None else max(0.0, float(first) - now)


def release(connection: sqlite3.Connection, key: str, owner: str, not_before: float) -> bool:
    """Let a leased batch wait again; False when it isn't leased by `owner` any more."""
    done = connection.execute(
        "UPDATE batches SET owner = NULL, not_before = ? WHERE key = ? AND owner = ?",
        (not_before, key, owner),
    )
    return done.rowcount == 1


def wake(connection: sqlite3.Connection) -> None:
    """Let everything that waits be tried now."""
    connection.execute("UPDATE batches SET not_before = 0 WHERE owner IS NULL AND not_before > 0")


def leases(connection: sqlite3.Connection) -> dict[str, Tally]:
    """What each owner holds, those that are gone included."""
    rows = connection.execute(
        f"SELECT owner, {_SUMS} FROM batches WHERE owner IS NOT NULL GROUP BY owner ORDER BY owner"  # noqa: S608 - constants
    ).fetchall()
    return {str(owner): Tally(*sums) for owner, *sums in rows}


def delete_owned(connection: sqlite3.Connection, key: str, owner: str) -> Tally:
    """Take out a leased batch; what it was, or an empty tally when it isn't leased by `owner` any more."""
    row = connection.execute(
        "SELECT spans, bytes FROM batches WHERE key = ? AND owner = ?", (key, owner)
    ).fetchone()
    if row is None:
        return Tally()
    connection.execute("DELETE FROM batches WHERE key = ?", (key,))
    return Tally(1, *row)


def lose(connection: sqlite3.Connection, reason: str, tally: Tally) -> None:
    """Keep count of what was given up."""
    connection.execute(
        "INSERT INTO losses VALUES (?, ?, ?, ?) ON CONFLICT (reason) DO UPDATE SET batches = batches + "
        "excluded.batches, spans = spans + excluded.spans, bytes = bytes + excluded.bytes",
        (reason, tally.batches, tally.spans, tally.bytes),
    )


def fill(connection: sqlite3.Connection) -> Fill:
    """What is there now."""
    sending = connection.execute(
        f"SELECT {_SUMS} FROM batches WHERE owner IS NOT NULL"  # noqa: S608 - constants
    ).fetchone()
    (oldest,) = connection.execute("SELECT min(created) FROM batches").fetchone()
    lost = connection.execute("SELECT reason, batches, spans, bytes FROM losses ORDER BY reason").fetchall()
    return Fill(
        held=totals(connection),
        sending=Tally(*sending),
        oldest=oldest,
        lost={reason: Tally(*rest) for reason, *rest in lost},
    )


def shrink(connection: sqlite3.Connection, *, all_of_it: bool = False) -> None:
    """Give space back to the disk when most of the file is empty, a bounded part of it at a time.

    Outside of a transaction. As a script: Python's module before 3.12 steps such a statement only once.
    """
    if all_of_it:
        connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")
        return
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if free >= _FREE_PAGES and free * 2 >= pages:
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE});")
