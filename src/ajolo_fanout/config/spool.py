"""`[spool]`: where batches wait on disk for a backend that can't take them now."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

from ajolo_fanout.values import Size, option

__all__ = ["SpoolSettings"]


@attrs.frozen
class SpoolSettings:
    """The folder that all backends with `spool = "on_failure"` or `"always"` share, and its bounds."""

    directory: Path = option(
        "The folder for spooled batches, one database for each program and backend. It is made if it is "
        "missing (its parent must exist), and must belong to the user of the program alone (mode 700). "
        "Several processes may share it, on one machine: a network file system is no place for it.",
        example='"/var/lib/my-agent/spool"',
    )
    max_bytes: Size = option(
        "The most bytes on disk that the batches of one backend may take, after the spool's own compression.",
        default=Size(256 * 1024**2),
        minimum=64 * 1024,
        example='"256MiB"',
    )
    when_full: Literal["drop_oldest", "drop_newest"] = option(
        "What is given up when max_bytes is reached: the batches that have waited longest, or those that "
        "come now. Both are counted.",
        default="drop_oldest",
        example='"drop_oldest"',
    )
