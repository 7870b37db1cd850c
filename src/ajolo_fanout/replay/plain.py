"""Outcomes as JSON takes them: nothing that a backend's redaction takes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ajolo_fanout.replay.content import ABSENT
from ajolo_fanout.replay.model import Outcome
from ajolo_fanout.steps.additions import ROOT
from ajolo_fanout.values import Origin

__all__ = ["plain_outcome"]


def plain_outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain values; what a value was or is is left out where it wasn't or isn't."""
    parent = outcome.parent
    return {
        "fate": outcome.fate,
        "key": outcome.key,
        "origin": _origin(outcome.origin),
        "recorded": outcome.recorded,
        "kept_by": outcome.kept_by,
        "kept_origin": _origin(outcome.kept_origin),
        "weight": outcome.weight,
        "new_parent": None if parent is None else "" if parent == ROOT else f"{parent[0]:016x}",
        "error": outcome.error,
        "changes": [
            {
                "step": effect.step,
                "origin": _origin(effect.origin),
                "path": change.path,
                **({} if change.before is ABSENT else {"before": _value(change.before)}),
                **({} if change.after is ABSENT else {"after": _value(change.after)}),
            }
            for effect in outcome.effects
            for change in effect.changes
        ],
        "redactions": [
            {
                "path": one.removal.path,
                "reason": one.removal.reason,
                "key": one.key,
                "origin": _origin(one.origin),
            }
            for one in outcome.redactions
        ],
    }


def _origin(origin: Origin | None) -> str | None:
    return None if origin is None else str(origin)


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _value(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_value(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON knows no NaN
    return value if value is None or isinstance(value, (str, bool, int)) else str(value)
