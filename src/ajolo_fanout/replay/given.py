"""The spans of an in-file test, as the SDK's: what its tables say, and for all else something plausible."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ajolo_fanout.config.tests import GivenSpan
from ajolo_fanout.plan.tests import trace_ids

__all__ = ["KEPT_TRACE", "Given", "given_spans"]

KEPT_TRACE = (1 << 128) - 1
"""The trace that every ratio above 0 keeps: no randomness is higher."""

_START = 1_735_689_600_000_000_000  # 2025-01-01T00:00:00Z
_STEP = 1_000_000
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-fA-F]{16}")


@attrs.frozen(eq=False)
class Given:
    """Spans that somebody wrote.

    Attributes:
        spans: In the order in which they are written.
        ended: The same in the order in which they end: children before their parents.
        ids: What the test calls a span, by its span id.
    """

    spans: tuple[ReadableSpan, ...]
    ended: tuple[ReadableSpan, ...]
    ids: Mapping[int, str]


def given_spans(tables: Sequence[GivenSpan]) -> Given:
    """The spans of `tables`, which have been checked."""
    numbers = _span_ids(tables)
    by_id = {table.id: index for index, table in enumerate(tables) if table.id is not None}
    contexts = [
        SpanContext(
            KEPT_TRACE if trace is None else int(trace, 16),
            number,
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        for number, trace in zip(numbers, trace_ids(tables), strict=True)
    ]
    spans = []
    for index, table in enumerate(tables):
        parent = None if table.parent is None else contexts[by_id[table.parent]]
        spans.append(_span(table, contexts[index], parent, _START + index * _STEP))
    depths = [_depth(table, tables, by_id) for table in tables]
    order = sorted(range(len(spans)), key=lambda index: (-depths[index], index))
    ids = {number: table.id for number, table in zip(numbers, tables, strict=True) if table.id is not None}
    return Given(tuple(spans), tuple(spans[index] for index in order), ids)


def _span_ids(tables: Sequence[GivenSpan]) -> list[int]:
    """An id that is one, or else the next free number."""
    written = [
        int(table.id, 16) if table.id is not None and _SPAN_ID.fullmatch(table.id) else None
        for table in tables
    ]
    taken = {number for number in written if number is not None}
    free = (number for number in range(1, 2 * len(tables) + 1) if number not in taken)
    return [next(free) if number is None else number for number in written]


def _depth(table: GivenSpan, tables: Sequence[GivenSpan], by_id: Mapping[str, int]) -> int:
    depth = 0
    while table.parent is not None:
        table = tables[by_id[table.parent]]
        depth += 1
    return depth


def _span(table: GivenSpan, context: SpanContext, parent: SpanContext | None, start: int) -> ReadableSpan:
    return ReadableSpan(
        name=table.name,
        context=context,
        parent=parent,
        resource=Resource(dict(table.resource)),
        attributes=dict(table.attributes),
        events=[
            Event(event.name, dict(event.attributes), start + number)
            for number, event in enumerate(table.events)
        ],
        kind=SpanKind[table.kind.upper()],
        status=Status(StatusCode[table.status.upper()]),
        start_time=start,
        end_time=start + round(float(table.duration) * 1e9),
        instrumentation_scope=InstrumentationScope(table.scope),
    )
