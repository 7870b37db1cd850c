"""Spans as trees: which hang from which, as the program made them, each trace with its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.replay.model import Outcome, Replay

__all__ = ["Branch", "Trace", "name_of", "traces_of", "walk"]


@attrs.frozen
class Branch:
    """A span and what hangs from it.

    Attributes:
        index: Its place in `Replay.spans`.
        depth: 0 for one that hangs from nothing here.
        children: By their starts.
    """

    index: int
    depth: int
    children: tuple[Branch, ...] = ()


@attrs.frozen
class Trace:
    """The spans of one trace.

    Attributes:
        id: 32 hexadecimal digits.
        label: What the trace is called; its id's first digits where it has no name.
        roots: What hangs from nothing here.
        start: Nanoseconds since the epoch, of the first start.
        end: The last end.
    """

    id: str
    label: str
    roots: tuple[Branch, ...]
    start: int
    end: int


def traces_of(replay: Replay, labels: Mapping[int, str]) -> list[Trace]:
    """The traces of what was replayed, by their starts.

    Args:
        replay: It.
        labels: What a trace is called, by its id.
    """
    members: dict[int, list[int]] = {}
    for index, span in enumerate(replay.spans):
        members.setdefault(span.context.trace_id, []).append(index)
    traces = []
    for trace_id, indexes in members.items():
        spans = [replay.spans[index] for index in indexes]
        shown = f"{trace_id:032x}"
        traces.append(
            Trace(
                shown,
                labels.get(trace_id, f"{shown[:8]}…"),
                _forest(replay.spans, indexes),
                min(span.start_time or 0 for span in spans),
                max(span.end_time or 0 for span in spans),
            )
        )
    return sorted(traces, key=lambda trace: (trace.start, trace.id))


def walk(branches: Sequence[Branch]) -> Iterator[Branch]:
    """Every branch, each before what hangs from it."""
    waiting = list(reversed(branches))
    while waiting:
        branch = waiting.pop()
        yield branch
        waiting += reversed(branch.children)


def name_of(span: ReadableSpan, outcomes: Sequence[Outcome]) -> str:
    """What a span is called where all backends are shown: without what the redaction of one takes out."""
    names = [str(one.before["name"]) for one in outcomes]
    return next((name for name in names if name != span.name), span.name)


def _forest(spans: Sequence[ReadableSpan], indexes: Sequence[int]) -> tuple[Branch, ...]:
    """The spans of one trace as trees; of ids in a circle, the first that started counts as the root."""
    by_id = {spans[index].context.span_id: index for index in indexes}
    below: dict[int | None, list[int]] = {}
    for index in sorted(indexes, key=lambda index: (spans[index].start_time or 0, -index)):
        parent = spans[index].parent
        below.setdefault(None if parent is None else by_id.get(parent.span_id), []).append(index)
    depths: dict[int, int] = {}
    order: list[int] = []

    def reach(roots: Sequence[int]) -> None:
        waiting = [(index, 0) for index in reversed(roots)]
        while waiting:
            index, depth = waiting.pop()
            if index not in depths:
                depths[index] = depth
                order.append(index)
                waiting += [(child, depth + 1) for child in reversed(below.get(index, ()))]

    tops = list(below.get(None, ()))
    reach(tops)
    for index in sorted(indexes, key=lambda index: spans[index].start_time or 0):
        if index not in depths:
            tops.append(index)
            reach([index])
    made: dict[int, Branch] = {}
    for index in reversed(order):
        children = tuple(
            made[child]
            for child in below.get(index, ())
            if child in made and depths[child] == depths[index] + 1
        )
        made[index] = Branch(index, depths[index], children)
    return tuple(made[index] for index in tops)
