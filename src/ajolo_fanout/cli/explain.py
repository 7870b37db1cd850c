"""`ajolo-fanout explain`: the fate of a span at each backend, step by step."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from ajolo_fanout.cli.files import file_argument, open_file, planned
from ajolo_fanout.cli.output import Mistake, Output, json_option
from ajolo_fanout.cli.spans import recording, spans_option
from ajolo_fanout.replay.explain import Step, steps_of
from ajolo_fanout.replay.model import Outcome, Replay
from ajolo_fanout.replay.plain import plain_outcome
from ajolo_fanout.replay.recording import Recording
from ajolo_fanout.replay.replay import replay
from ajolo_fanout.replay.traces import name_of
from ajolo_fanout.replay.words import fate_words
from ajolo_fanout.steps.glob import compile_glob
from ajolo_fanout.wording import escaped

__all__ = ["FATE_COLORS", "MARK_COLORS", "explain", "wrapped_line"]

FATE_COLORS = {"sent": "green", "filtered": "yellow", "sampled_out": "yellow", "lost": "red"}
MARK_COLORS = {"+": "green", "-": "red", "~": "yellow", "x": "magenta"}
_IDS_SHOWN = 8
_STEP = 12  # columns for a step's name


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout explain --name 'chat *'
  ajolo-fanout explain --span 00f067aa0ba902b7 --spans spans.jsonl
  ajolo-fanout explain deploy/tracing.toml --name 'execute_tool *' --json

\b
Exit codes:
  0   here it is
  2   the command line is wrong, there is no such span, or the spans can't be read
  78  the file has errors, or can't be read
"""
)
@file_argument
@click.option("--span", "span_id", metavar="ID", help="The span with this id: 16 hexadecimal digits.")
@click.option("--name", "glob", metavar="GLOB", help="Every span whose name fits this glob of * and ?.")
@spans_option
@json_option
def explain(
    file: str | None, *, span_id: str | None, glob: str | None, spans: Path | None, as_json: bool
) -> None:
    """Say what becomes of a span at each backend of FILE, step by step, with the line that decides.

    Nothing is sent. Spans that fare alike are told once. What a backend's redaction takes out is not shown.
    Where something that the file needs is unset here, placeholders stand in, and a warning on standard error
    says which. Without FILE it is the one that $AJOLO_FANOUT_CONFIG names, else ./tracing.toml.
    """
    if (span_id is None) == (glob is None):
        raise click.UsageError("Say which spans: --span ID or --name GLOB, one of the two.")
    plan = planned(open_file(file)).plan
    recorded = recording(spans)
    replayed = replay(plan, recorded.spans)
    chosen = (
        _by_id(replayed, span_id, recorded)
        if span_id is not None
        else _by_name(replayed, glob or "", recorded)
    )
    if as_json:
        click.echo(json.dumps([_plain(replayed, index, recorded) for index in chosen], indent=2))
    else:
        _print(replayed, chosen, recorded, Output.here())


def _by_id(replayed: Replay, span_id: str, recorded: Recording) -> list[int]:
    wanted = span_id.lower().removeprefix("0x")
    found = [n for n, span in enumerate(replayed.spans) if f"{span.context.span_id:016x}" == wanted]
    if not found:
        raise Mistake(f"no span has the id {escaped(span_id)} among the {_count(recorded)}")
    return found


def _by_name(replayed: Replay, glob: str, recorded: Recording) -> list[int]:
    fits = compile_glob(glob)
    found = [n for n, span in enumerate(replayed.spans) if fits(span.name)]
    if not found:
        names = sorted({name_of(span, _outcomes(replayed, n)) for n, span in enumerate(replayed.spans)})
        near = difflib.get_close_matches(glob, names, n=3) or names[:10]
        listed = ", ".join(escaped(name) for name in near)
        raise Mistake(f"no name fits {escaped(glob)} among the {_count(recorded)}; there are {listed}")
    return found


def _count(recorded: Recording) -> str:
    return f"{len(recorded.spans)} {recorded.title}"


def _outcomes(replayed: Replay, index: int) -> list[Outcome]:
    return [each[index] for each in replayed.outcomes.values()]


