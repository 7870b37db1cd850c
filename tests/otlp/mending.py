"""The plain span that an odd one should look like when it arrives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from opentelemetry.trace import SpanContext, StatusCode

from .strategies import OddStatus, Shy, record

__all__ = ["mended", "mended_attributes"]

_SURROGATES = re.compile("([\ud800-\udbff][\udc00-\udfff])|[\ud800-\udfff]")


def mended(value: Any) -> Any:
    """`value`, or a span whose every field, in the form in which it should arrive."""
    if isinstance(value, SimpleNamespace):
        return _mended_record(value)
    if isinstance(value, str):
        return _SURROGATES.sub(_character, value)
    if isinstance(value, (bool, float, bytes, bytearray)) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, Sequence):
        return [mended(one) for one in value]
    if isinstance(value, Mapping):
        return mended_attributes(value)
    return mended(_shown(value))


def mended_attributes(pairs: Mapping[Any, Any]) -> dict[str, Any]:
    """The same for a mapping. Of two keys that look the same when mended the later one stands."""
    return {mended(_shown(key)): mended(value) for key, value in pairs.items()}


def _character(found: re.Match[str]) -> str:
    if found[1] is None:
        return "\ufffd"
    high, low = found[1]
    return chr(0x10000 + (ord(high) - 0xD800) * 0x400 + ord(low) - 0xDC00)


def _shown(value: Any) -> str:
    return "Shy" if isinstance(value, Shy) else str(value)


def _mended_record(odd: SimpleNamespace) -> SimpleNamespace:
    """A record of the stock encoder's liking, field by field."""
    return record(**{name: _FIELDS.get(name, mended)(value) for name, value in vars(odd).items()})


def _number(maximum: int) -> Callable[[Any], int]:
    def mend(value: Any) -> int:
        try:
            return min(max(int(value), 0), maximum)
        except (TypeError, ValueError, OverflowError):
            return 0

    return mend


def _context(context: SpanContext | None) -> SpanContext | None:
    if context is None:
        return None
    return SpanContext(
        _number(2**128 - 1)(context.trace_id),
        _number(2**64 - 1)(context.span_id),
        context.is_remote,
        context.trace_flags,
        context.trace_state,
    )


def _status(status: Any) -> Any:
    if status is None:
        return None
    code = status.status_code if isinstance(status.status_code, StatusCode) else StatusCode.UNSET
    return OddStatus(code, mended(status.description))


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": lambda name: mended(name if name is None else str(name)),
    "context": _context,
    "parent": _context,
    "kind": lambda kind: kind,
    "start_time": _number(2**64 - 1),
    "end_time": _number(2**64 - 1),
    "timestamp": _number(2**64 - 1),
    "attributes": lambda pairs: pairs and mended_attributes(pairs),
    "events": lambda some: [mended(one) for one in some],
    "links": lambda some: [mended(one) for one in some],
    "status": _status,
    "dropped_attributes": _number(2**32 - 1),
    "dropped_events": _number(2**32 - 1),
    "dropped_links": _number(2**32 - 1),
}
