"""How a preview looks in a terminal: a tree a trace under each backend, traces that fare alike told once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from ajolo_fanout.cli.explain import FATE_COLORS, MARK_COLORS, wrapped_line
from ajolo_fanout.cli.output import Output
from ajolo_fanout.replay.model import Outcome, Replay
from ajolo_fanout.replay.recording import Recording
from ajolo_fanout.replay.summary import Common, own_details, summary
from ajolo_fanout.replay.traces import Branch, Trace, name_of, traces_of, walk
from ajolo_fanout.replay.words import fate_words, parent_words
from ajolo_fanout.wording import escaped

__all__ = ["show"]

_NAMES_SHOWN = 6


@attrs.frozen
class _Row:
    """One line: what stands left of it, its text, its colour."""

    lead: str
    text: str
    color: str | None = None
    bold: bool = False


def show(replayed: Replay, recorded: Recording, output: Output) -> None:
    """Print the preview."""
    traces = traces_of(replayed, recorded.labels)
    count = f"{len(traces)} trace{'' if len(traces) == 1 else 's'}"
    head = f"{replayed.plan.file}, {len(replayed.spans)} {escaped(recorded.title)} in {count}"
    for line in wrapped_line(head, output.width, output):
        output.say(line)
    for name, outcomes in replayed.outcomes.items():
        output.say()
        for row in _backend(replayed, name, outcomes, traces):
            for number, line in enumerate(wrapped_line(row.text, output.width - len(row.lead), output)):
                lead = row.lead if not number else _continued(row.lead)
                output.say(f"{lead}{output.style(line, fg=row.color, bold=row.bold or None)}".rstrip())
    for off in replayed.plan.off:
        output.say()
        output.say(f"{output.style(off.name, bold=True)}: off, {off.why}")


def _continued(lead: str) -> str:
    return lead.replace("├─ ", "│  ").replace("└─ ", "   ")


def _backend(
    replayed: Replay, name: str, outcomes: Sequence[Outcome], traces: Sequence[Trace]
) -> Iterator[_Row]:
    whole = summary(outcomes)
    parts = [f"{whole.sent} of {len(outcomes)} spans sent"]
    parts += [f"{whole.changed} changed"] if whole.changed else []
    parts += [f"{whole.redacted} values redacted"] if whole.redacted else []
    yield _Row("", f"{name}: {', '.join(parts)}", bold=True)
    for reason, number in whole.left_out:
        yield _Row("│  ", f"{number} {escaped(reason)}", "yellow")
    for common in whole.common:
        yield _Row("│  ", f"every one: {_detail(common)}", MARK_COLORS.get(common.detail.mark))
    groups: dict[tuple[_Row, ...], list[Trace]] = {}
    for trace in traces:
        rows = tuple(_trace(replayed, outcomes, trace, whole.common))
        groups.setdefault(rows, []).append(trace)
    for number, (rows, alike) in enumerate(groups.items(), 1):
        last = number == len(groups)
        yield _Row("└─ " if last else "├─ ", _title(alike), bold=True)
        for row in rows:
            yield attrs.evolve(row, lead=("   " if last else "│  ") + row.lead)


def _title(alike: Sequence[Trace]) -> str:
    names = ", ".join(escaped(trace.label) for trace in alike[:_NAMES_SHOWN])
    more = f" and {len(alike) - _NAMES_SHOWN} more" if len(alike) > _NAMES_SHOWN else ""
    return f"{names}{more}" + (f" ({len(alike)} traces alike)" if len(alike) > 1 else "")


def _trace(
    replayed: Replay, outcomes: Sequence[Outcome], trace: Trace, common: Sequence[Common]
) -> Iterator[_Row]:
    members = [branch.index for branch in walk(trace.roots)]
    fates = {fate_words(outcomes[index]) for index in members}
    if len(fates) == 1 and outcomes[members[0]].fate != "sent":  # nothing of it gets there: one line says so
        count = f"{len(members)} span{'' if len(members) == 1 else 's'}"
        yield _Row("", f"{count}, {escaped(next(iter(fates)))}", FATE_COLORS[outcomes[members[0]].fate])
        return
    yield from _branches(replayed, outcomes, trace.roots, "", common)


def _branches(
    replayed: Replay,
    outcomes: Sequence[Outcome],
    roots: Sequence[Branch],
    lead: str,
    common: Sequence[Common],
) -> Iterator[_Row]:
    waiting = [(branch, lead, number == len(roots)) for number, branch in enumerate(roots, 1)][::-1]
    while waiting:
        branch, before, last = waiting.pop()
        outcome = outcomes[branch.index]
        below = before + ("   " if last else "│  ")
        name = escaped(name_of(replayed.spans[branch.index], [outcome]))
        text = f"{name}  {escaped(_fate(outcome, root=branch.depth == 0))}"
        yield _Row(before + ("└─ " if last else "├─ "), text, FATE_COLORS[outcome.fate])
        bar = below + ("│  " if branch.children else "   ")
        for one in own_details(outcome, common):
            yield _Row(bar, _detail(one), MARK_COLORS.get(one.detail.mark))
        count = len(branch.children)
        waiting += [(child, below, number == count) for number, child in enumerate(branch.children, 1)][::-1]


def _fate(outcome: Outcome, *, root: bool) -> str:
    """A span's fate; what is so of its whole trace is said at the root."""
    parts = [fate_words(outcome) if root or outcome.fate != "sent" or outcome.key else "sent"]
    if root and outcome.weight not in (None, 1):
        parts.append(f"stands for {outcome.weight:.4g} traces")
    return ", ".join([*parts, *filter(None, [parent_words(outcome)])])


def _detail(common: Common) -> str:
    return escaped(f"{common.detail}  [{common.step}]" if common.step else str(common.detail))
