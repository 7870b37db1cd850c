"""Nothing of ours is raised into the program: what fails all the same is logged, once, and the rest goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ajolo_fanout.health.say import Teller, raised

__all__ = ["Isolation"]

_log = logging.getLogger("ajolo_fanout.fanout")

_Answer = TypeVar("_Answer")


class Isolation:
    """The boundary between one installation and the program.

    Attributes:
        teller: Logs for the installation, each thing once or at most once a minute.
    """

    def __init__(self) -> None:
        self.teller = Teller(_log)

    def run(self, what: str, call: Callable[..., _Answer], *arguments: object) -> _Answer | None:
        """What `call` returns; None where it raised, which is logged as `what`."""
        try:
            return call(*arguments)
        except Exception as error:
            # The promise that nothing is raised into the program, nor from one step of the end into the next.
            self.failed(what, error)
            return None

    def failed(self, what: str, error: Exception) -> str:
        """Log a failure of ours; what to put into a report that can't be relied on."""
        message = f"{what} failed with {raised(error)}"
        self.teller.say_once(what, message, level=logging.ERROR)
        return message
