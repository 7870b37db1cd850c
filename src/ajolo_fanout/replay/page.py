"""A replay as one self-contained page: each trace as a waterfall, a column a backend side by side.

What a span holds comes from anywhere, so nothing of it is put into the page by hand: the template escapes all
of it, and the page's own policy allows the one script and the one style sheet that are in it, and no network.
It holds no more of a span than what the shown backends get, and its name.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.replay.content import ABSENT
from ajolo_fanout.replay.explain import Step, steps_of
from ajolo_fanout.replay.model import Outcome, Redaction, Replay
from ajolo_fanout.replay.recording import Recording
from ajolo_fanout.replay.summary import Common, Summary, own_details, summary
from ajolo_fanout.replay.traces import Trace, name_of, traces_of, walk
from ajolo_fanout.replay.words import at, fate_words, path_words, value_words
from ajolo_fanout.wording import duration_words, escaped

__all__ = ["render"]

SCALE = 1000
"""Units of a waterfall's width."""

MOST = 3000
"""Spans on one page: a browser is slow beyond that. Whole traces, the first ones."""

_LONGEST = 4000
_LEAST = 12
_WORDS = {"filtered": "filtered", "sampled_out": "sampled out", "lost": "lost"}
_GLYPHS = {"sent": "✓", "changed": "~", "redacted": "▧", "filtered": "⊘", "sampled_out": "○", "lost": "✗"}
_MARKS = {"plus": "+", "tilde": "~", "redacted": "▧", "minus": "-"}


@attrs.frozen
class Column:
    """A backend.

    Attributes:
        name: Its name in the file.
        kind: What it is.
        summary: Over all spans.
    """

    name: str
    kind: str
    summary: Summary


@attrs.frozen
class Value:
    """A value that a backend gets, or one that it doesn't.

    Attributes:
        mark: `plus`, `tilde`, `redacted`, `minus`, or nothing.
        text: The value; of one that is gone, why; empty where the backend was never to get one.
    """

    mark: str = ""
    text: str = ""


@attrs.frozen
class Line:
    """One value at every backend.

    Attributes:
        path: Where it stands, in words.
        marked: Whether some backend gets it otherwise than it was made.
        values: One a backend; None at one that doesn't get the span.
    """

    path: str
    marked: bool
    values: Sequence[Value | None]


@attrs.frozen
class Cell:
    """A span at a backend.

    Attributes:
        state: `sent`, `changed`, `redacted`, `filtered`, `sampled_out` or `lost`.
        glyph: The same as a sign.
        words: The same in words.
        headline: Its fate in a sentence.
        steps: Every step in words.
    """

    state: str
    glyph: str
    words: str
    headline: str
    steps: Sequence[Step]


@attrs.frozen
class Row:
    """A span.

    Attributes:
        index: Its number on the page.
        depth: How deep it hangs.
        name: What it is called.
        facts: Its kind, its ids, when it ran.
        took: How long it took.
        failed: Whether its status is an error.
        left: Where its bar begins, of `SCALE`.
        width: How wide the bar is.
        everywhere_out: Whether no shown backend gets it.
        cells: One a backend.
        lines: The span's own values, those that differ first.
        more: Those of its resource and scope.
    """

    index: int
    depth: int
    name: str
    facts: str
    took: str
    failed: bool
    left: int
    width: int
    everywhere_out: bool
    cells: Sequence[Cell]
    lines: Sequence[Line]
    more: Sequence[Line]


@attrs.frozen
class Section:
    """A trace."""

    label: str
    id: str
    took: str
    rows: Sequence[Row]


