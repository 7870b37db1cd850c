"""How `ajolo-fanout spool` prints: tables of what waits and of what was sent, a bar for each backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from ajolo_fanout.cli.output import Output, table_for
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.delivery.replaying import Replayed
from ajolo_fanout.delivery.spool import Holder, Listing, Survey, Tally

__all__ = [
    "print_results",
    "print_survey",
    "progress",
    "results_as_json",
    "survey_as_json",
    "tally",
    "warn",
]

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_AGES = ((86400, "d"), (3600, "h"), (60, "min"))


def print_survey(settings: SpoolSettings, found: Survey, now: float) -> None:
    """The folder, a line for each (service, backend), and what was ever given up there."""
    output = Output.here()
    output.say(f"{settings.directory}, at most {settings.max_bytes} for each backend")
    rows = [_row(one, now) for one in found.listings if not one.fill.message]
    if rows:
        output.say()
        _table(("service", "backend", "batches", "spans", "size", "oldest", "being sent by"), rows)
    else:
        output.say("nothing waits there")
    for one in found.listings:
        if one.fill.lost:
            lost = ", ".join(f"{number.spans} ({reason})" for reason, number in one.fill.lost.items())
            output.say(f"{one.service}, {one.backend}: spans given up there so far: {lost}")
        if one.fill.message:
            warn(f"{one.path} can't be read: {one.fill.message}")
    for name in found.damaged:
        warn(f"damaged, and set aside: {name}")


def _row(one: Listing, now: float) -> tuple[str, ...]:
    held = one.fill.held
    return (
        one.service,
        one.backend,
        str(held.batches),
        str(held.spans),
        size(held.bytes),
        "" if one.fill.oldest is None else age(now - one.fill.oldest),
        ", ".join(map(_holder, one.holders)),
    )


def _holder(one: Holder) -> str:
    who = f"process {one.pid}" if one.pid is not None else "a process here" if one.here else "another machine"
    return f"{who} ({one.held.batches})"


def survey_as_json(settings: SpoolSettings, found: Survey, now: float) -> dict[str, Any]:
    """The same for scripts: sizes in bytes, ages in seconds."""
    return {
        "directory": str(settings.directory),
        "max_bytes": int(settings.max_bytes),
        "spools": [_listing_as_json(one, now) for one in found.listings],
        "damaged": list(found.damaged),
    }


def _listing_as_json(one: Listing, now: float) -> dict[str, Any]:
    oldest = one.fill.oldest
    return {
        "service": one.service,
        "backend": one.backend,
        "path": str(one.path),
        "held": attrs.asdict(one.fill.held),
        "waiting": attrs.asdict(one.waiting),
        "oldest_age": None if oldest is None else max(0.0, now - oldest),
        "holders": [attrs.asdict(holder) for holder in one.holders],
        "processes": one.processes,
        "given_up": {reason: attrs.asdict(lost) for reason, lost in one.fill.lost.items()},
        "error": one.fill.message,
    }


def print_results(results: Sequence[Replayed], listings: Sequence[Listing], *, interrupted: bool) -> None:
    """What became of each spool that was sent, and why something is left."""
    output = Output.here()
    if not results:
        output.say("no backend of the file uses the spool")
        return
    rows = [
        (
            one.backend,
            str(one.spans),
            ", ".join(f"{lost.spans} ({reason})" for reason, lost in one.given_up.items()),
            str(one.left.held.spans),
        )
        for one in results
    ]
    _table(("backend", "delivered", "given up", "left"), rows)
    holders = {one.backend: one.holders for one in listings}
    for one in results:
        if one.error and not one.well:
            warn(f"{one.backend}: {one.error}")
        elif one.left.held and (who := holders.get(one.backend)):
            warn(f"{one.backend}: what is left is being sent by {', '.join(map(_holder, who))}")
    if interrupted:
        warn("interrupted; what is left stays in the spool")


def results_as_json(results: Sequence[Replayed], *, interrupted: bool) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "interrupted": interrupted,
        "backends": [
            {
                "backend": one.backend,
                "delivered": one.spans,
                "given_up": {reason: lost.spans for reason, lost in one.given_up.items()},
                "left": one.left.held.spans,
                "error": one.error,
            }
            for one in results
        ],
    }


@contextmanager
def progress(totals: Mapping[str, int]) -> Iterator[Callable[[Mapping[str, int]], None]]:
    """A bar for each backend, on standard error; gives a function to be told how many spans each has got.

    Args:
        totals: Spans that are to be sent, by backend.
    """
    output = Output.here(error=True)
    if not output.color:  # no terminal, or one that isn't to be redrawn
        output.say(", ".join(f"{name}: {total} spans to be sent" for name, total in totals.items()))
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("spans"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.console(), transient=True) as bars:
        tasks = {name: bars.add_task(name, total=total) for name, total in totals.items()}

        def tell(counts: Mapping[str, int]) -> None:
            for name, count in counts.items():
                if name in tasks:
                    bars.update(tasks[name], completed=count)

        yield tell


def warn(message: str) -> None:
    """One line on standard error."""
    output = Output.here(error=True)
    output.say(f"{output.style('warning', fg='yellow', bold=True)}: {message}")


def tally(one: Tally) -> str:
    """A number of batches in words."""
    return f"{one.spans} spans in {one.batches} batches ({size(one.bytes)})"


def size(number: int) -> str:
    """Bytes as a person reads them: `1.5 MiB`."""
    for unit, name in _UNITS:
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} B"


def age(seconds: float) -> str:
    """A time as a person reads it: `3 h`."""
    for unit, name in _AGES:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.text import Text

    console = Output.here().console()
    table = table_for(console)
    for head in heads:
        numeric = head in ("batches", "spans", "size", "oldest", "delivered", "left")
        table.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
