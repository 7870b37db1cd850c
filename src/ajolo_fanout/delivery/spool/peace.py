"""The time for which a server wants to be left alone, kept once for each spool: all processes keep to it.

It stands in the table `about`, as when it was said and for how many seconds. Inside one transaction, like `store`.
"""

from __future__ import annotations

import json
import math
import sqlite3

__all__ = ["asked_for", "ended", "left"]

_KEY = "left_alone"


def asked_for(connection: sqlite3.Connection, now: float, seconds: float, most: float = math.inf) -> None:
    """A server wants to be left alone for so long from `now` on; of several such times the last to end counts.

    With `most` as for `left`: what is over by that holds back no shorter time that is said later.
    """
    if seconds > left(connection, now, most):
        _write(connection, now, seconds)


def ended(connection: sqlite3.Connection) -> None:
    """It may be asked now."""
    connection.execute("DELETE FROM about WHERE key = ?", (_KEY,))


def left(connection: sqlite3.Connection, now: float, most: float = math.inf) -> float:
    """Seconds for which the server still wants to be left alone; 0 when it doesn't.

    Where the clock was set back since, it is as if it had been said now: a wrong clock is no reason to wait
    longer than the server wanted.

    Args:
        connection: Inside a transaction that may write.
        now: Seconds since the epoch.
        most: Whatever the server said, it counts for no longer than this, from when it was said.
    """
    row = connection.execute("SELECT value FROM about WHERE key = ?", (_KEY,)).fetchone()
    if row is None:
        return 0.0
    try:
        said, seconds = map(float, json.loads(row[0]))
    except (TypeError, ValueError):
        return 0.0  # damaged
    if said > now:
        said = now
        _write(connection, now, seconds)
    return max(0.0, said + min(seconds, most) - now)


def _write(connection: sqlite3.Connection, said: float, seconds: float) -> None:
    connection.execute(
        "INSERT INTO about VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (_KEY, json.dumps([said, seconds])),
    )
