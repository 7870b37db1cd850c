"""`ajolo-fanout check`: everything that is wrong with a file or worth a word, offline."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import click

from ajolo_fanout.cli.diagnostics import count_of, diagnostics, github, summary
from ajolo_fanout.cli.files import Opened, file_argument, open_file
from ajolo_fanout.cli.output import CONFIG, FINDINGS, Output
from ajolo_fanout.plan.advice import Examination, Surroundings, examine

__all__ = ["check"]


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout check
  ajolo-fanout check --strict --allow-unset deploy/tracing.toml
  ajolo-fanout check --format github
  ajolo-fanout check --spans spans.jsonl

\b
Exit codes:
  0   the file is right; there may be warnings
  1   there are warnings, and --strict was given
  2   the command line is wrong
  78  the file has errors, or can't be read
"""
)
@file_argument
@click.option("--strict", is_flag=True, help="Exit 1 where there are warnings.")
@click.option(
    "--allow-unset",
    is_flag=True,
    help="Let placeholders stand for unset variables and missing secret files, as in CI.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github", "json"]),
    default="text",
    show_default=True,
    help="How to print: for people, as annotations of a pull request, or as JSON.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option(
    "--spans",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Try rules on these spans (OTLP JSON, as a file backend writes it) instead of the recorded ones.",
)
def check(file: str | None, *, strict: bool, allow_unset: bool, form: str, spans: Path | None) -> None:
    """Say everything that is wrong with FILE, and what is likely not meant.

    All errors and warnings at once, each with its place and its line. Nothing is sent, and nothing is asked
    of a network. Without FILE it is the one that $AJOLO_FANOUT_CONFIG names, else ./tracing.toml.
    """
    opened = open_file(file)
    surroundings = Surroundings(
        environ=os.environ,
        ddtrace=importlib.util.find_spec("ddtrace") is not None,
        spans=_recorded(spans),
        recording="recorded Ajolopy spans" if spans is None else f"spans in {spans}",
        allow_unset=allow_unset,
    )
    found = Examination(opened.problems, None)
    if opened.document is not None:
        found = examine(opened.document, surroundings)
    found = attrs.evolve(found, problems=opened.placed(found.problems))
    _PRINTERS[form](opened, found, Output.here())
    if found.errors:
        raise click.exceptions.Exit(CONFIG)
    if strict and found.warnings:
        raise click.exceptions.Exit(FINDINGS)


def _recorded(path: Path | None) -> Callable[[], Iterable[Any]]:
    """The spans that rules are tried on; those that come with the package are read when a rule asks for them."""
    if path is not None:
        from ajolo_fanout.cli.spans import recording

        given = recording(path).spans
        return lambda: given

    def read() -> Iterable[Any]:
        from ajolo_fanout.replay.recorded import recorded_runs, recorded_spans

        # Run by run: most rules are told apart by the first, and reading is what costs.
        return (span for run in recorded_runs() for span in recorded_spans(run))

    return read


def _text(opened: Opened, found: Examination, output: Output) -> None:
    if found.problems:
        output.say(diagnostics(found.problems, opened.show, output))
        output.say()
    if found.plan is None:
        output.say(output.style(summary(opened.name, found.problems), bold=True))
        return
    on, off = len(found.plan.backends), len(found.plan.off)
    backends = f"{on} backend{'' if on == 1 else 's'}" + (f", {off} off" if off else "")
    warnings = count_of(found.problems, "warning")
    head = output.style(f"{opened.name} is right", fg="green", bold=True)
    output.say(f"{head}: {backends}" + (f"; {warnings}" if warnings else ""))
    if found.placeholders:
        count = len(found.placeholders)
        places = "1 place" if count == 1 else f"{count} places"
        output.say(f"Placeholders stand in {places} for what is unset here.")


def _github(opened: Opened, found: Examination, output: Output) -> None:
    for problem in found.problems:
        output.say(github(problem))
    if found.problems:
        output.say(summary(opened.name, found.problems))


def _json(opened: Opened, found: Examination, _: Output) -> None:
    whole = {
        "file": opened.name,
        "errors": len(found.errors),
        "warnings": len(found.warnings),
        "problems": [attrs.asdict(problem) for problem in found.problems],
        "placeholders": [attrs.asdict(problem) for problem in found.placeholders],
    }
    click.echo(json.dumps(whole, indent=2))


_PRINTERS = {"text": _text, "github": _github, "json": _json}
