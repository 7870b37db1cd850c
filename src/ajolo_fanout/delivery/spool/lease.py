"""Who may send what: leases that end with the process that holds them.

An owner is a small file on which its process has a POSIX lock. The kernel lets go of that lock when the
process is gone, however it went, so nobody guesses from process numbers. Three facts shape this module:

- POSIX locks (`lockf`), not `flock`: a forked child doesn't inherit them, so a child that lives on doesn't
  keep its dead parent's batches.
- They belong to the process as a whole: it never conflicts with itself, and closing any descriptor of the
  file lets go. So a process must know its own owners, and never probes them.
- They say nothing about other machines. An owner of another machine (a volume that moved, a restart: the
  kernel has another boot id) counts as gone when its file hasn't been touched for `FOREIGN_LEASE`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["FOREIGN_LEASE", "Busy", "Owner", "exclusive", "gone", "host", "living", "new_owner", "pid_of"]

FOREIGN_LEASE = 15 * 60.0
"""Seconds that an owner on another machine may keep silent: owners at work touch their file every minute."""

_TOUCH = 60.0
_SUFFIX = ".owner"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = re.compile(r"[0-9a-f]{8}\.[0-9a-f]{16}")
_NAP = 0.005
_TRIES = 5

_pid = os.getpid()
_held: dict[str, int | None] = {}  # the files of this process's owners, with their descriptors
_gates: dict[str, threading.Lock] = {}  # between the threads of this process, for `exclusive`


class Busy(Exception):  # noqa: N818 - it is no error: another process is at work
    """Another process has kept a lock for too long."""


@cache
def host() -> str:
    """This machine since its last start, as eight hex digits: where POSIX locks are seen."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        name = socket.gethostname()  # not Linux
    return hashlib.blake2b(name.encode(), digest_size=4).hexdigest()


class Owner:
    """One holder of leases: alive as long as this process is, or until `close()`.

    Attributes:
        name: What stands in the database beside a leased batch: `HOST.TOKEN`.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        """Make the owner's file and lock it.

        Args:
            folder: The spool's folder, examined before.
            stem: What the names of the files of this (service, backend) begin with.

        Raises:
            OSError: when there can be no file, or no locks.
        """
        self.name = f"{host()}.{secrets.token_hex(8)}"
        self._path = _path(folder, stem, self.name)
        _look_at_process()
        # Known as ours before it exists: another thread of this process must never probe it.
        _held[str(self._path)] = None
        try:
            self._descriptor = os.open(self._path, _FLAGS | os.O_EXCL, 0o600)
            _held[str(self._path)] = self._descriptor
            _lock(self._descriptor, time.monotonic() + 1)
            with contextlib.suppress(OSError):  # a full disk; it is for an operator's eyes alone
                os.write(self._descriptor, f"{os.getpid()}\n".encode())
        except BaseException:
            self.close()
            raise
        self._touched = time.monotonic()

    def renew(self) -> bool:
        """Say to other machines that we live; False when the file is gone, and our leases with it."""
        if not self._in_place():
            return False
        now = time.monotonic()
        if now - self._touched >= _TOUCH:
            os.utime(self._descriptor)
            self._touched = now
        return True

    def close(self) -> None:
        """Give up all leases of this owner."""
        with contextlib.suppress(OSError):
            self._path.unlink()  # still locked: nobody can take it for a dead one's and meet a new one
        descriptor = _held.pop(str(self._path), None)
        if descriptor is not None:
            os.close(descriptor)

    def _in_place(self) -> bool:
        try:
            there = self._path.lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))


def new_owner(folder: Path, stem: str) -> Owner:
    """An owner whose file is in its place.

    Between its making and its locking another process may take the file for a dead one's and remove it.

    Raises:
        OSError: when there can be no file, or no locks.
        Busy: when that happens again and again.
    """
    for _ in range(_TRIES):
        owner = Owner(folder, stem)
        if owner.renew():
            return owner
        owner.close()
    raise Busy("an owner's file vanishes whenever it is made")


def gone(folder: Path, stem: str, name: str) -> bool:
    """Whether the owner `name` is no more. Removes the file of one that is not."""
    _look_at_process()
    if not _NAME.fullmatch(name):
        return True  # nobody bears such a name: it comes from a damaged place
    path = _path(folder, stem, name)
    if str(path) in _held:
        return False
    if name.partition(".")[0] != host():
        return _silent(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # not ours to judge
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)  # under its lock, so that its maker notices if it was just being made
    except OSError:
        return False  # locked: it lives (or there are no locks here, and nobody can tell)
    finally:
        os.close(descriptor)
    return True


def living(folder: Path, stem: str) -> tuple[str, ...]:
    """The owners that are at work on this (service, backend). Removes the files of those that are not."""
    names = [path.name[len(stem) + 1 : -len(_SUFFIX)] for path in folder.glob(f"{stem}.*{_SUFFIX}")]
    return tuple(name for name in sorted(names) if not gone(folder, stem, name))


def pid_of(folder: Path, stem: str, name: str) -> int | None:
    """The process that the owner `name` is; None where it isn't on this machine, or doesn't say."""
    _look_at_process()
    path = _path(folder, stem, name)
    if str(path) in _held:
        return os.getpid()  # never opened here: closing it would let go of our own lock
    if name.partition(".")[0] != host():
        return None
    try:
        return int(path.read_bytes()[:20])
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def exclusive(path: Path, patience: float) -> Iterator[None]:
    """Be alone with `path`, among all threads and processes of this machine.

    Args:
        path: The lock's file; made where there is none.
        patience: Seconds to wait.

    Raises:
        Busy: when others kept it for longer.
        OSError: when there can be no file, or no locks.
    """
    deadline = time.monotonic() + patience
    _look_at_process()
    gate = _gates.setdefault(str(path), threading.Lock())
    if not gate.acquire(timeout=patience):
        raise Busy("another thread is opening the spool")
    try:
        descriptor = os.open(path, _FLAGS, 0o600)
        try:
            _lock(descriptor, deadline)
            yield
        finally:
            os.close(descriptor)
    finally:
        gate.release()


def _look_at_process() -> None:
    """Forget, in a forked child, what is its parent's."""
    global _pid  # noqa: PLW0603 - which process this module's memory belongs to
    if _pid == os.getpid():
        return
    for descriptor in _held.values():
        if descriptor is not None:
            with contextlib.suppress(OSError):  # a program that closes everything after its forks
                os.close(descriptor)  # the lock is the parent's, and stays
    _held.clear()
    _gates.clear()
    _pid = os.getpid()


def _path(folder: Path, stem: str, name: str) -> Path:
    return folder / f"{stem}.{name}{_SUFFIX}"


def _lock(descriptor: int, deadline: float) -> None:
    while not _locked(descriptor):
        if time.monotonic() >= deadline:
            raise Busy("another process has kept the spool's lock for too long")
        time.sleep(_NAP)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
        return False
    return True


def _silent(path: Path) -> bool:
    """Whether the owner of another machine hasn't been heard of for long."""
    try:
        if time.time() - path.lstat().st_mtime < FOREIGN_LEASE:
            return False
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
