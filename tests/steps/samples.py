"""What the tests of the detectors share: all of them, and secrets that they find."""

from __future__ import annotations

from ajolo_fanout.steps.redaction.api_keys import VENDOR_KEYS
from ajolo_fanout.steps.redaction.detectors import DETECTORS
from ajolo_fanout.steps.redaction.scan import scanner

ALL = scanner(tuple(DETECTORS))

# Secrets as they stand in a text, with what of them must not be left.
SECRETS = (
    "alice@example.com",
    "+49 30 901820",
    "5500 0055 5555 5559",
    "4111111111111111",
    "DE89 3704 0044 0532 0130 00",
    "203.0.113.7",
    "2001:db8::8a2e:370:7334",
    "219-09-9999",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    *(row.example for row in VENDOR_KEYS),
)
