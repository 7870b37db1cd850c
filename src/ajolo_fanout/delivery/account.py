"""Where the fates of a batch's spans are written: the gate and the ledger, or the spool that it came from."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Protocol

import attrs

from ajolo_fanout.delivery.books import Books
from ajolo_fanout.delivery.gate import Place
from ajolo_fanout.health.fates import Reason
from ajolo_fanout.otlp.rendition import Rendition

__all__ = ["Account", "GateAccount", "SpoolAccount"]

_size_of = operator.attrgetter("size")


class Account(Protocol):
    """What one batch is accounted for in."""

    def settle(self, spans: Sequence[Rendition], lost: int = 0, reason: Reason = "rejected") -> bool:
        """Write down the final fate of `spans`: delivered, but for `lost` of them.

        Returns:
            False when they had their fate before: a shutdown was over.
        """
        ...


@attrs.frozen
class GateAccount:
    """Spans in memory: they leave the gate, and the ledger gets their fate in the same moment.

    Attributes:
        books: The gate and the ledger.
        place: Where the gate has them.
    """

    books: Books
    place: Place

    def settle(self, spans: Sequence[Rendition], lost: int = 0, reason: Reason = "rejected") -> bool:
        """See `Account`."""
        ledger, delivered = self.books.ledger, len(spans) - lost

        def record() -> None:
            if delivered:
                ledger.delivered(delivered)
            if lost:
                ledger.lost(reason, lost)

        return self.books.gate.settle(self.place, len(spans), sum(map(_size_of, spans)), record)


@attrs.frozen
class SpoolAccount:
    """Spans from the disk: their fate in the ledger was `spooled`, for good.

    Attributes:
        books: Where those that were delivered after all are counted, as replayed.
        lost: The reasons of what was lost, by the `id()` of each span. Of a request that was taken in part
            nobody knows which spans were not; their number is what counts.
    """

    books: Books
    lost: dict[int, Reason] = attrs.field(factory=dict)

    def settle(self, spans: Sequence[Rendition], lost: int = 0, reason: Reason = "rejected") -> bool:
        """See `Account`."""
        if len(spans) > lost:
            self.books.ledger.replayed(len(spans) - lost)
        self.lost.update((id(one), reason) for one in spans[:lost])
        return True
