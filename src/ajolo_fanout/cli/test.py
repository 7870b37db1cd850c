"""`ajolo-fanout test`: the `[[tests]]` of a file, offline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
import click

from ajolo_fanout.cli.files import Opened, Planned, fail, file_argument, open_file, planned
from ajolo_fanout.cli.output import FINDINGS, Output, json_option
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.replay.infile import Difference, Judged, run_test
from ajolo_fanout.wording import escaped

__all__ = ["test"]


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout test
  ajolo-fanout test deploy/tracing.toml
  ajolo-fanout test --json

\b
Exit codes:
  0   every test passed, or there is none
  1   a test failed
  2   the command line is wrong
  78  the file has errors, or can't be read, or the spans_file of a test can't
"""
)
@file_argument
@json_option
def test(file: str | None, *, as_json: bool) -> None:
    """Run the [[tests]] of FILE: spans in, and what each backend would get held to what is expected.

    Nothing is sent. Where something that the file needs is unset here, placeholders stand in, and a warning on
    standard error says which. Without FILE it is the one that $AJOLO_FANOUT_CONFIG names, else ./tracing.toml.
    """
    opened = open_file(file)
    found = planned(opened)
    tested = _run(opened, found)
    if as_json:
        click.echo(json.dumps(_plain(opened.name, tested, found), indent=2))
    else:
        _print(opened.name, tested, Output.here())
    if not all(one.passed for one in tested):
        raise click.exceptions.Exit(FINDINGS)


def _run(opened: Opened, found: Planned) -> list[Judged]:
    tested: list[Judged] = []
    problems: list[Problem] = []
    for number in range(len(found.plan.tests)):
        try:
            tested.append(run_test(found.plan, found.document, number))
        except ConfigError as error:
            problems += error.problems
    if problems:
        fail(opened, problems)
    return tested


def _print(file: str, tested: Sequence[Judged], output: Output) -> None:
    for one in tested:
        if one.passed:
            output.say(f"{output.style('ok', fg='green')}    {escaped(one.name)}")
            continue
        output.say(
            f"{output.style('FAIL', fg='red', bold=True)}  {output.style(escaped(one.name), bold=True)}"
        )
        for difference in one.differences:
            _explain(difference, output)
    failed = sum(not one.passed for one in tested)
    if tested:
        output.say()
    count = f"{len(tested)} test{'' if len(tested) == 1 else 's'}"
    if failed:
        output.say(output.style(f"{file}: {failed} of {count} failed", fg="red", bold=True))
    elif tested:
        output.say(output.style(f"{file}: {count} passed", fg="green", bold=True))
    else:
        output.say(f"{file} has no [[tests]]")


def _explain(difference: Difference, output: Output) -> None:
    place = difference.place
    where = ":".join(str(part) for part in (place.file, place.line, place.column) if part)
    output.say(f"  {output.style('-->', fg='blue')} {where}  {place.key}")
    who = f"{difference.backend}, {escaped(difference.span)}" if difference.span else difference.backend
    output.say(f"      {who}")
    output.say(f"      expected {output.style(difference.expected, fg='green')}")
    output.say(f"      got      {output.style(difference.got, fg='red')}")


def _plain(name: str, tested: Sequence[Judged], found: Planned) -> dict[str, Any]:
    return {
        "file": name,
        "passed": sum(one.passed for one in tested),
        "failed": sum(not one.passed for one in tested),
        "tests": [
            {
                "name": one.name,
                "line": one.place.line,
                "passed": one.passed,
                "differences": [
                    {
                        **attrs.asdict(difference.place),
                        "backend": difference.backend,
                        "span": difference.span,
                        "expected": difference.expected,
                        "got": difference.got,
                    }
                    for difference in one.differences
                ],
            }
            for one in tested
        ],
        "placeholders": [attrs.asdict(problem) for problem in found.placeholders],
    }
