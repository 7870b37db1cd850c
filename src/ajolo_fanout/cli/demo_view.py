"""How the demo looks: a bar for each backend while it runs, a table of what arrived, one span closely."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from ajolo_fanout.testing.verify import traced

if TYPE_CHECKING:
    from ajolo_fanout.cli.demo import Got, Run
    from ajolo_fanout.otlp.decode import DecodedSpan

__all__ = ["Display", "show"]

WIDE = 110
"""Columns from which on there is room for the values as they were traced."""

_PROBLEMS_SHOWN = 5
_LABEL = 30  # what a backend's note says is long, and would push the backends out of sight
_HEADING = 9  # characters of a backend's name on one line, so that five and an attribute fit into 80 columns

# Rich's own way to ASCII would put bars around everything: this is a line under the heads, as elsewhere.
_ASCII = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


@attrs.frozen
class Display:
    """Where the demo prints, and whether bars may move there.

    Attributes:
        console: Rich's, which leaves colours out where they don't belong.
        live: Whether it is a terminal that may be redrawn.
    """

    console: Console
    live: bool

    @classmethod
    def for_this_terminal(cls) -> Display:
        """Standard output as it is: a terminal or not, with colours or without, with all letters or few."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(
                errors="replace"
            )  # a city's name must not end the demo on an ASCII terminal
        console = Console(highlight=False)
        plain = os.environ.get("NO_COLOR") or console.is_dumb_terminal
        return cls(console, console.is_terminal and not plain)

    @contextmanager
    def progress(self, totals: Mapping[str, int]) -> Iterator[Callable[[Mapping[str, int]], None]]:
        """A bar for each backend; gives a function to be told how many spans each has.

        Args:
            totals: Spans that each backend is to get.
        """
        if not self.live:
            self.console.print(f"Sending to {', '.join(totals)} ...", soft_wrap=True)
            yield lambda _: None
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("spans"),
        )
        with RichProgress(*columns, console=self.console, transient=True) as bars:
            tasks = {name: bars.add_task(name, total=total) for name, total in totals.items()}

            def tell(counts: Mapping[str, int]) -> None:
                for name, count in counts.items():
                    bars.update(tasks[name], completed=count)

            yield tell


def show(run: Run, problems: Mapping[str, Sequence[str]], console: Console) -> None:
    """Print everything: the head line, both tables, the verdict."""
    traces = len({span.trace_id for span in map(traced, run.spans)})
    backends = len(run.got)
    console.print()
    console.print(
        f"[bold]{len(run.spans)} recorded spans of {traces} agent traces[/], for {backends} backends:"
    )
    _indented(_arrivals(run, problems, console), console)
    _reasons(run, console)
    sample = _sample(run)
    if sample is not None:
        console.print(f"[bold]One of them[/], {sample.name}, as each backend saw its attributes:")
        _indented(_side_by_side(run, sample, console), console)
    _verdict(run, problems, console)


def _indented(table: Table, console: Console) -> None:
    console.print()
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print()


