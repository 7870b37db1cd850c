"""Opening a spool's SQLite file: WAL mode, the tables, and what an error of SQLite's means.

Bodies have a table of their own, so that looking for the oldest batch doesn't read them. Triggers keep the
totals, so that no operation can forget to.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from ajolo_fanout.delivery.spool.folder import Unusable, new_database

__all__ = ["Trouble", "connect", "make", "names_in", "snapshot", "transaction", "trouble_of"]

Trouble = Literal["busy", "damaged", "full", "other"]
"""What is behind an error of SQLite's: others at work, a damaged file, no room, anything else."""

_VERSION = 1
_JOURNAL_LIMIT = 8 * 1024**2

_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,          -- seconds since the epoch
    spans INTEGER NOT NULL,
    bytes INTEGER NOT NULL,         -- on disk, with what a row costs
    not_before REAL NOT NULL,       -- seconds since the epoch
    attempts INTEGER NOT NULL,      -- how often it was leased
    owner TEXT                      -- who is sending it; NULL: it waits
);
CREATE INDEX by_age ON batches (created, id);
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY REFERENCES batches (id),
    digest BLOB NOT NULL,           -- of everything that matters in both rows
    packed INTEGER NOT NULL,        -- 1: compressed by zlib
    body BLOB NOT NULL
);
CREATE TABLE totals (batches INTEGER NOT NULL, spans INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0, 0);
CREATE TABLE losses (
    reason TEXT PRIMARY KEY, batches INTEGER NOT NULL, spans INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER batch_came AFTER INSERT ON batches BEGIN
    UPDATE totals SET batches = batches + 1, spans = spans + NEW.spans, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER batch_went AFTER DELETE ON batches BEGIN
    UPDATE totals SET batches = batches - 1, spans = spans - OLD.spans, bytes = bytes - OLD.bytes;
    DELETE FROM bodies WHERE id = OLD.id;
END;
"""


def make(directory: Path, stem: str, about: tuple[str, str]) -> Path:
    """Make a new database for the (service.name, backend) `about`; its path.

    Raises:
        OSError: when the folder can't be written.
        sqlite3.Error: see `trouble_of`.
    """

    def fill(path: Path) -> None:
        # With SQLite's first kind of journal, so that the file alone holds everything when it is closed.
        with contextlib.closing(_open(path, "rw", busy_timeout=0.0)) as connection:
            # Before the first table: the file can shrink again after an outage.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            with transaction(connection):
                for statement in _statements():
                    connection.execute(statement)
                connection.executemany(
                    "INSERT INTO about VALUES (?, ?)",
                    [("service", json.dumps(about[0])), ("backend", json.dumps(about[1]))],
                )
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    return new_database(directory, stem, fill)


def connect(
    path: Path, *, busy_timeout: float, about: tuple[str, str] | None = None, read_only: bool = False
) -> sqlite3.Connection:
    """Open the database at `path`, which `make` made.

    Shared between threads under the caller's lock. Transactions are the caller's as well (`transaction`).

    Args:
        path: The file.
        busy_timeout: Seconds to wait for another process's transaction.
        about: The (service.name, backend) it belongs to, compared with what it says.
        read_only: Change nothing in it.

    Raises:
        Unusable: it belongs to another pair, or this file system can't have a database in WAL mode.
        sqlite3.Error: see `trouble_of`.
    """
    connection = _open(path, "ro" if read_only else "rw", busy_timeout=busy_timeout)
    try:
        _prepare(connection, path, about, read_only=read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, mode: Literal["ro", "rw"], *, busy_timeout: float) -> sqlite3.Connection:
    """A connection, as it comes.

    Made by the class and not by `sqlite3.connect`: instrumentations wrap that function, and nothing of ours
    is to be traced, by OpenTelemetry's or anybody else's.
    """
    connection = sqlite3.Connection(
        f"file:{quote(str(path))}?mode={mode}",
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    connection.text_factory = _readable
    return connection


def _readable(text: bytes) -> str:
    """Damaged text is text all the same: the checksum will tell. SQLite's module would raise at every try."""
    return text.decode("utf-8", "replace")


def _prepare(
    connection: sqlite3.Connection, path: Path, about: tuple[str, str] | None, *, read_only: bool
) -> None:
    connection.execute("PRAGMA cell_size_check = ON")  # finds damage before it is worked with
    connection.execute("PRAGMA trusted_schema = OFF")
    if not read_only:
        # As it was made; and it writes, so that a file which may not be written is noticed here.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise Unusable(f"{path.parent}: SQLite can't share a database on this file system")
        # A killed process loses nothing of it; a power cut may take the last transactions, and no others.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        raise sqlite3.DatabaseError("the file has lost its version" if tables else "the file is empty")
    if version > _VERSION:
        raise Unusable(f"{path} was written by a newer ajolo_fanout; update this one, or move the file away")
    if about is not None and names_in(connection) != about:
        raise Unusable(f"{path} belongs to another program or backend; move it away")


def _statements() -> Iterator[str]:
    """The schema's statements one by one: `executescript` would end the transaction they belong to."""
    statement = ""
    for line in _SCHEMA.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def names_in(connection: sqlite3.Connection) -> tuple[str, str]:
    """The (service.name, backend) that a database belongs to.

    Raises:
        sqlite3.DatabaseError: when it doesn't say so readably.
    """
    found = dict(connection.execute("SELECT key, value FROM about").fetchall())
    try:
        service, backend = json.loads(found["service"]), json.loads(found["backend"])
    except (KeyError, TypeError, ValueError):
        raise sqlite3.DatabaseError("the file doesn't say whose it is") from None
    return str(service), str(backend)


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read several things as they are at one moment; keeps nobody from writing."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with contextlib.suppress(sqlite3.Error):  # nothing was written
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write, alone among all processes; all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself, or can't any more
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def trouble_of(error: sqlite3.Error) -> Trouble:
    """What is behind `error`."""
    if type(error) is sqlite3.DatabaseError:
        return "damaged"  # SQLITE_CORRUPT and SQLITE_NOTADB alone come as the base class (error codes: 3.11)
    words = str(error).lower()
    if "no such" in words:
        return "damaged"  # a table or a column: ours are always there
    if "locked" in words or "locking protocol" in words:
        return "busy"
    if "full" in words:
        return "full"
    return "other"
