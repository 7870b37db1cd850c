"""Backends on this machine: a file, a console, a unix socket."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
from pathlib import Path

from ajolo_fanout.doctor.findings import Check, Trouble
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.values import Size

__all__ = ["check_console", "check_folder", "check_socket"]

_LITTLE = Size(64 * 1024 * 1024)


def check_folder(backend: BackendPlan) -> Check:
    """The check `folder` of a file backend.

    Raises:
        Trouble: when the file can't be written.
    """
    file = backend.target.file
    assert file is not None, "a target of kind `file` has one"
    folder = file.parent
    try:
        if not folder.is_dir():
            what = "isn't a folder" if folder.exists() else "isn't there"
            raise Trouble("not-writable", f"{folder} {what}", f"make it: mkdir -p {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Trouble("not-writable", f"{folder} may not be written by this user", _RIGHTS)
        if file.is_symlink() or (file.exists() and not file.is_file()):
            what = "a link" if file.is_symlink() else "no regular file"
            raise Trouble("not-writable", f"{file} is {what}", "name another `path`")
        if file.exists() and not os.access(file, os.W_OK):
            raise Trouble("not-writable", f"{file} may not be written by this user", _RIGHTS)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise Trouble("not-writable", f"{folder} can't be examined: {said}", _RIGHTS) from None
    said = f"{folder}, {free // 1024**2} MiB free"
    if free < max(_LITTLE, backend.target.max_file_bytes):
        return Check("folder", "warning", said, "make room, or lower `max_size`")
    return Check("folder", "ok", said)


_RIGHTS = "give this user the right to, or name another `path`"


def check_console(backend: BackendPlan) -> Check:
    """The check `stream` of a console backend.

    Raises:
        Trouble: when the stream is closed.
    """
    name = backend.target.stream or "stderr"
    stream = sys.stdout if name == "stdout" else sys.stderr
    if stream is None or stream.closed:
        raise Trouble("not-writable", f"{name} is closed", "start the program with it open")
    return Check("stream", "ok", f"{name}{', a terminal' if stream.isatty() else ', no terminal'}")


def check_socket(path: Path, seconds: float) -> Check:
    """The check `connect` of a unix socket.

    Raises:
        Trouble: when nobody listens there.
    """
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise Trouble("refused", f"{path} is no socket", "check `endpoint`")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
    except FileNotFoundError:
        advice = "start what listens there, and mount its folder where this runs in a container"
        raise Trouble("refused", f"{path} isn't there", advice) from None
    except PermissionError:
        raise Trouble(
            "refused", f"{path} may not be used by this user", "give this user the right to"
        ) from None
    except TimeoutError:
        raise Trouble("no-answer", f"{path} gave no answer in {seconds:.0f} s") from None
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise Trouble("refused", f"{path}: {said}", "start what listens there") from None
    return Check("connect", "ok", str(path))
