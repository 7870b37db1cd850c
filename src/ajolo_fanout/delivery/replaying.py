"""Sends what lies in spools without a program, for the command line: the same outlets, senders and leases.

It may run beside a live program of the same file: a batch that one of the two sends, the other leaves alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import attrs

from ajolo_fanout.delivery.outlet import Outlet, shutdown_all
from ajolo_fanout.delivery.spool import Fill, Spool, Tally
from ajolo_fanout.delivery.stopper import Job
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.say import Teller
from ajolo_fanout.plan.model import BackendPlan

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Replayed", "Replaying"]

_AS_LONG_AS_IT_TAKES = 30 * 86400.0
_CLOSING = 1.0
"""Seconds for the answer to what is under way, when somebody stops it all."""


@attrs.frozen
class Replayed:
    """What became of one backend's spool.

    Attributes:
        backend: The backend's name.
        spans: How many were delivered.
        given_up: What left the spool without being delivered, by reason (`too_old`, `rejected`…).
        left: What is in the spool now; its `message` says why where that can't be read.
        error: What went wrong last; empty for nothing. No secrets.
    """

    backend: str
    spans: int
    given_up: Mapping[str, Tally]
    left: Fill
    error: str

    @property
    def well(self) -> bool:
        """Whether everything was delivered."""
        return not (self.given_up or self.left.held or self.left.message)


class Replaying:
    """The spools of some backends on their way: a context manager, at work from its entry on.

    Each backend is tried until its spool is empty, or a request fails for any reason: then it is left alone,
    for the program to go on. What a server or a refusal had put off is tried, too, for somebody asks for it.
    """

    def __init__(self, backends: Iterable[BackendPlan]) -> None:
        """Nothing is touched yet.

        Args:
            backends: Those with a spool; others are left out.
        """
        self._plans = {one.name: one for one in backends if one.spool is not None}
        self._ledgers = {name: Ledger(name) for name in self._plans}
        self._outlets: dict[str, Outlet] = {}
        self._jobs: list[Job] = []
        self._before: dict[str, Fill] = {}
        self._mute = logging.getLogger("ajolo_fanout.delivery.replaying")
        self._mute.disabled = True  # what it would say is in the results

    def __enter__(self) -> Self:
        for name, plan in self._plans.items():
            spool = _spool_of(plan)
            message = spool.wake()
            self._before[name] = attrs.evolve(spool.fill(), message=message) if message else spool.fill()
            spool.close()
        deadline = time.monotonic() + _AS_LONG_AS_IT_TAKES
        for name, plan in self._plans.items():
            if not self._before[name].message:
                outlet = Outlet(plan, self._ledgers[name], teller=Teller(self._mute))
                self._outlets[name] = outlet
                self._jobs.append(outlet.begin_shutdown(deadline))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; an answer that is awaited may still come for a moment. What is left stays in the spool."""
        shutdown_all(self._outlets.values(), time.monotonic() + (0.0 if self.over else _CLOSING))

    @property
    def totals(self) -> dict[str, int]:
        """The spans that were in each spool at the beginning."""
        return {name: fill.held.spans for name, fill in self._before.items()}

    @property
    def sent(self) -> dict[str, int]:
        """How many were delivered so far, by backend."""
        return {name: ledger.counts().replayed for name, ledger in self._ledgers.items()}

    @property
    def over(self) -> bool:
        """Whether nothing more is going to be sent."""
        return all(job.done for job in self._jobs)

    def results(self) -> tuple[Replayed, ...]:
        """What became of each spool, in the order of the file. After the end."""
        return tuple(self._result(name) for name in self._plans)

    def _result(self, name: str) -> Replayed:
        before, ledger = self._before[name], self._ledgers[name]
        spool = _spool_of(self._plans[name])
        left = before if before.message else spool.fill()
        spool.close()
        lost = {
            reason: _less(tally, before.lost.get(reason, Tally()))
            for reason, tally in left.lost.items()
            if tally != before.lost.get(reason)
        }
        error = before.message or ledger.health().last_error
        return Replayed(name, ledger.counts().replayed, lost, left, error)


def _spool_of(plan: BackendPlan) -> Spool:
    assert plan.spool is not None
    return Spool(plan.spool.settings, plan.spool.service, plan.name)


def _less(now: Tally, before: Tally) -> Tally:
    return Tally(now.batches - before.batches, now.spans - before.spans, now.bytes - before.bytes)
