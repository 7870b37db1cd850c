"""Names that a later version gives a meaning to.

A file that uses one of them was written for that version, and is not silently misread by this one. To bring
such a table to life, give its field in `model` or `backend` a settings class instead of `Reserved`.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ajolo_fanout.config.faults import Fault

__all__ = ["RESERVED_HELP", "Reserved", "read_reserved"]

RESERVED_HELP = "This name is reserved for a later version of ajolo_fanout and can't be used yet."


class Reserved:
    """The type of a key that only a later version knows: no value can be of it."""


def read_reserved(value: Any) -> NoReturn:
    """Refuse `value`, whatever it is."""
    del value
    raise Fault(
        "this name is reserved for a later version of ajolo_fanout; remove it here, or update ajolo_fanout",
        "reserved-key",
    )
