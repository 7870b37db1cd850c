"""Redaction: removes what a backend must not see, after all processors, and fails closed."""

from __future__ import annotations

from ajolo_fanout.steps.redaction.redact import Redactor, redact, redactor
from ajolo_fanout.steps.redaction.removal import NOTHING_REDACTED, RULES, Removal, by_reason
from ajolo_fanout.steps.redaction.settings import RedactionSettings

__all__ = [
    "NOTHING_REDACTED",
    "RULES",
    "RedactionSettings",
    "Redactor",
    "Removal",
    "by_reason",
    "redact",
    "redactor",
]
