"""Which file an installation reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from ajolo_fanout.errors import ConfigError, Problem

__all__ = ["DEFAULT_NAME", "VARIABLE", "Found", "Off", "find"]

VARIABLE = "AJOLO_FANOUT_CONFIG"
"""Names the file; `off` switches tracing off."""

DEFAULT_NAME = "tracing.toml"
"""The file that is used without being named, in the current folder."""


@attrs.frozen
class Found:
    """The file to read.

    Attributes:
        path: The file, absolute; it need not exist where somebody named it.
        name: As the user gave it, for messages.
        how: Who said so: the call, the environment, or nobody: it lay in the current folder.
    """

    path: Path
    name: str
    how: Literal["argument", "environment", "folder"]

    @property
    def named_by(self) -> str:
        """The variable that names the file, which whoever runs the program may not know; empty for none."""
        return f"${VARIABLE}" if self.how == "environment" else ""


@attrs.frozen
class Off:
    """Nothing is to be installed.

    Attributes:
        why: In words, for the one line that says so.
    """

    why: str


def find(
    path: str | os.PathLike[str] | None, environ: Mapping[str, str], cwd: Path, *, user: int | None = None
) -> Found | Off:
    """The file to read: `path`, else `$AJOLO_FANOUT_CONFIG`, else `./tracing.toml`.

    Args:
        path: The file named in the call.
        environ: The environment; an empty variable counts as unset.
        cwd: The current folder, where relative paths start.
        user: Whose file an unnamed one may be, beside root's; this process's user when None.

    Raises:
        ConfigError: nobody named a file and there is none, or the one there may be somebody else's work.
    """
    if path is not None:
        return _named(os.fspath(path), cwd, "argument")
    if named := environ.get(VARIABLE, ""):
        if named.strip().lower() == "off":
            return Off(f"${VARIABLE} is off")
        return _named(named, cwd, "environment")
    unnamed = cwd / DEFAULT_NAME
    if message := _refusal(unnamed, user):
        code = "file" if not os.path.lexists(unnamed) else "insecure-file"
        raise ConfigError([Problem(message, file=DEFAULT_NAME, code=code)])
    return Found(unnamed, DEFAULT_NAME, "folder")


def _named(name: str, cwd: Path, how: Literal["argument", "environment"]) -> Found:
    return Found(cwd / Path(name).expanduser(), name, how)


def _refusal(path: Path, user: int | None) -> str:
    """Why `path` isn't used without being named; empty where it may be.

    Who can write the file decides where the program's traces go. A link to it counts as well: whoever owns
    the link chooses the file.
    """
    named = f"name the file in ${VARIABLE} or in the call to use it all the same"
    try:
        link, target = path.lstat(), path.stat()
    except FileNotFoundError:
        return (
            f"there is no such file in the current folder; `ajolo-fanout init` writes one, or name another in "
            f"${VARIABLE} or in the call (${VARIABLE}=off switches tracing off)"
        )
    except OSError as error:
        return f"this file can't be examined: {error.strerror or type(error).__name__}"
    current = getattr(os, "geteuid", None)  # not on Windows, where these bits say nothing
    if current is None:
        return ""
    owners = {0, current() if user is None else user}
    if link.st_uid not in owners or target.st_uid not in owners:
        return f"this file belongs to another user (uid {target.st_uid}) and is not used unasked; {named}"
    for bit, who in ((stat.S_IWGRP, "its group"), (stat.S_IWOTH, "everyone")):
        if target.st_mode & bit:
            fix = f"run chmod go-w {path.name}, or {named}"
            return f"this file may be written by {who} and is not used unasked; {fix}"
    return ""
