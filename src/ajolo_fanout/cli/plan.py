"""`ajolo-fanout plan`: what goes where."""

from __future__ import annotations

import json
import re

import click

from ajolo_fanout.cli.files import file_argument, open_file, planned
from ajolo_fanout.cli.output import Output, in_lines

__all__ = ["plan", "wrapped"]

_ROW = re.compile(r"[│ ] +(?:\S+ {2,})?")
_BRANCH = re.compile(r"[├└]─ ")


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout plan
  ajolo-fanout plan --origins deploy/tracing.toml
  ajolo-fanout plan --graph > plan.mmd

\b
Exit codes:
  0   here it is
  2   the command line is wrong
  78  the file has errors, or can't be read
"""
)
@file_argument
@click.option("--origins", is_flag=True, help="Show every value, and where it came from.")
@click.option("--graph", "graphic", is_flag=True, help="Print a Mermaid flowchart instead of a tree.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, origins included.")
def plan(file: str | None, *, origins: bool, graphic: bool, as_json: bool) -> None:
    """Show what FILE sends where: a tree with a branch for each backend, secrets masked.

    Where something that the file needs is unset here, placeholders stand in, and a warning on standard error
    says which. Without FILE it is the one that $AJOLO_FANOUT_CONFIG names, else ./tracing.toml.
    """
    if origins + graphic + as_json > 1:
        raise click.UsageError("--origins, --graph and --json are three ways to print; take one.")
    made = planned(open_file(file)).plan
    output = Output.here()
    if as_json:
        click.echo(json.dumps(made.to_dict(), indent=2))
    elif graphic:
        from ajolo_fanout.plan.graph import graph

        click.echo(graph(made))
    else:
        from ajolo_fanout.plan.render import render

        tree = render(made, origins=origins)
        for line in wrapped(tree, output.width).splitlines() if output.terminal else tree.splitlines():
            output.say(output.style(line, bold=True) if _BRANCH.match(line) else line)


def wrapped(tree: str, width: int) -> str:
    """A plan's tree with long rows over several lines, each under the row's first word."""
    lines = []
    for line in tree.splitlines():
        row = _ROW.match(line)
        if len(line) <= width or row is None or len(row[0]) > width // 2:
            lines.append(line)
            continue
        under = row[0][0] + " " * (len(row[0]) - 1)
        parts = in_lines(line[len(row[0]) :], width - len(under))
        lines += [row[0] + parts[0], *(under + part for part in parts[1:])]
    return "\n".join(lines)
