"""One process's hold on a spool's database: opening, locks, forks, and what to do when it fails.

A connection never crosses a fork. SQLite keeps its locks in the process's memory, and a child that opens a
file which its parent had open would believe it holds locks that it doesn't. So connections are closed before
a fork (Python's own hook, under the spool's lock) and made again when they are needed. Where something forks
behind Python's back, with the connection open, the child works without the spool and says so.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs

from ajolo_fanout.delivery.spool import folder, lease, store
from ajolo_fanout.delivery.spool.database import connect, make, snapshot, transaction, trouble_of
from ajolo_fanout.delivery.spool.folder import Unusable
from ajolo_fanout.delivery.spool.lease import Busy, Owner
from ajolo_fanout.delivery.spool.results import Refusal, Tally
from ajolo_fanout.delivery.spool.salvage import salvage

__all__ = ["Engine", "Failure", "Hands", "Tell"]

T = TypeVar("T")

Tell = Callable[[str, str, int], None]
"""Tells the operator: a short name of the cause, the message, how many spans it is about."""

_Within = Callable[[sqlite3.Connection], contextlib.AbstractContextManager[object]]

_log = logging.getLogger("ajolo_fanout.delivery")

_ATTEMPTS = 5
_NAP = 0.02
_BROKEN = (
    "this process was forked while the spool was open, without Python's hooks for a fork (or in the middle "
    "of a long write): it works without a spool"
)


class Failure(Exception):  # noqa: N818 - an answer on its way out
    """An operation that couldn't be done, and why, in the ledger's words and the operator's."""

    def __init__(self, message: str, reason: Refusal = "error") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


@attrs.frozen(eq=False)
class Hands:
    """What an operation works with.

    Attributes:
        connection: Inside a transaction.
        me: The name under which this process leases.
        gone: Whether the owner of that name is no more.
        first: Whether this connection was just made, to a file that others may have changed.
    """

    connection: sqlite3.Connection
    me: str
    gone: Callable[[str], bool]
    first: bool


