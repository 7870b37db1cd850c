"""Spans from a file, as preview, explain and tests take them; the recorded agents where no file is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.otlp.decode import DecodedSpan, from_json_lines
from ajolo_fanout.otlp.json_form import OtlpJsonError
from ajolo_fanout.replay.otlp_json import readable
from ajolo_fanout.replay.recorded import recorded_runs, recorded_spans

__all__ = ["Recording", "SpansError", "in_order_of_ending", "load_spans", "recorded_agents"]


class SpansError(ValueError):
    """A file of spans that can't be used; the message names the file, and the line where there is one."""


@attrs.frozen(eq=False)
class Recording:
    """Spans that were recorded.

    Attributes:
        title: What they are, for people: "recorded Ajolopy spans", "spans of spans.jsonl".
        spans: In the order in which they ended, each id once.
        labels: What a trace is called, by its id, where it has a name.
    """

    title: str
    spans: Sequence[ReadableSpan] = attrs.field(repr=False)
    labels: Mapping[int, str] = attrs.field(factory=dict)


def recorded_agents() -> Recording:
    """The runs that come with the package."""
    spans: list[ReadableSpan] = []
    labels: dict[int, str] = {}
    for run in recorded_runs():
        for span in recorded_spans(run):
            spans.append(span)
            labels[span.context.trace_id] = run
    return Recording("recorded Ajolopy spans", tuple(spans), labels)


def load_spans(path: Path, name: str | None = None) -> Recording:
    """Read OTLP JSON: one document, or one a line, as a `file` backend and the Collector write them.

    A span that comes twice counts once. The order is that in which they ended.

    Args:
        path: The file.
        name: What to call it; the path as given when None.

    Raises:
        SpansError: it can't be read, is no OTLP JSON, or holds no spans, or a span without ids.
    """
    shown = str(path) if name is None else name
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpansError(f"{shown}: not UTF-8") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SpansError(f"{shown}: can't be read: {reason}") from None
    found: dict[tuple[str, str], ReadableSpan] = {}
    try:
        for line, span in from_json_lines(text):
            if not _has_ids(span):
                raise SpansError(
                    f"{shown}:{line}: a span here has no trace id of 32 and span id of 16 hexadecimal digits"
                )
            found.setdefault((span.trace_id, span.span_id), readable(span))
    except OtlpJsonError as error:
        raise SpansError(f"{shown}:{error.line}: {error.reason}") from None
    if not found:
        raise SpansError(f"{shown}: holds no spans; expected OTLP JSON with resourceSpans")
    return Recording(f"spans of {shown}", tuple(in_order_of_ending(list(found.values()))))


def in_order_of_ending(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """`spans` by their ends; of those that ended at once, children before their parents."""
    parents = {
        (span.context.trace_id, span.context.span_id): None if span.parent is None else span.parent.span_id
        for span in spans
    }

    def depth(span: ReadableSpan) -> int:
        seen: set[int] = set()
        at: int | None = span.context.span_id
        while at is not None and at not in seen:  # ids that others gave may go in a circle
            seen.add(at)
            at = parents.get((span.context.trace_id, at))
        return len(seen)

    ends: dict[int, list[ReadableSpan]] = {}
    for span in spans:
        ends.setdefault(span.end_time or span.start_time or 0, []).append(span)
    ordered: list[ReadableSpan] = []
    for _, at_once in sorted(ends.items()):
        ordered += sorted(at_once, key=depth, reverse=True) if len(at_once) > 1 else at_once
    return ordered


def _has_ids(span: DecodedSpan) -> bool:
    sizes = len(span.trace_id) == 32 and len(span.span_id) == 16 and len(span.parent_id) in (0, 16)
    return sizes and int(span.trace_id, 16) != 0 and int(span.span_id, 16) != 0
