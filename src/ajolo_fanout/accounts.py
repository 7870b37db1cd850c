"""What one installation answers when it is asked: reports, health, and what the metrics show."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import attrs

from ajolo_fanout.delivery.outlet import Outlet
from ajolo_fanout.health.ledger import Ledger, Told
from ajolo_fanout.health.metrics import Measured, component_of
from ajolo_fanout.health.report import BackendHealth, Health, HeldTraces, Report
from ajolo_fanout.pipeline.buffer import Buffer
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.open_spans import OpenSpans
from ajolo_fanout.plan.model import Plan

__all__ = ["Accounts"]

_AT_THE_INBOX = {"refused": "inbox_full", "late": "shutdown"}
"""What the inbox counts, and the reason that stands for it in the ledgers."""


@attrs.define(eq=False)
class Accounts:
    """Reads the counters of all parts together, so that they add up at any moment.

    Attributes:
        plan: What is installed.
        ledgers: What became of each backend's spans.
        outlets: Its queue and stores.
        inbox: Where spans wait that no backend's pipeline was asked about yet: pending at each.
        buffer: Where those wait whose trace isn't finished.
        open_spans: Those that haven't ended.
        never_recorded: How many traces the provider's sampler has never recorded since the provider was made.
        open_at_end: How many spans were open at the shutdown; None before it.
        before: What kept the same ledgers up to now, for another inbox.
    """

    plan: Plan
    ledgers: Mapping[str, Ledger]
    outlets: Mapping[str, Outlet]
    inbox: Inbox
    buffer: Buffer
    open_spans: OpenSpans
    never_recorded: Callable[[], int]
    open_at_end: int | None = None
    before: Accounts | None = None
    _never_before: int = 0  # by an earlier installation on the same provider, or before a fork
    _reading: threading.RLock = attrs.field(init=False)  # re-entered by finalizers and signal handlers
    _settled: dict[str, int] = attrs.field(init=False)
    _settling: bool = False
    _carried: Counter[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()  # and the ledgers have begun: what is in the spool may be on its way by now
        before, self.before = self.before, None
        if before is not None:
            before.health()  # which settles what its inbox has counted
            self._carried = before._carried  # noqa: SLF001 - another of the same kind
            self._never_before = before._never_before  # noqa: SLF001

    def reset(self) -> None:
        """Count from zero, in a forked child where nothing is at work yet."""
        self._begin()
        for ledger in self.ledgers.values():
            ledger.reset()

    def _begin(self) -> None:
        self._reading = threading.RLock()
        self._settled = dict.fromkeys(_AT_THE_INBOX.values(), 0)
        self._settling = False
        self._carried = Counter()
        self._never_before = self.never_recorded()

    def told(self) -> Mapping[str, Told]:
        """How far reports have come, by backend: for `report()`, at the end of a call that begins. Takes no lock."""
        return {name: ledger.told for name, ledger in self.ledgers.items()}

    def report(self, since: Mapping[str, Told]) -> Report:
        """What became of the spans since a call began, and since the last report before that."""
        with self._reading:
            reports = {}
            for name, ledger in self.ledgers.items():
                with self.inbox.moving:
                    self._settle()
                    report = ledger.report(since[name])
                    waiting = self.inbox.spans
                reports[name] = attrs.evolve(report, pending=report.pending + waiting)
            return Report(reports, self._open())

    def health(self) -> Health:
        """States and counters now."""
        with self._reading:
            never = self.never_recorded() - self._never_before
            healths = {name: self._health_of(name, never) for name in self.outlets}
            held = HeldTraces(
                self.buffer.traces, self.buffer.spans, self.buffer.size, dict(self.buffer.forced)
            )
            return Health(healths, held, self._open(), self._carried)

    def carry_over(self, name: str, spans: int) -> None:
        """Count spans of a backend that the end of an invocation left to the next one."""
        with self._reading:
            self._carried[name] += spans

    def measured(self) -> Iterable[Measured]:
        """Each backend now, for OpenTelemetry's metrics."""
        healths = self.health().backends
        for backend in self.plan.backends:
            target = backend.target
            kind, server = component_of(target.kind, target.protocol, target.url)
            capacity = backend.settings.batch.max_queue_size
            yield Measured(healths[backend.name], capacity, kind, server, backend.spool is not None)

    def _health_of(self, name: str, never: int) -> BackendHealth:
        with self.inbox.moving:
            self._settle()
            health = self.outlets[name].health()
            seen = health.counts.seen + self.inbox.spans
        return attrs.evolve(health, counts=attrs.evolve(health.counts, seen=seen, never_recorded=never))

    def _open(self) -> int:
        return self.open_spans.count if self.open_at_end is None else self.open_at_end

    def _settle(self) -> None:
        """Write what never got past the inbox into every ledger, for no backend got it."""
        if self._settling:  # re-entered: what is being written would be written twice
            return
        self._settling = True
        try:
            self._write_settled()
        finally:
            self._settling = False

    def _write_settled(self) -> None:
        for attribute, reason in _AT_THE_INBOX.items():
            number = getattr(self.inbox, attribute)
            new = number - self._settled[reason]
            self._settled[reason] = number
            for ledger in self.ledgers.values() if new else ():
                ledger.seen(new)
                ledger.lost(reason, new)
