"""`ajolo-fanout doctor`: ask each backend, from its name to a span that arrived."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from ajolo_fanout.cli.doctor_view import progress, report
from ajolo_fanout.cli.files import file_argument, open_file, resolved
from ajolo_fanout.cli.output import FINDINGS, Output, json_option
from ajolo_fanout.config.faults import near
from ajolo_fanout.doctor.checkup import checkup
from ajolo_fanout.doctor.surroundings import look_around
from ajolo_fanout.doctor.verdicts import OFF
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.values import Duration

__all__ = ["doctor"]


def _seconds(_: click.Context, __: click.Parameter, text: str) -> float:
    try:
        found = float(Duration.parse(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if found <= 0:
        raise click.BadParameter("must be more than nothing")
    return found


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout doctor
  ajolo-fanout doctor --backend datadog --find-site
  ajolo-fanout doctor --json deploy/tracing.toml | jq '.backends[] | {backend, verdict, next}'

\b
Exit codes:
  0    spans arrive at every backend that is on
  1    a verdict that isn't fine, or a backend asked for by name that is off
  2    the command line is wrong
  78   the file has errors, or can't be read
  130  stopped by Ctrl-C
"""
)
@file_argument
@click.option(
    "--backend",
    "names",
    multiple=True,
    metavar="NAME",
    help="A backend to ask, by its name in the file; give it once for each. All are asked without it.",
)
@click.option(
    "--find-site",
    is_flag=True,
    help="Try a key that is refused at the vendor's other sites or regions. They get to see it.",
)
@json_option
@click.option(
    "--timeout",
    "seconds",
    default="20s",
    show_default=True,
    metavar="DURATION",
    callback=_seconds,
    help="How long all of it may take.",
)
def doctor(file: str | None, *, names: Sequence[str], find_site: bool, as_json: bool, seconds: float) -> None:
    """Find out why nothing arrives: ask each backend of FILE, and send it a marked span.

    Name, connection, TLS, clock, the vendor's own check of the key, then a span called "ajolo-fanout doctor"
    through the program's own pipeline and sender, to a Datadog backend by both its intakes. No other span
    is sent. Run it where the program runs, with its environment.
    """
    document, plan = resolved(open_file(file))
    _check_names(names, plan)
    output = Output.here()
    with _quietly(), progress([one.name for one in plan.backends], output, silent=as_json) as tell:
        found = checkup(
            plan,
            only=names,
            find_site=find_site,
            seconds=seconds,
            surroundings=look_around(plan, document, os.environ),
            tell=tell,
        )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        report(found, output)
    asked_and_off = any(one.verdict == OFF for one in found.backends if one.backend in names)
    if not found.fine or asked_and_off:
        raise click.exceptions.Exit(FINDINGS)


def _check_names(names: Sequence[str], plan: Plan) -> None:
    known = [*(one.name for one in plan.backends), *(off.name for off in plan.off)]
    for name in names:
        if name not in known:
            hint = near(name, known) or f"; there are {', '.join(known)}"
            raise click.BadParameter(f"the file has no backend {name!r}{hint}", param_hint="--backend")


@contextmanager
def _quietly() -> Iterator[None]:
    """No log line between the findings: all of it is among them. gRPC's core writes to standard error itself."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    root, nobody = logging.getLogger(), logging.NullHandler()
    root.addHandler(nobody)
    try:
        yield
    finally:
        root.removeHandler(nobody)
