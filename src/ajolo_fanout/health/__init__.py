"""What became of every span: fates, counters, states, reports, and telling it without flooding a log."""

from __future__ import annotations

from ajolo_fanout.health.fates import REASONS, Counts, State
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.report import BackendHealth, BackendReport, Health, Report
from ajolo_fanout.health.say import Teller

__all__ = [
    "REASONS",
    "BackendHealth",
    "BackendReport",
    "Counts",
    "Health",
    "Ledger",
    "Report",
    "State",
    "Teller",
]
