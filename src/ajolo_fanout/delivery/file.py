"""Appends requests to a file as OTLP JSON, one a line, rotated by size. Its owner alone may read it.

The form is that of OpenTelemetry's file exporter: each line is an ExportTraceServiceRequest in OTLP's JSON.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from google.protobuf.message import DecodeError

from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.otlp.decode import to_json_line

__all__ = ["FileSender"]

_MODE = 0o600


class FileSender:
    """Writes lines to one file. Opened anew for each request, so that others may move it away.

    A line is one `write` to a file opened for appending, so that several processes may share it.
    """

    def __init__(self, path: Path, *, max_bytes: int = 0, rotations: int = 0) -> None:
        """A sender that appends to `path`.

        Args:
            path: The file; its folder must exist.
            max_bytes: The size beyond which no line is added: the file is set aside first. 0: no limit.
            rotations: How many older files are kept, `path.1` the newest of them; 0 keeps none.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._rotations = rotations
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._aborted = False

    def start(self) -> None:
        """See `Sender`: no thread."""

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:  # noqa: ARG002 - as `Sender` has it
        """Append one line; see `Sender`."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()  # the old one may be held by nobody here
        if self._aborted:
            return Outcome("rejected", "shutdown", "stopped at the deadline of the shutdown")
        try:
            line = to_json_line(body).encode() + b"\n"
            with self._lock:
                self._rotate(len(line))
                self._append(line)
        except FileNotFoundError:
            folder = self._path.parent
            return Outcome(
                "rejected", "no folder", f"{self._path}: the folder {folder} doesn't exist; make it"
            )
        except OSError as error:
            return Outcome("rejected", type(error).__name__, f"{self._path}: {error.strerror or error}")
        except (DecodeError, ValueError) as error:
            return Outcome(
                "rejected", type(error).__name__, f"a request that can't be written as JSON: {error}"
            )
        return Outcome("delivered", "written")

    def _append(self, line: bytes) -> None:
        # O_NOFOLLOW: where others may write to the folder, a link could lead our lines elsewhere.
        # O_NONBLOCK: a FIFO without a reader is refused instead of waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, _MODE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{self._path} is not a regular file")
            if stat.S_IMODE(status.st_mode) & 0o077:
                os.fchmod(descriptor, _MODE)  # it was there before, with a wider mode
            _write(descriptor, line, status.st_size)
        finally:
            os.close(descriptor)

    def _rotate(self, more: int) -> None:
        """Set the file aside when `more` bytes would not fit."""
        if not self._max_bytes:
            return
        try:
            size = self._path.lstat().st_size
        except FileNotFoundError:
            return
        if size == 0 or size + more <= self._max_bytes:
            return
        if self._rotations == 0:
            self._path.unlink()
            return
        for number in range(self._rotations - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def may_have_arrived(self, thread: int) -> bool:  # noqa: ARG002 - as `Sender` has it
        """See `Sender`: what is being written, is."""
        return True

    def abort(self) -> None:
        """Write nothing any more."""
        self._aborted = True

    def forsake(self) -> None:
        """See `Sender`: no connection."""

    def close(self) -> None:
        """Nothing: no file is kept open."""


def _write(descriptor: int, line: bytes, size: int) -> None:
    """Append `line` to a file of `size` bytes, all of it or nothing: half a line would spoil the next one, too."""
    written = 0
    try:
        while written < len(line):  # one call isn't always enough: a disk may be filling up
            written += os.write(descriptor, line[written:])
    except OSError:
        if written and os.fstat(descriptor).st_size == size + written:  # else another process wrote behind it
            os.ftruncate(descriptor, size)
        raise