def _table(console: Console) -> Table:
    style = _ASCII if console.options.ascii_only else box.SIMPLE_HEAD
    return Table(box=style, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _arrivals(run: Run, problems: Mapping[str, Sequence[str]], console: Console) -> Table:
    table = _table(console)
    table.add_column("Backend", style="bold cyan", no_wrap=True)
    if console.width >= WIDE:
        table.add_column("It is", no_wrap=True)
        table.add_column("Sent by", no_wrap=True)
    for heading in ("Spans", "Traces", "Sampled out", "Redacted", "Bytes"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("As told", no_wrap=True)
    for got in run.got:
        cells = [got.backend.name]
        if console.width >= WIDE:
            cells += [got.backend.target.profile.title, _way(got)]
        wrong = len(problems[got.backend.name])
        table.add_row(
            *cells,
            f"{len(got.arrived):,}",
            f"{len({span.trace_id for span in got.arrived}):,}",
            _zero_is_dim(got.expected.sampled_out),
            _zero_is_dim(got.expected.redacted),
            f"{got.bytes:,}",
            Text(f"no ({wrong})", style="bold red") if wrong else Text("yes", style="green"),
        )
    return table


def _reasons(run: Run, console: Console) -> None:
    """Why values were redacted, where any were."""
    told = [
        f"{got.backend.name} {', '.join(f'{n:,} {reason}' for reason, n in counts)}"
        for got in run.got
        if (counts := sorted(got.expected.redacted_by.items(), key=lambda pair: (-pair[1], pair[0])))
    ]
    if told:
        console.print(Text(f"Redacted, by reason: {'; '.join(told)}."))
        console.print()


def _way(got: Got) -> str:
    protocol = "gRPC" if got.backend.target.protocol == "grpc" else "HTTP"
    compression = got.backend.settings.compression
    return protocol if compression == "none" else f"{protocol}, {compression}"


def _zero_is_dim(number: int) -> Text:
    return Text(f"{number:,}", style="" if number else "dim")


def _sample(run: Run) -> DecodedSpan | None:
    """The span with prompt and completion that most backends got, as it was traced."""
    chats = [span for span in map(traced, run.spans) if "gen_ai.completion" in span.attributes]
    keys = [got.expected.spans.keys() for got in run.got]
    return max(
        chats, key=lambda span: sum((span.trace_id, span.span_id) in one for one in keys), default=None
    )


def _side_by_side(run: Run, sample: DecodedSpan, console: Console) -> Table:
    """A row an attribute, a column a backend; of the resource only what some backend has otherwise."""
    wide = console.width >= WIDE
    table = _table(console)
    table.expand = wide
    table.add_column("Attribute", no_wrap=True, overflow="ellipsis")
    if wide:
        table.add_column("As traced", no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
    seen: list[DecodedSpan | None] = []
    for got in run.got:
        heading = _heading(got.backend.name)
        width = max(map(len, heading.splitlines()))
        table.add_column(heading, header_style="bold cyan", no_wrap=True, min_width=width)
        key = (sample.trace_id, sample.span_id)
        seen.append(next((span for span in got.arrived if (span.trace_id, span.span_id) == key), None))
    for part in ("attributes", "resource"):
        before: Mapping[str, Any] = getattr(sample, part)
        after = [None if span is None else getattr(span, part) for span in seen]
        for name in _names(before, after):
            if part == "resource" and all(one is None or one.get(name) == before.get(name) for one in after):
                continue
            value = [_short(before[name]) if name in before else ""] if wide else []
            table.add_row(_label(name, before, after), *value, *(_cell(name, before, one) for one in after))
    return table


def _heading(name: str) -> str:
    """A name over two lines where it is long, at an underscore or a hyphen if it has one."""
    if len(name) <= _HEADING:
        return name
    at = max(name.rfind("_", 0, _HEADING), name.rfind("-", 0, _HEADING)) + 1 or _HEADING
    return f"{name[:at]}\n{name[at:]}"


def _names(before: Mapping[str, Any], after: Sequence[Mapping[str, Any] | None]) -> list[str]:
    added = [name for one in after if one is not None for name in one if name not in before]
    return list(dict.fromkeys([*before, *added]))


def _label(name: str, before: Mapping[str, Any], after: Sequence[Mapping[str, Any] | None]) -> Text:
    """The attribute's name; of one that a backend's pipeline added, its value as well."""
    if name in before:
        return Text(name)
    value = next(one[name] for one in after if one is not None and name in one)
    label = f"{name} = {_short(value)}"
    return Text(label if len(label) <= _LABEL else f"{label[: _LABEL - 3]}...", style="green")


def _cell(name: str, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> Text:
    if after is None:
        return Text("no span", style="dim")
    if name not in after:
        return Text("gone" if name in before else "", style="bold red")
    if name not in before:
        return Text("added", style="bold green")
    return Text("sent", style="dim") if before[name] == after[name] else Text("changed", style="bold yellow")


def _short(value: object) -> str:
    return " ".join(str(value).split())[:200]


def _verdict(run: Run, problems: Mapping[str, Sequence[str]], console: Console) -> None:
    wrong = {name: found for name, found in problems.items() if found}
    for name, found in wrong.items():
        console.print(f"[bold red]{name} did not get what the file says:[/]")
        for sentence in found[:_PROBLEMS_SHOWN]:
            console.print(Padding(Text(sentence), (0, 0, 0, 2), expand=False))
        if len(found) > _PROBLEMS_SHOWN:
            console.print(f"  and {len(found) - _PROBLEMS_SHOWN} more")
    if not wrong:
        console.print(
            f"[bold green]Every backend got exactly what the file says[/], in {run.seconds:.1f} s. The file:"
        )
        console.print(Text(str(run.file)), soft_wrap=True)
