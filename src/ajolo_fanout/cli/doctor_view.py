"""How `doctor` looks: what is being asked now, then everything that was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ajolo_fanout.cli.output import Output, in_lines
from ajolo_fanout.doctor.findings import Check, Checkup, Diagnosis
from ajolo_fanout.doctor.verdicts import FINE, OFF, VERDICTS

if TYPE_CHECKING:
    from ajolo_fanout.doctor.checkup import Step

__all__ = ["progress", "report"]

_COLORS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}
_STATUS, _NAME = 9, 13
_INDENT = 2 + _STATUS + _NAME

Tell = Callable[["Step"], None]


@contextmanager
def progress(backends: Sequence[str], output: Output, *, silent: bool) -> Iterator[Tell]:
    """Shows what is being asked, while it is: redrawn lines on a terminal, else a line for each check.

    Gives the function that is to be told of each step. Lines go to standard error, redrawn ones are gone at
    the end.
    """
    if silent:
        yield lambda _: None
    elif output.terminal and output.color and not output.ascii:
        with _redrawn(backends) as tell:
            yield tell
    else:
        aside = Output.here(error=True)

        def tell_plainly(step: Step) -> None:
            if step.check is not None:
                aside.say(f"{step.backend}: {step.name}: {step.check.status}")

        yield tell_plainly


@contextmanager
def _redrawn(backends: Sequence[str]) -> Iterator[Tell]:
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    now: dict[str, Any] = {}
    spinners = {name: Spinner("dots") for name in backends}

    def table() -> Table:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for name in backends:
            diagnosis = now.get(name) if isinstance(now.get(name), Diagnosis) else None
            if diagnosis is None:
                grid.add_row(spinners[name], Text(name), Text(now.get(name, ""), style="bright_black"))
            else:
                style = "green" if diagnosis.fine else "red"
                mark = Text("✓" if diagnosis.fine else "✗", style=style)
                grid.add_row(mark, Text(name), Text(diagnosis.verdict, style=style))
        return grid

    with Live(get_renderable=table, refresh_per_second=8, transient=True) as live:

        def tell(step: Step) -> None:
            now[step.backend] = step.diagnosis or step.name
            live.refresh()

        yield tell


def report(found: Checkup, output: Output) -> None:
    """Print everything that was found."""
    output.say(output.style("around the backends", bold=True))
    for check in found.surroundings:
        _check(check, output, advice=True)
    for one in found.backends:
        output.say()
        _diagnosis(one, output)
    output.say()
    output.say(output.style(_summary(found), bold=True))


def _diagnosis(one: Diagnosis, output: Output) -> None:
    output.say(f"{output.style(one.backend, bold=True)}  {one.url}".rstrip())
    for check in one.checks:
        _check(check, output, advice=check.status == "warning")
    color = {FINE: "green", OFF: "bright_black"}.get(one.verdict, "red")
    said = {FINE: "", OFF: f": {one.said}"}.get(one.verdict, f": {VERDICTS.get(one.verdict)}")
    _sentence(f"{one.verdict}{said}", output, color)
    if one.next:
        _sentence(f"next: {one.next}", output, color)


def _check(check: Check, output: Output, *, advice: bool) -> None:
    status = output.style(f"{check.status:<{_STATUS}}", fg=_COLORS[check.status])
    first, *others = in_lines(check.said, output.width - _INDENT)
    output.say(f"  {status}{check.name:<{_NAME}}{first}")
    if advice and check.next:
        others += in_lines(f"→ {check.next}", output.width - _INDENT)
    for line in others:
        output.say(" " * _INDENT + line)


def _sentence(text: str, output: Output, color: str) -> None:
    first, *others = in_lines(text, output.width - 4)
    output.say("  " + output.style(first, fg=color, bold=True))
    for line in others:
        output.say("    " + output.style(line, fg=color, bold=True))


def _summary(found: Checkup) -> str:
    on = [one for one in found.backends if one.verdict != OFF]
    fine = sum(one.fine for one in on)
    wrong = ", ".join(f"{one.backend} ({one.verdict})" for one in on if not one.fine)
    off = f"; off: {', '.join(one.backend for one in found.backends if one.verdict == OFF)}"
    text = f"{found.file}: {fine} of {len(on)} backends fine" + (f"; not fine: {wrong}" if wrong else "")
    around = [check.name for check in found.surroundings if check.status == "failed"]
    text += f"; around them: {', '.join(around)}" if around else ""
    return text + (off if len(on) < len(found.backends) else "")
