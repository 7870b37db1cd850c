"""What lies in a spool's folder, for the command line: read beside whatever works on it, changing nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import attrs

from ajolo_fanout.delivery.spool import folder, lease, store
from ajolo_fanout.delivery.spool.database import connect, names_in, snapshot
from ajolo_fanout.delivery.spool.folder import Unusable
from ajolo_fanout.delivery.spool.results import Fill, Tally

__all__ = ["Holder", "Listing", "Survey", "survey"]

_PATIENCE = 5.0


@attrs.frozen
class Holder:
    """One process that is sending from a spool.

    Attributes:
        pid: Its number; None where it is on another machine, or doesn't say.
        here: Whether it is on this machine.
        held: The batches that it alone may send.
    """

    pid: int | None
    here: bool
    held: Tally


@attrs.frozen
class Listing:
    """The spool of one (service.name, backend).

    Attributes:
        service: The program's `service.name`; empty where the file can't be read.
        backend: The backend's name in the file it was made for.
        path: The database.
        fill: What is in it; its `message` says why where it can't be read.
        processes: How many processes work on it.
        holders: Those of them that are sending at this moment.
    """

    service: str
    backend: str
    path: Path
    fill: Fill
    processes: int
    holders: tuple[Holder, ...] = ()

    @property
    def waiting(self) -> Tally:
        """What nobody is sending: what a process held that is gone waits, too."""
        sending = sum((one.held for one in self.holders), Tally())
        held = self.fill.held
        return Tally(held.batches - sending.batches, held.spans - sending.spans, held.bytes - sending.bytes)


@attrs.frozen
class Survey:
    """A spool's folder.

    Attributes:
        listings: One for each database, by path.
        damaged: The names of files that were set aside.
        message: Why the folder can't be read, for the operator; empty when it can.
    """

    listings: tuple[Listing, ...] = ()
    damaged: tuple[str, ...] = ()
    message: str = ""


def survey(directory: Path) -> Survey:
    """Look into `directory`. Never raises; a folder that doesn't exist yet is an empty one."""
    if not os.path.lexists(directory):
        return Survey()
    try:
        folder.check_folder(directory, make=False)
        found = folder.databases(directory)
        damaged = sorted(path.name for path in directory.glob("*.damaged-*") if path.name[-1].isdigit())
    except (Unusable, OSError) as error:
        return Survey(message=str(error))
    return Survey(tuple(_look(directory, stem, path) for stem, path in found), tuple(damaged))


def _look(directory: Path, stem: str, path: Path) -> Listing:
    living = lease.living(directory, stem)
    try:
        # Alone while it opens, as whoever sets a damaged one aside.
        with lease.exclusive(directory / f"{stem}.lock", _PATIENCE):
            folder.check_file(path)
            connection = connect(path, busy_timeout=_PATIENCE, read_only=True)
        with contextlib.closing(connection), snapshot(connection):
            service, backend = names_in(connection)
            fill, leases = store.fill(connection), store.leases(connection)
        holders = tuple(
            Holder(lease.pid_of(directory, stem, name), name.partition(".")[0] == lease.host(), held)
            for name, held in leases.items()
            if name in living
        )
        return Listing(service, backend, path, fill, len(living), holders)
    except (sqlite3.Error, Unusable, lease.Busy, OSError) as error:
        return Listing("", "", path, Fill(message=str(error)), len(living))
