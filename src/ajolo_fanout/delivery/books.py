"""What the parts of one outlet share: the backend's name, gate and ledger, and who tells the operator."""

from __future__ import annotations

import logging

import attrs

from ajolo_fanout.delivery.gate import Gate
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.say import Teller

__all__ = ["Books"]


@attrs.frozen(eq=False)
class Books:
    """The accounts of one backend.

    Attributes:
        backend: The backend's name in the file.
        gate: What is inside, and that it gets one fate.
        ledger: Where fates and states are written.
        teller: Logs at most once a minute per cause.
    """

    backend: str
    gate: Gate
    ledger: Ledger
    teller: Teller

    def tell(
        self, cause: str, message: str, n: int, level: int = logging.WARNING, *, unit: str = "span"
    ) -> None:
        """Tell the operator of something that happened to `n` spans, or to `n` of something else."""
        self.teller.say(self.backend, cause, message, n=n, unit=unit, level=level)

    def note(self, cause: str, message: str, n: int) -> None:
        """Tell of it, and have `health()` show it as what went wrong last."""
        self.ledger.noted(message)
        self.tell(cause, message, n)
