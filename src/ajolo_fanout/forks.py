"""Forks: who has to start over in a forked child, and noticing a fork that Python wasn't told of.

uWSGI forks its workers in C and tells Python nothing unless it is asked to (`py-call-uwsgi-fork-hooks`), so the
hooks that Python offers are not enough: whoever may be the first at work in a child asks `notice()`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

__all__ = ["in_child", "notice"]

_log = logging.getLogger("ajolo_fanout.process")

_calls: list[Callable[[], None]] = []
_pid = os.getpid()


def in_child(call: Callable[[], None]) -> None:
    """Have `call` made in every forked child, for good, in the order of these registrations."""
    _calls.append(call)


def notice() -> bool:
    """Start over where this process is a child whose fork went unnoticed; whether it was."""
    if os.getpid() == _pid:
        return False
    _start_over()
    return True


def _start_over() -> None:
    global _pid  # noqa: PLW0603 - of the process, as a fork is
    _pid = os.getpid()
    for call in _calls:
        try:
            call()
        except Exception:
            # Raised here it would only be printed by the interpreter; the others must still start over.
            _log.exception("starting over after a fork failed")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
