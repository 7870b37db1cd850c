"""The spool's folder and the names in it: ours alone, no links, nothing that others may write.

For each (service.name, backend) there are, all beginning with the same stem::

    my-agent-langfuse-5f2c….00068c9d2b1e7f3a.sqlite3          the database; -wal and -shm beside it
    my-agent-langfuse-5f2c….00068c9d2b1e7f3a.sqlite3.new      one that is being made; -journal beside it
    my-agent-langfuse-5f2c….lock                              held while it is opened or set aside
    my-agent-langfuse-5f2c….HOST.TOKEN.owner                  one for each process at work
    my-agent-langfuse-5f2c….00068c9d2b1e7f3a.sqlite3.damaged-1

A database's name never comes twice: SQLite removes a `-wal` by its name when the last connection closes,
and must not meet that of another file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "MAX_SET_ASIDE",
    "Unusable",
    "check_file",
    "check_folder",
    "databases",
    "free_bytes",
    "live_database",
    "new_database",
    "next_number",
    "prune",
    "set_aside",
    "stem_of",
    "write_aside",
]

MAX_SET_ASIDE = 3
"""So many damaged things are kept for each (service, backend), so that they don't fill the disk."""

_DATABASE = re.compile(r"(?P<stem>.+)\.[0-9a-f]{16}\.sqlite3")
_UNFINISHED = re.compile(r".*\.sqlite3\.new(-journal)?")
_DAMAGED = re.compile(r".*\.damaged-(?P<number>\d+)(?P<part>-wal|-shm)?")
_PARTS = ("", "-wal", "-shm")


class Unusable(Exception):  # noqa: N818 - what it says is the operator's to mend
    """The spool can't be used as it is; the message says what to change."""


def stem_of(service: str, backend: str) -> str:
    """What the file names of one pair begin with: readable, safe, and of no other pair."""
    digest = hashlib.blake2b(json.dumps([service, backend]).encode(), digest_size=8).hexdigest()
    return f"{_slug(service)}-{_slug(backend)}-{digest}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())[:24].strip("_") or "_"


