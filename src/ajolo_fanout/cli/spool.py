"""`ajolo-fanout spool`: what waits on disk for its backends; to send it, or to give it up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import attrs
import click

from ajolo_fanout.cli import spool_view
from ajolo_fanout.cli.files import fail, file_argument, open_file, resolved, resolved_offline
from ajolo_fanout.cli.output import FINDINGS, Function, Mistake, Output, json_option
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.delivery.replaying import Replaying
from ajolo_fanout.delivery.spool import Listing, Spool, Survey, Tally, survey
from ajolo_fanout.plan.model import BackendPlan, Plan

__all__ = ["spool"]

_LOOK = 0.1
"""Seconds between two looks at how far it is."""


@click.group(
    epilog="""\b
Examples:
  ajolo-fanout spool list
  ajolo-fanout spool replay deploy/tracing.toml --backend tempo
  ajolo-fanout spool clear --backend old_tempo --yes

\b
Exit codes:
  0   done; nothing is left to be mended
  1   something can't be read, wasn't delivered, or is left
  2   the command line is wrong, or the file keeps no spool
  78  the file has errors, or can't be read
"""
)
def spool() -> None:
    """What batches wait on disk, in the folder of the file's `[spool]`."""


def _backend_option(function: Function) -> Function:
    return click.option(
        "--backend", "chosen", multiple=True, metavar="NAME", help="This backend alone; may be repeated."
    )(function)


@spool.command(
    "list",
    epilog="""\b
Examples:
  ajolo-fanout spool list
  ajolo-fanout spool list deploy/tracing.toml --json | jq '.spools[].waiting.spans'

\b
Exit codes:
  0   here it is
  1   a part of it can't be read
  2   the command line is wrong, or the file keeps no spool
  78  the file has errors, or can't be read
""",
)
@file_argument
@json_option
def list_(file: str | None, *, as_json: bool) -> None:
    """Show what waits for each program and backend: how much, since when, and who is sending it.

    Every program that shares the folder is listed, not FILE's alone. Nothing is changed.
    """
    settings = _settings(_offline(file, "spool"))
    found = _survey(settings)
    if as_json:
        click.echo(json.dumps(spool_view.survey_as_json(settings, found, time.time()), indent=2))
    else:
        spool_view.print_survey(settings, found, time.time())
    if any(one.fill.message for one in found.listings):
        raise click.exceptions.Exit(FINDINGS)


@spool.command(
    epilog="""\b
Examples:
  ajolo-fanout spool replay
  ajolo-fanout spool replay deploy/tracing.toml --backend tempo --backend langfuse

\b
Exit codes:
  0   everything was delivered
  1   something was refused, given up, or is left
  2   the command line is wrong, or the file keeps no spool
  78  the file has errors, or can't be read
"""
)
@file_argument
@_backend_option
@json_option
def replay(file: str | None, *, chosen: tuple[str, ...], as_json: bool) -> NoReturn:
    """Send what waits, now, as FILE says: its addresses, keys and limits as they are today.

    It may run beside the program: what one of them sends, the other leaves alone. What a refusal or a server's
    own delay had put off is tried, too. A backend that fails is left alone; what waits for it stays.
    """
    _, plan = resolved(open_file(file))
    settings = _settings(plan)
    _survey(settings)  # a folder that can't be used is told once, not by each backend
    backends = _chosen(plan, chosen)
    interrupted = False
    with Replaying(backends) as replaying:
        try:
            with _bars(replaying, quiet=as_json) as tell:
                while not replaying.over:
                    tell(replaying.sent)
                    time.sleep(_LOOK)
                tell(replaying.sent)
        except KeyboardInterrupt:
            interrupted = True
    results = replaying.results()
    others = _survey(settings).listings
    if as_json:
        click.echo(json.dumps(spool_view.results_as_json(results, interrupted=interrupted), indent=2))
    else:
        spool_view.print_results(results, others, interrupted=interrupted)
    raise click.exceptions.Exit(0 if not interrupted and all(one.well for one in results) else FINDINGS)


@contextmanager
def _bars(replaying: Replaying, *, quiet: bool) -> Iterator[Callable[[dict[str, int]], None]]:
    totals = {name: total for name, total in replaying.totals.items() if total}
    if quiet or not totals:
        yield lambda _: None
    else:
        with spool_view.progress(totals) as tell:
            yield tell


