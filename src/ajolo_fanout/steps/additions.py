"""Additions: what one backend appends to a span whose bytes it shares with others.

Its weight, the parent that took the place of one that was left out, why its trace was kept. None of this is
part of a shape, so backends that differ only here still share their renditions.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import AttributeValue

from ajolo_fanout.steps.bounded import Given, bounded_list

__all__ = ["DRY_RUN", "KEPT_BY", "PARENT_ID", "ROOT", "SAMPLE_RATE", "Addition", "Parent", "added", "merged"]

Parent = tuple[int, bool]
"""A parent: its span id, and whether it is in another service."""

ROOT: Parent = (0, False)
"""The parent of a span that becomes a root."""

KEPT_BY = "ajolo_fanout.kept_by"
"""On a trace's root: the keep rule, or the reason given in code, that kept it."""

PARENT_ID = "ajolo_fanout.parent_id"
"""On a span that became a root: the id of the parent that it had, 16 hexadecimal digits."""

DRY_RUN = "ajolo_fanout.would_drop"
"""With `sampling.dry_run`: the key that would have left this span out."""

SAMPLE_RATE = "SampleRate"
"""The attribute in which Honeycomb reads how many spans this one stands for."""

_NOTHING: Mapping[str, AttributeValue] = MappingProxyType({})


@attrs.frozen
class Addition:
    """What is appended.

    Attributes:
        parent: The new parent, `ROOT` for none; None leaves the span's own.
        trace_state: The new trace state as in its header; None leaves the span's own, "" takes it away.
        attributes: Further attributes. One that the span has already is replaced.
    """

    parent: Parent | None = None
    trace_state: str | None = None
    attributes: Mapping[str, AttributeValue] = _NOTHING

    def __bool__(self) -> bool:
        return self.parent is not None or self.trace_state is not None or bool(self.attributes)


def merged(one: Addition | None, other: Addition | None) -> Addition | None:
    """Both additions as one."""
    if one is None or other is None:
        return other if one is None else one
    return Addition(
        parent=one.parent if other.parent is None else other.parent,
        trace_state=one.trace_state if other.trace_state is None else other.trace_state,
        attributes={**one.attributes, **other.attributes},
    )


def added(span: ReadableSpan, addition: Addition) -> ReadableSpan:
    """An SDK span like `span` with `addition`; `span` itself is never changed."""
    context = span.context
    if addition.trace_state is not None and context is not None:
        state = TraceState.from_header([addition.trace_state])
        context = SpanContext(
            context.trace_id, context.span_id, context.is_remote, context.trace_flags, trace_state=state
        )
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=_parent(span, addition.parent),
        resource=span.resource,
        attributes=Given({**(span.attributes or {}), **addition.attributes}, span.dropped_attributes),
        events=bounded_list(span.events, span.dropped_events),
        links=bounded_list(span.links, span.dropped_links),
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _parent(span: ReadableSpan, parent: Parent | None) -> SpanContext | None:
    if parent is None:
        return span.parent
    span_id, remote = parent
    if not span_id or span.context is None:
        return None
    flags = span.parent.trace_flags if span.parent is not None else TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(span.context.trace_id, span_id, remote, flags)
