"""What a forked child finds, as its exit code."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["exit_code_of"]


def exit_code_of(call: Callable[[], int]) -> int:
    """What `call` returns in a forked child, which ends with it: a number up to 255."""
    pid = os.fork()
    if pid == 0:
        os._exit(call())
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