class Engine:
    """Runs operations on the database of one (service.name, backend), one at a time in this process."""

    def __init__(
        self,
        directory: Path,
        about: tuple[str, str],
        *,
        patience: float,
        tell: Tell,
        forked: Callable[[], None],
    ) -> None:
        """An engine that has touched nothing yet.

        Args:
            directory: The spool's folder.
            about: service.name and backend.
            patience: Seconds to wait for other threads and processes.
            tell: Gets what no answer says.
            forked: Called in a forked child: what its parent leased is its parent's.
        """
        self.directory = directory
        self.stem = folder.stem_of(*about)
        self._about = about
        self._patience = patience
        self._tell = tell
        self._forked = forked
        self._lock_file = directory / f"{self.stem}.lock"
        self._connection: sqlite3.Connection | None = None
        self._owner: Owner | None = None
        self._broken = ""
        self._begin()
        _remember(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._identity: os.stat_result | None = None
        self._first = True
        self._last = ""
        self._notices: list[tuple[str, str, int]] = []

    def write(self, work: Callable[[Hands], T], then: Callable[[T], None] | None = None) -> T:
        """Run `work` in a transaction of its own; it may run more than once, and counts once.

        Args:
            work: What to do.
            then: Gets the result once it is certain, before any other operation begins.

        Raises:
            Failure: it couldn't be done, and nothing of it was.
        """

        def finish(result: T) -> None:
            self._first = False
            if then is not None:
                then(result)

        return self._run(work, transaction, finish)

    def read(self, work: Callable[[Hands], T]) -> T:
        """Run `work`, which changes nothing; raises as `write` does."""
        return self._run(work, snapshot, lambda _: None)

    def tidy(self, *, thoroughly: bool = False) -> None:
        """Give unused space back to the disk; raises as `write` does."""
        self._run(
            lambda hands: store.shrink(hands.connection, all_of_it=thoroughly),
            contextlib.nullcontext,
            lambda _: None,
        )

    def rest(self) -> None:
        """Close the connection until it is needed again; leases stay."""
        if self._pid == os.getpid() and self._lock.acquire(timeout=self._patience):
            try:
                self._disconnect()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Close for good; what is leased is free for others."""
        if self._pid != os.getpid() or not self._lock.acquire(timeout=self._patience):
            return  # the end of the process will do it
        try:
            self._disconnect()
            if self._owner is not None:
                self._owner.close()
                self._owner = None
            self._broken = self._broken or "the spool is closed"
        finally:
            self._lock.release()

    def others(self) -> int:
        """How many other processes work on this spool."""
        mine = self._owner.name if self._owner is not None else ""
        return sum(name != mine for name in lease.living(self.directory, self.stem))

    # One operation.

    def _run(self, work: Callable[[Hands], T], within: _Within, finish: Callable[[T], None]) -> T:
        if self._pid != os.getpid():
            self.after_fork(clean=self._connection is None and not self._lock.locked())
        if self._broken:
            raise Failure(self._broken)
        if not self._lock.acquire(timeout=self._patience):
            raise Failure("another thread has kept the spool busy for too long")
        try:
            return self._attempts(work, within, finish)
        except (Failure, Unusable, Busy, OSError) as error:
            self._disconnect()
            raise _failure(error) from None
        except Exception as error:
            # Isolation: a mistake of ours costs this operation, and never the sender's thread.
            self._disconnect()
            _log.exception("the spool of %s failed", self._about[1])
            raise Failure(f"{type(error).__name__}: {error}") from None
        finally:
            notices, self._notices = self._notices, []
            self._lock.release()
            for notice in notices:
                self._tell(*notice)

    def _attempts(self, work: Callable[[Hands], T], within: _Within, finish: Callable[[T], None]) -> T:
        deadline = time.monotonic() + self._patience
        for _ in range(_ATTEMPTS):
            done = self._once(work, within, deadline)
            if done is not None:
                finish(done[0])
                return done[0]
        raise Failure(f"{self._name()}: {self._last}")

    def _once(self, work: Callable[[Hands], T], within: _Within, deadline: float) -> tuple[T] | None:
        """One try; None when another may succeed."""
        self._last = "the file was replaced again and again"
        try:
            hands = self._hands()
            with within(hands.connection):
                result = work(hands)
        except sqlite3.Error as error:
            self._recover(error, deadline)
            return None
        if self._in_place():
            return (result,)
        # Set aside by another process meanwhile: what we wrote went with it. Once more, then.
        self._disconnect()
        return None

    def _recover(self, error: sqlite3.Error, deadline: float) -> None:
        """Do what makes another try worth while, or raise the Failure that it is."""
        self._last = str(error)
        trouble = trouble_of(error)
        if trouble == "busy":
            if time.monotonic() >= deadline:
                raise Failure("other processes have kept the spool busy for too long") from None
            time.sleep(_NAP)
        elif trouble == "damaged":
            self._replace(str(error))
        elif self._connection is None or self._in_place():
            raise Failure(f"{self._name()}: {error}", "spool_full" if trouble == "full" else "error")
        else:
            self._disconnect()

    def _hands(self) -> Hands:
        if self._owner is not None and not self._owner.renew():
            self._owner.close()  # its file was removed: others think that we are gone
            self._owner = None
        if self._connection is not None and not self._in_place():
            self._disconnect()
        if self._connection is None:
            self._connect()
        if self._owner is None:
            lease.living(self.directory, self.stem)  # sweeps up what dead processes left
            self._owner = lease.new_owner(self.directory, self.stem)
        assert self._connection is not None
        gone = partial(lease.gone, self.directory, self.stem)
        return Hands(self._connection, self._owner.name, gone, self._first)

    def _connect(self) -> None:
        folder.check_folder(self.directory)
        # Alone: between a file's name and SQLite's opening of it, and of its -wal, nobody may set it aside.
        with lease.exclusive(self._lock_file, self._patience):
            path = folder.live_database(self.directory, self.stem)
            if path is None:
                path = make(self.directory, self.stem, self._about)
            folder.check_file(path)
            self._path, self._identity = path, path.lstat()
            self._connection = connect(path, busy_timeout=self._patience, about=self._about)
        self._first = True

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:  # a disk that fails: nothing that was written is at stake
                _log.debug("closing %s: %s", self._name(), error)

    def _in_place(self) -> bool:
        """Whether our connection's file is still the one that everybody uses."""
        if self._path is None or self._identity is None:
            return False
        try:
            return os.path.samestat(self._path.lstat(), self._identity)
        except OSError:
            return False

    def _name(self) -> str:
        return str(self._path or self.directory)

    def _replace(self, words: str) -> None:
        """Set the damaged database aside, unless another process has; what is sound goes into a new one."""
        self._disconnect()
        with lease.exclusive(self._lock_file, self._patience):
            if self._path is None or not self._in_place():
                return
            aside = folder.set_aside(self._path, folder.next_number(self.directory, self.stem))
            saved, missing, trouble = Tally(), None, ""
            try:
                path = make(self.directory, self.stem, self._about)
                fresh = connect(path, busy_timeout=self._patience, about=self._about)
                try:
                    saved, missing = salvage(aside, fresh)
                finally:
                    fresh.close()
            except sqlite3.Error as error:
                trouble = f" ({error})"
            removed = folder.prune(self.directory, self.stem)
        lost = "an unknown number" if missing is None else str(missing.spans)
        message = (
            f"the spool's file was damaged ({words}) and is set aside as {aside}: {saved.spans} spans in it "
            f"were saved, {lost} could not be read{trouble}"
        )
        if removed:
            message += f"; older ones were removed: {', '.join(removed)}"
        self._notices.append(("spool_damaged", message, missing.spans if missing else 0))

    def set_aside(self, damaged: store.Damaged) -> str:
        """Keep a damaged batch's bytes in a file; what became of it, in words."""
        try:
            path = folder.write_aside(self.directory, self.stem, damaged.key, damaged.content)
            folder.prune(self.directory, self.stem)
        except OSError as error:
            return f"its bytes could not be set aside: {error.strerror}"
        return f"set aside as {path}"

    # Forks.

    def hold(self, began: float) -> bool:
        """Before a fork: be between two operations, without a connection. False when it took too long."""
        left = began + self._patience - time.monotonic()
        if not self._lock.acquire(timeout=max(0.0, left)):
            return False
        self._disconnect()
        return True

    def let_go(self) -> None:
        """In the parent, after the fork."""
        self._lock.release()

    def after_fork(self, *, clean: bool) -> None:
        """In the child: begin anew. `clean`: no connection was open and no operation under way."""
        if not clean:
            # Neither used nor closed, as SQLite demands, and so never let go of.
            if self._connection is not None:
                _inherited.append(self._connection)
            self._broken = _BROKEN
        self._connection = None
        self._owner = None
        self._begin()
        self._forked()


def _failure(error: Exception) -> Failure:
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = f"{error.filename}: " if error.filename else ""
        return Failure(f"{where}{error.strerror or error}", "spool_full" if full else "error")
    return Failure(str(error))


_engines: dict[int, weakref.ref[Engine]] = {}
_inherited: list[sqlite3.Connection] = []
_forking = threading.local()
_hooked = False


def _remember(engine: Engine) -> None:
    global _hooked  # noqa: PLW0603 - hooks of the process, set once
    number = id(engine)
    _engines[number] = weakref.ref(engine, lambda _: _engines.pop(number, None))
    if not _hooked:
        _hooked = True
        os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def _living() -> list[Engine]:
    return [engine for reference in list(_engines.values()) if (engine := reference()) is not None]


def _before_fork() -> None:
    began = time.monotonic()
    _forking.held = [engine for engine in _living() if engine.hold(began)]


def _in_parent() -> None:
    for engine in _forking.__dict__.pop("held", []):
        engine.let_go()


def _in_child() -> None:
    held = _forking.__dict__.pop("held", [])
    for engine in _living():
        engine.after_fork(clean=engine in held)