def check_folder(folder: Path, *, make: bool = True) -> None:
    """See that `folder` is ours alone, and make it where it is missing.

    A folder of ours that others may read is closed to them if it is empty or holds a spool already; one that
    has another purpose isn't touched.

    Raises:
        Unusable: when it isn't, or can't be made.
    """
    if make and not os.path.lexists(folder):
        _make(folder)
    try:
        status = folder.lstat()
    except FileNotFoundError:
        raise Unusable(f"{folder} doesn't exist") from None
    except OSError as error:
        raise Unusable(f"{folder} can't be examined: {error.strerror}") from None
    if stat.S_ISLNK(status.st_mode):
        raise Unusable(f"{folder} is a link; name the folder itself")
    if not stat.S_ISDIR(status.st_mode):
        raise Unusable(f"{folder} is not a folder")
    if status.st_uid != os.geteuid():
        raise Unusable(
            f"{folder} belongs to another user (uid {status.st_uid}, this process has {os.geteuid()}); "
            "give it to the program's user, or name another"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o022:
        who = "everyone" if mode & 0o002 else "its group"
        raise Unusable(f"{folder} may be written by {who} (mode {mode:o}); run chmod 700 {folder}")
    if mode & 0o077:
        _close_to_others(folder, mode)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        pass  # another process was faster; it is examined like any
    except FileNotFoundError:
        raise Unusable(f"{folder}: its parent {folder.parent} doesn't exist; make it") from None
    except OSError as error:
        raise Unusable(f"{folder} can't be made: {error.strerror}") from None


def _close_to_others(folder: Path, mode: int) -> None:
    try:
        names = _names(folder)
        if names and not any(_DATABASE.fullmatch(name) for name in names):
            raise Unusable(
                f"{folder} may be read by others (mode {mode:o}) and holds other things; name a folder for "
                f"the spool alone, or run chmod 700 {folder}"
            )
        folder.chmod(0o700)
    except OSError as error:
        raise Unusable(f"{folder} can't be closed to others: {error.strerror}") from None


def check_file(path: Path) -> None:
    """See that a database and what SQLite keeps beside it are plain files of ours, closed to others.

    By name only: opening a database's file beside SQLite would let go of SQLite's locks.

    Raises:
        Unusable: when they aren't.
        OSError: when they can't be examined.
    """
    for part in _PARTS:
        one = path.with_name(path.name + part)
        try:
            status = one.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise Unusable(f"{one} is a link or no plain file; remove it")
        if status.st_uid != os.geteuid():
            raise Unusable(f"{one} belongs to another user (uid {status.st_uid}); remove it")
        if stat.S_IMODE(status.st_mode) & 0o177:
            one.chmod(0o600)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def free_bytes(folder: Path) -> int:
    """What this user may still write to the disk that `folder` is on.

    Raises:
        OSError: when that can't be said.
    """
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def databases(folder: Path) -> list[tuple[str, Path]]:
    """Stem and path of every live database in `folder`, by name."""
    found = ((_DATABASE.fullmatch(name), name) for name in _names(folder))
    return [(match["stem"], folder / name) for match, name in found if match]


def live_database(folder: Path, stem: str) -> Path | None:
    """The database of `stem`: the newest, should somebody have put an older one back."""
    mine = [path for other, path in databases(folder) if other == stem]
    return mine[-1] if mine else None


def new_database(folder: Path, stem: str, fill: Callable[[Path], object]) -> Path:
    """Make a database, 0600, under a name that never was.

    It bears that name only when it is whole: an empty file under it has lost what it held.

    Args:
        folder: Where.
        stem: Whose. Nobody else makes one of it meanwhile.
        fill: Makes the tables in the empty file of that path; may raise.
    """
    for name in _names(folder):
        if name.startswith(f"{stem}.") and _UNFINISHED.fullmatch(name):
            (folder / name).unlink()  # its maker was killed
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    path = folder / f"{stem}.{time.time_ns():016x}.sqlite3"
    unfinished = path.with_name(f"{path.name}.new")
    os.close(
        os.open(unfinished, flags, 0o600)
    )  # nobody can have it open yet: no lock of SQLite's goes with it
    fill(unfinished)
    return unfinished.rename(path)


def next_number(folder: Path, stem: str) -> int:
    """The N of the next `*.damaged-N` of `stem`."""
    return max((number for number, _ in _set_aside_by(folder, stem)), default=0) + 1


def set_aside(path: Path, number: int) -> Path:
    """Rename a database, and what SQLite keeps beside it, to `*.damaged-N`; its new path.

    Raises:
        OSError: when it can't be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged-{number}")
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(aside.with_name(aside.name + part))
    return aside


def write_aside(folder: Path, stem: str, key: str, content: bytes) -> Path:
    """Keep the bytes of one damaged batch in a file of its own; its path.

    Raises:
        OSError: when it can't be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    safe = re.sub(r"[^0-9a-f]", "", key)[:32]  # it was read from a damaged place
    path = folder / f"{stem}.{safe}.batch.damaged-{next_number(folder, stem)}"
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path


def prune(folder: Path, stem: str) -> list[str]:
    """Remove all but the newest `MAX_SET_ASIDE` damaged things of `stem`; the names removed."""
    found = _set_aside_by(folder, stem)
    keep = sorted({number for number, _ in found})[-MAX_SET_ASIDE:]
    removed = [path for number, path in found if number not in keep]
    for path in removed:
        path.unlink(missing_ok=True)
    return [path.name for path in removed]


def _set_aside_by(folder: Path, stem: str) -> list[tuple[int, Path]]:
    names = (name for name in _names(folder) if name.startswith(f"{stem}."))
    found = ((_DAMAGED.fullmatch(name), name) for name in names)
    return [(int(match["number"]), folder / name) for match, name in found if match]
