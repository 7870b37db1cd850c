"""A span that is too large alone, without its largest values: the trace keeps its shape."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Literal

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ajolo_fanout.otlp.rendition import Rendition

__all__ = ["LIMITED", "shrink"]

LIMITED = "ajolo_fanout.limited"
"""The attribute that says what is missing: the names of the removed values."""

_MOST_NAMES = 64
_LONGEST_NAME = 128


def shrink(rendition: Rendition, max_bytes: int) -> Rendition | None:
    """A copy of at most `max_bytes` (of its `size`) without its largest attribute values, marked.

    Attributes of the span, its events and its links go, largest first, then whole events and links; ids,
    times, name and status stay. None when even that is too large.
    """
    span = Span.FromString(rendition.span + rendition.extra)
    removed: list[str] = []
    for names, remove in _candidates(span):
        if _size_with_note(span, removed) <= max_bytes:
            break
        removed.append(names)
        remove()
    _note(span, removed)
    smaller = span.SerializeToString()
    if len(smaller) > max_bytes:
        return None
    return Rendition(rendition.context, smaller, rendition.envelope)


def _candidates(span: Span) -> list[tuple[str, Callable[[], None]]]:
    """What can be removed, with its name for the note: values by size, then all events and links."""
    values: list[tuple[int, int, str, Callable[[], None]]] = []
    owners: list[tuple[str, Any]] = [("", span)]
    owners += [(f"events[{event.name}].", event) for event in span.events]
    owners += [(f"links[{place}].", link) for place, link in enumerate(span.links)]
    for prefix, owner in owners:
        for attribute in owner.attributes:
            size = attribute.ByteSize()
            values.append((-size, len(values), prefix + attribute.key, _remover(owner, attribute)))
    heapq.heapify(values)
    ordered = [(name, remove) for _, _, name, remove in (heapq.heappop(values) for _ in range(len(values)))]
    return [*ordered, ("events", _clearer(span, "events")), ("links", _clearer(span, "links"))]


def _remover(owner: Any, attribute: Any) -> Callable[[], None]:
    def remove() -> None:
        # By content: protobuf's list finds the equal element, and equal elements are the same loss.
        owner.attributes.remove(attribute)
        owner.dropped_attributes_count = min(owner.dropped_attributes_count + 1, 2**32 - 1)

    return remove


def _clearer(span: Span, field: Literal["events", "links"]) -> Callable[[], None]:
    def remove() -> None:
        count = f"dropped_{field}_count"
        setattr(span, count, min(getattr(span, count) + len(getattr(span, field)), 2**32 - 1))
        span.ClearField(field)

    return remove


def _size_with_note(span: Span, removed: list[str]) -> int:
    """The size that the span would have with its note."""
    return (
        span.ByteSize() + 64 + sum(len(name[:_LONGEST_NAME].encode()) + 8 for name in removed[:_MOST_NAMES])
    )


def _note(span: Span, removed: list[str]) -> None:
    note = span.attributes.add(key=LIMITED)
    for name in removed[:_MOST_NAMES]:
        note.value.array_value.values.add(string_value=name[:_LONGEST_NAME])
