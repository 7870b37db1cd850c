"""What a forked child finds, as its exit code."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

__all__ = ["exit_code_of"]


def exit_code_of(call: Callable[[], int]) -> int:
    """What `call` returns in a forked child, which ends with it: a number up to 254; 255 where it raises."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = call()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)  # or the child would go on with the tests
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
