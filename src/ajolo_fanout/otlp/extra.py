"""Additions as bytes: appended to a span that is encoded already, and shared with other backends.

OTLP is protobuf: of a field that is written twice the last one counts, and repeated fields go on. So a new
parent or trace state stands behind the old one, and an attribute behind the others. An attribute's key must
not come twice; a span that bears it already is encoded anew.
"""

from __future__ import annotations

from functools import lru_cache

from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.otlp.attributes import append_attributes
from ajolo_fanout.otlp.encode import encode_span
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.otlp.wire import Tally, delimited
from ajolo_fanout.steps.additions import Addition, added
from ajolo_fanout.steps.draft import Draft

__all__ = ["extend", "extra_bytes"]

_PARENT = b"\x22"
_TRACE_STATE = b"\x1a"
_ATTRIBUTES = b"\x4a"
_FLAGS = b"\x85\x01"
_LOCAL = _FLAGS + (0x100).to_bytes(4, "little")  # CONTEXT_HAS_IS_REMOTE
_REMOTE = _FLAGS + (0x300).to_bytes(4, "little")  # CONTEXT_HAS_IS_REMOTE | CONTEXT_IS_REMOTE
_BECOMES_ROOT = _PARENT + b"\x00" + _LOCAL


def extend(rendition: Rendition, source: ReadableSpan | Draft, addition: Addition, tally: Tally) -> Rendition:
    """The rendition of one backend: `rendition` with `addition` behind it, or encoded anew where it must be.

    Args:
        rendition: What its shape shares.
        source: What was encoded there.
        addition: What this backend adds.
        tally: Counts what had to be repaired.
    """
    if addition.attributes and _doubles(source, addition):
        whole = source.readable() if isinstance(source, Draft) else source
        content = encode_span(added(whole, addition), tally)
        return Rendition(rendition.context, content, rendition.envelope, rendition.extra, rendition.readable)
    return rendition.with_extra(extra_bytes(addition, tally))


def extra_bytes(addition: Addition, tally: Tally) -> bytes:
    """`addition` as fields of OTLP's `Span` message."""
    parts: list[bytes] = []
    if addition.trace_state is not None:
        parts.append(_trace_state(addition.trace_state))
    if addition.parent is not None:
        span_id, remote = addition.parent
        if span_id:
            parts += (_PARENT, b"\x08", span_id.to_bytes(8, "big"), _REMOTE if remote else _LOCAL)
        else:
            parts.append(_BECOMES_ROOT)
    if addition.attributes:
        append_attributes(parts, _ATTRIBUTES, addition.attributes, tally)
    return b"".join(parts)


def _doubles(source: ReadableSpan | Draft, addition: Addition) -> bool:
    present = source.attributes or {}
    return any(name in present for name in addition.attributes)


@lru_cache(maxsize=256)
def _trace_state(header: str) -> bytes:
    return delimited(_TRACE_STATE, header.encode())