@spool.command(
    epilog="""\b
Examples:
  ajolo-fanout spool clear
  ajolo-fanout spool clear --backend old_tempo --yes
  ajolo-fanout spool clear --service my-old-agent

\b
Exit codes:
  0   it is gone, or there was nothing
  1   something couldn't be removed, or you said no
  2   the command line is wrong, or the file keeps no spool
  78  the file has errors, or can't be read
"""
)
@file_argument
@_backend_option
@click.option("--service", metavar="NAME", help="Of this service.name, and not FILE's own.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@json_option
def clear(
    file: str | None, *, chosen: tuple[str, ...], service: str | None, yes: bool, as_json: bool
) -> NoReturn:
    """Give up what waits on disk, for good, and give the space back.

    By default all that FILE's own service.name has there, for backends that FILE no longer has, too. What a
    process is sending at this moment stays its own.
    """
    plan = _offline(file, "spool", *(() if service else ("service", "resource")))
    settings = _settings(plan)
    found = _survey(settings)
    service = _service(plan) if service is None else service
    mine = [one for one in found.listings if one.service == service and not one.fill.message]
    _known(chosen, [one.backend for one in mine], f"the spool of {service}")
    mine = [one for one in mine if (not chosen or one.backend in chosen) and one.waiting]
    if mine and not yes:
        _ask(mine, service)
    gone = [_Cleared(one, *_clear(settings, one)) for one in mine]
    if as_json:
        click.echo(json.dumps([one.to_dict() for one in gone], indent=2))
    else:
        _print_cleared(gone, service)
    unreadable = [one for one in found.listings if one.fill.message]
    for one in unreadable:
        spool_view.warn(f"{one.path} can't be read, and was left alone: {one.fill.message}")
    failed = unreadable or any(one.message for one in gone)
    raise click.exceptions.Exit(FINDINGS if failed else 0)


@attrs.frozen
class _Cleared:
    listing: Listing
    tally: Tally
    message: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "service": self.listing.service,
            "backend": self.listing.backend,
            "cleared": attrs.asdict(self.tally),
            "error": self.message,
        }


def _clear(settings: SpoolSettings, listing: Listing) -> tuple[Tally, str]:
    one = Spool(settings, listing.service, listing.backend)
    try:
        return one.clear(beside_others=True)
    finally:
        one.close()


def _ask(listings: Sequence[Listing], service: str) -> None:
    spans = sum(one.waiting.spans for one in listings)
    names = ", ".join(one.backend for one in listings)
    try:
        sure = click.confirm(f"Give up {spans} spans of {service} for {names}, for good?", err=True)
    except click.Abort as error:  # nobody is there to answer
        raise Mistake("this gives spans up for good; say --yes where nobody can be asked") from error
    if not sure:
        raise click.exceptions.Exit(FINDINGS)


def _print_cleared(gone: Sequence[_Cleared], service: str) -> None:
    output = Output.here()
    if not gone:
        output.say(f"nothing of {service} waits there")
    for one in gone:
        if one.message:
            spool_view.warn(f"{one.listing.backend}: {one.message}")
        else:
            left = f"; {len(one.listing.holders)} processes are sending more" if one.listing.holders else ""
            output.say(f"{one.listing.backend}: {spool_view.tally(one.tally)} given up{left}")


# -- the file ----------------------------------------------------------------------------------------------


def _offline(file: str | None, *needed: str) -> Plan:
    """The plan of FILE, for which no key has to be there; what stands in the `needed` tables has to."""
    opened = open_file(file)
    found = resolved_offline(opened)
    # A placeholder for the folder would be another folder.
    absent = [one for one in found.placeholders if one.key.partition(".")[0] in needed]
    if absent:
        words = [(one, one.message.partition("; a placeholder")[0]) for one in absent]
        fail(opened, [attrs.evolve(one, severity="error", message=said) for one, said in words])
    return found.plan


def _settings(plan: Plan) -> SpoolSettings:
    if plan.spool is None:
        raise Mistake(f'{plan.file} keeps no spool; [spool] directory = "…" would name its folder')
    return plan.spool


def _survey(settings: SpoolSettings) -> Survey:
    found = survey(settings.directory)
    if found.message:
        spool_view.warn(found.message)
        raise click.exceptions.Exit(FINDINGS)
    return found


def _service(plan: Plan) -> str:
    names = {one.spool.service for one in plan.backends if one.spool is not None}
    return names.pop() if names else str(plan.resource.get("service.name", ""))


def _chosen(plan: Plan, chosen: Sequence[str]) -> list[BackendPlan]:
    able = {one.name: one for one in plan.backends if one.spool is not None}
    _known(chosen, list(able), f"the backends with a spool in {plan.file}")
    return [one for name, one in able.items() if not chosen or name in chosen]


def _known(chosen: Sequence[str], names: Sequence[str], where: str) -> None:
    unknown = [name for name in chosen if name not in names]
    if unknown:
        there = ", ".join(names) or "none"
        raise click.BadParameter(f"{unknown[0]!r} is not among {where}: {there}", param_hint="--backend")