def _print(replayed: Replay, chosen: Sequence[int], recorded: Recording, output: Output) -> None:
    alike: dict[Any, list[int]] = {}
    for index in chosen:
        told = [
            [attrs.evolve(step, aside="") for step in steps_of(replayed, backend, index)]
            for backend in replayed.plan.backends
        ]
        name = name_of(replayed.spans[index], _outcomes(replayed, index))
        alike.setdefault(repr((name, told)), []).append(index)
    for number, indexes in enumerate(alike.values()):
        if number:
            output.say()
        _head(replayed, indexes, recorded, output)
        for backend in replayed.plan.backends:
            outcome = replayed.outcomes[backend.name][indexes[0]]
            fate = output.style(fate_words(outcome), fg=FATE_COLORS[outcome.fate], bold=True)
            output.say()
            output.say(f"{output.style(backend.name, bold=True)}: {fate}")
            for step in steps_of(replayed, backend, indexes[0]):
                _step(step if len(indexes) == 1 else attrs.evolve(step, aside=""), output)
    _off(replayed, output)


def _off(replayed: Replay, output: Output) -> None:
    for off in replayed.plan.off:
        output.say()
        output.say(f"{output.style(off.name, bold=True)}: off, {off.why}")


def _head(replayed: Replay, indexes: Sequence[int], recorded: Recording, output: Output) -> None:
    first = replayed.spans[indexes[0]]
    plain = escaped(name_of(first, _outcomes(replayed, indexes[0])))
    name = output.style(plain, bold=True)
    if len(indexes) == 1:
        where = _where(replayed, indexes[0], recorded)
        # An id that a terminal breaks in two can't be copied.
        fits = not output.terminal or len(plain) + len(where) + 2 <= output.width
        output.say(f"{name}, {where}" if fits else f"{name}\n  {where}")
        return
    output.say(f"{name}, {len(indexes)} spans that fare alike:")
    for index in indexes[:_IDS_SHOWN]:
        output.say(f"  {_where(replayed, index, recorded)}")
    if len(indexes) > _IDS_SHOWN:
        output.say(f"  and {len(indexes) - _IDS_SHOWN} more")


def _where(replayed: Replay, index: int, recorded: Recording) -> str:
    context = replayed.spans[index].context
    label = recorded.labels.get(context.trace_id)
    trace = f"trace {context.trace_id:032x}"
    return f"span {context.span_id:016x} of {trace}" + (f" ({label})" if label else "")


def _step(step: Step, output: Output) -> None:
    """A row a fact, the step's name before the first."""
    rows: list[tuple[str, str | None]] = [(text, None) for text in (step.text, step.aside) if text]
    rows += [(str(detail), MARK_COLORS.get(detail.mark)) for detail in step.details]
    name = step.name
    if len(name) > _STEP:
        output.say(f"  {output.style(name, fg='cyan')}")
        name = ""
    label = output.style(f"{name:{_STEP}}", fg="red" if step.stops else "cyan", bold=step.stops)
    for text, color in rows or [("", None)]:
        for line in wrapped_line(escaped(text), output.width - _STEP - 4, output):
            output.say(f"  {label}  {output.style(line, fg=color)}".rstrip())
            label = " " * _STEP


def wrapped_line(text: str, width: int, output: Output) -> list[str]:
    """Over several lines where somebody looks at it, as one where a program does."""
    if not output.terminal or len(text) <= width:
        return [text]
    return textwrap.wrap(text, max(20, width), subsequent_indent="  ", break_on_hyphens=False) or [""]


def _plain(replayed: Replay, index: int, recorded: Recording) -> dict[str, Any]:
    context = replayed.spans[index].context
    return {
        "name": name_of(replayed.spans[index], _outcomes(replayed, index)),
        "span_id": f"{context.span_id:016x}",
        "trace_id": f"{context.trace_id:032x}",
        "trace": recorded.labels.get(context.trace_id),
        "backends": {
            backend.name: {
                **plain_outcome(replayed.outcomes[backend.name][index]),
                "steps": [attrs.asdict(step) for step in steps_of(replayed, backend, index)],
            }
            for backend in replayed.plan.backends
        },
    }
