"""Forks: who has to start over in a forked child, and noticing a fork that Python wasn't told of.

uWSGI forks its workers in C and tells Python nothing unless it is asked to (`py-call-uwsgi-fork-hooks`), so the
hooks that Python offers are not enough: whoever may be the first at work in a child asks `notice()`.
"""

from __future__ import annotations

# First of all: its hooks let go of its lock in a forked child, where the SDK's own hook, registered later, needs it;
# otherwise a fork in a forked child waits for ever.
import concurrent.futures.thread  # noqa: F401
import logging
import os
import threading
from collections.abc import Callable
from functools import partial

__all__ = ["in_child", "notice", "told"]

_log = logging.getLogger("ajolo_fanout.process")

_calls: list[Callable[[], None]] = []
_pid = os.getpid()
_told = True
_noticing = threading.Lock()


def in_child(call: Callable[[], None]) -> None:
    """Have `call` made in every forked child, for good.

    After what others, the SDK among them, have registered with Python up to now, and before what they will.
    """
    _calls.append(call)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(_make, call, was_told=True))


def told() -> bool:
    """Whether Python was told of the fork that this process began with, and with it everyone else who has hooks."""
    return _told


def notice() -> bool:
    """Start over where this process is a child whose fork went unnoticed; whether it was."""
    if os.getpid() == _pid:
        return False
    with _noticing:
        unnoticed = os.getpid() != _pid
        for call in _calls if unnoticed else ():
            _make(call, was_told=False)
    return unnoticed


def _make(call: Callable[[], None], *, was_told: bool) -> None:
    global _pid, _told  # noqa: PLW0603 - of the process, as a fork is
    _pid = os.getpid()
    _told = was_told
    try:
        call()
    except Exception:
        # Raised here it would only be printed by the interpreter; the others must still start over.
        _log.exception("starting over after a fork failed")