def render(replayed: Replay, recorded: Recording) -> str:
    """The page, as text. Equal for equal input.

    Args:
        replayed: What is shown: the backends in `outcomes`.
        recorded: What the spans are, and what their traces are called.
    """
    environment = Environment(
        loader=PackageLoader("ajolo_fanout.replay", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns = [_column(replayed.plan[name], outcomes) for name, outcomes in replayed.outcomes.items()]
    sections = list(_sections(replayed, recorded, columns))
    style = environment.get_template("page.css").render(count=len(columns))
    script = environment.get_template("page.js").render()
    return environment.get_template("page.html").render(
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - the page's own, with nothing of a span in it
        script=Markup(script),  # noqa: S704
        file=escaped(replayed.plan.file),
        recording=escaped(recorded.title),
        spans=len(replayed.spans),
        shown=sum(len(section.rows) for section in sections),
        columns=columns,
        off=replayed.plan.off,
        scale=SCALE,
        marks=_MARKS,
        sections=sections,
    )


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy: these two and nothing else, from nowhere else."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _column(backend: BackendPlan, outcomes: Sequence[Outcome]) -> Column:
    return Column(backend.name, backend.target.profile.title, summary(outcomes))


def _sections(replayed: Replay, recorded: Recording, columns: Sequence[Column]) -> Iterator[Section]:
    count = 0
    for trace in traces_of(replayed, recorded.labels):
        branches = list(walk(trace.roots))
        count += len(branches)
        if count > MOST and count > len(branches):
            return
        rows = [_row(replayed, trace, branch.index, branch.depth, columns) for branch in branches]
        yield Section(escaped(trace.label), trace.id, _duration(trace.start, trace.end), rows)


def _row(replayed: Replay, trace: Trace, index: int, depth: int, columns: Sequence[Column]) -> Row:
    span = replayed.spans[index]
    start, end = span.start_time or trace.start, span.end_time or span.start_time or trace.start
    whole = max(1, trace.end - trace.start)
    left = min(SCALE - _LEAST, (start - trace.start) * SCALE // whole)
    cells = [
        _cell(replayed, replayed.plan[column.name], replayed.outcomes[column.name][index], index, column)
        for column in columns
    ]
    outcomes = [replayed.outcomes[column.name][index] for column in columns]
    lines, more = _lines(outcomes)
    return Row(
        index=index,
        depth=depth,
        name=escaped(name_of(span, outcomes)),
        facts=_facts(span),
        took=_duration(start, end),
        failed=span.status.status_code.name == "ERROR",
        left=left,
        width=min(SCALE - left, max(_LEAST, (end - start) * SCALE // whole)),
        everywhere_out=all(one.fate != "sent" for one in outcomes),
        cells=cells,
        lines=lines,
        more=more,
    )


def _facts(span: ReadableSpan) -> str:
    parent = "a root" if span.parent is None else f"under {span.parent.span_id:016x}"
    return f"{span.kind.name.lower()}, span {span.context.span_id:016x}, {parent}"


def _cell(replayed: Replay, backend: BackendPlan, outcome: Outcome, index: int, column: Column) -> Cell:
    state, words = _state(outcome, column.summary.common)
    steps = [_escaped(step) for step in steps_of(replayed, backend, index)]
    return Cell(state, _GLYPHS[state], words, escaped(fate_words(outcome)), steps)


def _state(outcome: Outcome, common: Sequence[Common]) -> tuple[str, str]:
    """What a cell says; what is done to every span that a backend gets makes none a changed one."""
    if outcome.fate != "sent":
        return outcome.fate, _WORDS[outcome.fate]
    if outcome.redactions:
        return "redacted", f"{len(outcome.redactions)} redacted"
    if outcome.parent is not None or own_details(outcome, common):
        return "changed", "changed"
    return "sent", "sent"


def _escaped(step: Step) -> Step:
    return attrs.evolve(step, text=escaped(step.text))


def _lines(outcomes: Sequence[Outcome]) -> tuple[list[Line], list[Line]]:
    """What the backends get, a line a value: the span's own, and those of its resource and scope."""
    each = [None if one.after is None else _values(one) for one in outcomes]
    paths = dict.fromkeys(path for values in each if values is not None for path in values)
    own: list[Line] = []
    more: list[Line] = []
    for path in sorted(paths, key=lambda path: path.startswith("events.")):
        values = [None if found is None else found.get(path, Value()) for found in each]
        marked = any(value is not None and value.mark for value in values)
        line = Line(escaped(path_words(path)), marked, values)
        (more if path.startswith(("resource.", "scope.", "trace_state")) else own).append(line)
    return sorted(own, key=_rank), sorted(more, key=_rank)


def _rank(line: Line) -> int:
    """What is redacted comes first, then what differs otherwise."""
    redacted = any(value is not None and value.mark == "redacted" for value in line.values)
    return 0 if redacted else 1 if line.marked else 2


def _text(value: Any) -> str:
    """A value as it is read: quotes inside a text stay as they are."""
    if not isinstance(value, str):
        return value_words(value, _LONGEST)
    text = escaped(value)
    return f'"{text}"' if len(text) <= _LONGEST else f'"{text[:_LONGEST]}…'


def _values(outcome: Outcome) -> dict[str, Value]:
    """By path, what a backend gets, and what is gone."""
    assert outcome.after is not None
    gone = {one.removal.path: one for one in outcome.redactions}
    marks = _marks(outcome, gone)
    found = {path: Value(marks.get(path, ""), _text(value)) for path, value in outcome.after.items()}
    for path, mark in marks.items():
        if path not in found:
            text = "removed"
            if path in gone:  # a path may stand for several, as `*` does where `allow` names what stays
                count = sum(one.removal.path == path for one in outcome.redactions)
                text = f"{count} values {_why(gone[path])}" if count > 1 else _why(gone[path])
            found[path] = Value(mark, text)
    return found


def _marks(outcome: Outcome, gone: Mapping[str, Redaction]) -> dict[str, str]:
    """By path, what became of a value from the first step to the last."""
    assert outcome.after is not None
    marks: dict[str, Any] = {}
    for change in outcome.changes:
        first = marks.get(change.path, change.before)
        marks[change.path] = first
    said = {}
    for path, before in marks.items():
        if path in outcome.after:
            said[path] = "plus" if before is ABSENT else "tilde"
        elif before is not ABSENT:
            said[path] = "minus"
    # An event that went as a whole shifts the numbers of those after it: then paths of events say nothing.
    shifted = any(path.count(".") == 1 and path.startswith("events.") for path in gone)
    kept = [path for path in gone if not (shifted and path.startswith("events.") and path in outcome.after)]
    return said | dict.fromkeys(kept, "redacted")


def _why(one: Redaction) -> str:
    return escaped(f"redacted: {one.removal.reason}{at(one.origin)}")


def _duration(start: int, end: int) -> str:
    return duration_words((end - start) / 1e9)
