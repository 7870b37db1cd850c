"""The fates of a span, the reasons for a loss, the counters and the states of a backend: the vocabulary.

At any moment, for each backend::

    seen = filtered + sampled_out + delivered + handed_over + spooled + pending + sum(lost.values())
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

import attrs

__all__ = ["LEGAL_MOVES", "REASONS", "SETTLED", "STATES", "Counts", "Reason", "State"]

Reason = Literal[
    "rejected",
    "inbox_full",
    "queue_full",
    "retry_full",
    "spool_full",
    "too_old",
    "too_large",
    "shutdown",
    "error",
]
"""Why a span was lost.

- `rejected`: the backend refused it (or its part of a partial success).
- `inbox_full`: the router fell behind the program. `queue_full`: the backend fell behind the router.
- `retry_full`, `spool_full`: the bounded stores for later tries were full. `too_old`: it waited too long
  there.
- `too_large`: the backend takes no span of this size, even without its largest values.
- `shutdown`: unsent at the deadline of the shutdown, or ended after it.
- `error`: something of ours, or a processor of the user's own, failed.
"""

REASONS: tuple[str, ...] = get_args(Reason)
"""Every reason for a loss, in the order in which a span could meet it."""

State = Literal["starting", "ok", "retrying", "failing", "stopped"]
"""What a backend is doing: not asked yet, taking spans, to be asked again, refusing them, shut down."""

STATES: tuple[State, ...] = get_args(State)

LEGAL_MOVES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "starting": frozenset({"ok", "retrying", "failing", "stopped"}),
        "ok": frozenset({"retrying", "failing", "stopped"}),
        "retrying": frozenset({"ok", "failing", "stopped"}),
        "failing": frozenset({"ok", "retrying", "stopped"}),
        "stopped": frozenset(),
    },
)
"""From each state to which others a backend may go. Only a forked child starts again after `stopped`."""


SETTLED = ("filtered", "sampled_out", "delivered", "handed_over", "spooled")
"""The fields of `Counts` that are fates of a span; the losses are by reason, and what has no fate yet is pending."""

_BY_REASON = ("lost", "redacted_by")
"""The fields of `Counts` that are counts by reason."""


def _frozen_mapping(given: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType(dict(given))


@attrs.frozen
class Counts:
    """The counters of one backend at one moment, in spans unless said otherwise.

    Attributes:
        seen: Ended spans that the backend's pipeline was asked about.
        filtered: Left out by what the backend selects.
        sampled_out: Left out by its sampling.
        delivered: Taken by the backend, as its answer said.
        handed_over: Taken by a stock exporter, which can't know more.
        spooled: Left to the spool because their first send failed or was put off.
        lost: How many were lost, by reason; reasons that never happened are absent.
        redacted_by: How many values (not spans) redaction removed, by reason: `drop`, `hash`, `mask`, `content`,
            `allow`, `failed`, `mask_ip`, the name of a detector or of a pattern of the user's own.
        repaired: Values (not spans) that had to be repaired to be encoded.
        requests: Requests that were sent, tries of the same batch each counted.
        bytes: Bytes of their bodies before compression.
        replayed: Spans that left the spool later; no part of the sum above.
        never_recorded: Traces (not spans) that the provider's sampler never recorded, counted by their first span
            here; no part of the sum above.
    """

    seen: int = 0
    filtered: int = 0
    sampled_out: int = 0
    delivered: int = 0
    handed_over: int = 0
    spooled: int = 0
    lost: Mapping[str, int] = attrs.field(factory=dict, converter=_frozen_mapping)
    redacted_by: Mapping[str, int] = attrs.field(factory=dict, converter=_frozen_mapping)
    repaired: int = 0
    requests: int = 0
    bytes: int = 0
    replayed: int = 0
    never_recorded: int = 0

    @property
    def lost_total(self) -> int:
        """Spans lost for any reason."""
        return sum(self.lost.values())

    @property
    def redacted(self) -> int:
        """Values that redaction removed for any reason."""
        return sum(self.redacted_by.values())

    @property
    def pending(self) -> int:
        """Spans whose fate is still open: buffered, queued, on their way, or waiting for another try."""
        settled: int = sum(getattr(self, fate) for fate in SETTLED)
        return self.seen - settled - self.lost_total

    def __sub__(self, earlier: Counts) -> Counts:
        """What happened between `earlier` and this."""
        made: dict[str, Any] = {}
        for field in attrs.fields(Counts):
            now, before = getattr(self, field.name), getattr(earlier, field.name)
            if field.name in _BY_REASON:
                since = {reason: n - before.get(reason, 0) for reason, n in now.items()}
                made[field.name] = {reason: n for reason, n in since.items() if n}
            else:
                made[field.name] = now - before
        return Counts(**made)

    def to_dict(self) -> dict[str, Any]:
        """The counters, `pending` and `redacted` included, as plain values."""
        plain = attrs.asdict(self, recurse=False)
        by_reason = {name: dict(plain[name]) for name in _BY_REASON}
        return {**plain, **by_reason, "redacted": self.redacted, "pending": self.pending}
