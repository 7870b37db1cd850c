"""What `flush()`, `shutdown()` and `health()` answer. Frozen; all counts in spans."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ajolo_fanout.health.fates import Counts, State

__all__ = ["BackendHealth", "BackendReport", "Health", "HeldTraces", "Report"]


def _frozen(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(given))


@attrs.frozen
class BackendReport:
    """What happened to one backend's spans since the previous report: the last that was there when the call began.

    Calls at the same time each report all that came, so that none can hide a loss from another.

    Attributes:
        delivered: Taken by the backend.
        handed_over: Taken by a stock exporter.
        spooled: Left to the spool.
        lost: How many were lost, by reason; empty when none was.
        pending: Not decided at the end of the call (an absolute number, not since the previous report).
        error: What went wrong last since the previous report; empty when nothing did. No secrets.
    """

    delivered: int = 0
    handed_over: int = 0
    spooled: int = 0
    lost: Mapping[str, int] = attrs.field(factory=dict, converter=_frozen)
    pending: int = 0
    error: str = ""

    def __bool__(self) -> bool:
        """Nothing was lost since the previous report, and nothing is pending."""
        return not self.pending and not any(self.lost.values())

    def __str__(self) -> str:
        parts = [f"{self.delivered} delivered"]
        parts += [f"{n} {what}" for n, what in self._others() if n]
        parts += [f"{n} lost ({reason})" for reason, n in self.lost.items() if n]
        return ", ".join(parts) + (f"; {self.error}" if self.error and not self else "")

    def _others(self) -> tuple[tuple[int, str], ...]:
        return (self.handed_over, "handed over"), (self.spooled, "spooled"), (self.pending, "pending")

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {**attrs.asdict(self, recurse=False), "lost": dict(self.lost)}


@attrs.frozen
class Report:
    """One flush or shutdown over all backends. Truthy only if every backend's report is.

    Attributes:
        backends: One report per backend, by name.
        open_spans: Spans that had started and not ended; at a shutdown, before any was sent unfinished.
        error: What failed in this package itself, so that the report can't be trusted; empty for nothing.
    """

    backends: Mapping[str, BackendReport] = attrs.field(factory=dict, converter=_frozen)
    open_spans: int = 0
    error: str = ""

    def __bool__(self) -> bool:
        """Nothing was lost anywhere since the previous report, nothing is pending, and nothing of ours failed."""
        return not self.error and all(self.backends.values())

    def __str__(self) -> str:
        lines = [f"{name}: {report}" for name, report in self.backends.items()] or ["no backends"]
        if self.open_spans:
            lines.append(f"{self.open_spans} spans still open")
        if self.error:
            lines.append(self.error)
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        backends = {name: report.to_dict() for name, report in self.backends.items()}
        return {"backends": backends, "open_spans": self.open_spans, "error": self.error}


@attrs.frozen
class BackendHealth:
    """One backend now.

    Attributes:
        name: Its name in the file.
        state: `starting`, `ok`, `retrying`, `failing` or `stopped`.
        counts: All counters since the start of the process (or the fork).
        last_success: When it last took a request, seconds since the epoch; None for never.
        last_error: What went wrong last; empty for nothing. No secrets.
        last_error_at: When that was, seconds since the epoch; None for never.
        queued_spans: Spans between the gate and the end of their request.
        queued_bytes: Their bytes.
        retry_spans: Spans that wait in memory for another try.
        retry_bytes: Their bytes.
        spool_spans: Spans on disk, those of earlier and other processes included.
        spool_bytes: What they take there.
    """

    name: str
    state: State
    counts: Counts
    last_success: float | None = None
    last_error: str = ""
    last_error_at: float | None = None
    queued_spans: int = 0
    queued_bytes: int = 0
    retry_spans: int = 0
    retry_bytes: int = 0
    spool_spans: int = 0
    spool_bytes: int = 0

    def __str__(self) -> str:
        counts = self.counts
        text = f"{self.state}: {counts.delivered} delivered of {counts.seen} seen"
        if counts.lost:
            text += ", lost " + ", ".join(f"{n} ({reason})" for reason, n in counts.lost.items())
        if counts.pending:
            text += f", {counts.pending} pending"
        if self.spool_spans:
            text += f", {self.spool_spans} on disk"
        return text + (f"; last error: {self.last_error}" if self.last_error else "")

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {**attrs.asdict(self, recurse=False), "counts": self.counts.to_dict()}


@attrs.frozen
class HeldTraces:
    """The buffer for backends that need whole traces, now.

    Attributes:
        traces: Unfinished traces that are held.
        spans: Their spans that have ended: pending at these backends.
        bytes: What these take in memory, roughly.
        forced: How many traces were decided unfinished, by the bound that forced it (`[sampling]`).
    """

    traces: int = 0
    spans: int = 0
    bytes: int = 0
    forced: Mapping[str, int] = attrs.field(factory=dict, converter=_frozen)

    def __str__(self) -> str:
        forced = ", ".join(f"{n} forced by {bound}" for bound, n in self.forced.items() if n)
        return f"{self.traces} traces with {self.spans} spans held" + (f", {forced}" if forced else "")

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {**attrs.asdict(self, recurse=False), "forced": dict(self.forced)}


@attrs.frozen
class Health:
    """All backends now.

    Attributes:
        backends: One health per backend, by name.
        held: The buffer for backends that need whole traces.
        open_spans: Spans that have started and not ended.
        carried_over: By backend, what serverless invocations left to the next one, counted by each of them.
        error: What failed in this package itself, so that the rest can't be trusted; empty for nothing.
    """

    backends: Mapping[str, BackendHealth] = attrs.field(factory=dict, converter=_frozen)
    held: HeldTraces = attrs.field(factory=HeldTraces)
    open_spans: int = 0
    carried_over: Mapping[str, int] = attrs.field(factory=dict, converter=_frozen)
    error: str = ""

    def __str__(self) -> str:
        lines = [f"{name}: {health}" for name, health in self.backends.items()] or ["no backends"]
        if self.held.traces or any(self.held.forced.values()):
            lines.append(str(self.held))
        if self.open_spans:
            lines.append(f"{self.open_spans} spans open")
        if self.error:
            lines.append(self.error)
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "backends": {name: health.to_dict() for name, health in self.backends.items()},
            "held": self.held.to_dict(),
            "open_spans": self.open_spans,
            "carried_over": dict(self.carried_over),
            "error": self.error,
        }
