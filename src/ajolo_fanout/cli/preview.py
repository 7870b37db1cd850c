"""`ajolo-fanout preview`: recorded spans through the plan, as trees or as one page."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from ajolo_fanout.cli.files import file_argument, open_file, planned
from ajolo_fanout.cli.output import Mistake, Output, json_option
from ajolo_fanout.cli.preview_view import show
from ajolo_fanout.cli.spans import recording, spans_option
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.replay.model import Replay
from ajolo_fanout.replay.plain import plain_outcome
from ajolo_fanout.replay.recording import Recording
from ajolo_fanout.replay.replay import replay
from ajolo_fanout.replay.traces import name_of
from ajolo_fanout.wording import escaped

__all__ = ["preview"]


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout preview
  ajolo-fanout preview deploy/tracing.toml --backend datadog
  ajolo-fanout preview --spans spans.jsonl --html preview.html

\b
Exit codes:
  0   here it is
  2   the command line is wrong, there is no such backend, or the spans can't be read
  78  the file has errors, or can't be read
"""
)
@file_argument
@spans_option
@click.option("--backend", "names", multiple=True, metavar="NAME", help="Only this backend; may come again.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="Write one self-contained page instead: the traces, and what each backend gets of them, side by side.",
)
@json_option
def preview(
    file: str | None, *, spans: Path | None, names: tuple[str, ...], page: Path | None, as_json: bool
) -> None:
    """Show recorded spans as each backend of FILE would get them: sent, left out, changed, redacted.

    Nothing is sent. What a backend's redaction takes out is not shown for it; a page holds no more of a span
    than what the backends in it get. Where something that the file needs is unset here, placeholders stand in,
    and a warning on standard error says which. Without FILE it is the one that $AJOLO_FANOUT_CONFIG names, else
    ./tracing.toml.
    """
    if page is not None and as_json:
        raise click.UsageError("--html and --json are two ways to print; take one.")
    plan = planned(open_file(file)).plan
    recorded = recording(spans)
    replayed = _chosen(replay(plan, recorded.spans), names)
    output = Output.here()
    if page is not None:
        _write(page, replayed, recorded)
        output.say(f"{page}: {len(recorded.spans)} spans at {', '.join(replayed.outcomes) or 'no backend'}")
    elif as_json:
        click.echo(json.dumps(_plain(replayed, recorded), indent=2))
    else:
        show(replayed, recorded, output)


def _chosen(replayed: Replay, names: Sequence[str]) -> Replay:
    """The same with some backends only: all were in it, for they decide together what is recorded."""
    for name in names:
        if name not in replayed.outcomes:
            raise Mistake(_no_backend(name, replayed.plan))
    if not names:
        return replayed
    outcomes = {name: each for name, each in replayed.outcomes.items() if name in names}
    return attrs.evolve(replayed, outcomes=outcomes)


def _no_backend(name: str, plan: Plan) -> str:
    off = {one.name: one.why for one in plan.off}
    if name in off:
        return f"the backend {name} is off: {off[name]}"
    known = [backend.name for backend in plan.backends]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(known)}"
    return f"no backend {escaped(name)}; {hint}"


def _write(page: Path, replayed: Replay, recorded: Recording) -> None:
    try:
        from ajolo_fanout.replay.page import render
    except ModuleNotFoundError as error:
        if error.name != "jinja2":
            raise
        raise Mistake("--html needs Jinja2: pip install 'ajolo-fanout[html]'") from error
    text = render(replayed, recorded)
    try:
        page.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise Mistake(f"{page} can't be written: {error.strerror or type(error).__name__}") from error


def _plain(replayed: Replay, recorded: Recording) -> Mapping[str, Any]:
    outcomes = replayed.outcomes
    return {
        "file": replayed.plan.file,
        "spans": [
            {
                "name": name_of(span, [each[index] for each in outcomes.values()]),
                "span_id": f"{span.context.span_id:016x}",
                "trace_id": f"{span.context.trace_id:032x}",
                "trace": recorded.labels.get(span.context.trace_id),
                "backends": {name: plain_outcome(each[index]) for name, each in outcomes.items()},
            }
            for index, span in enumerate(replayed.spans)
        ],
    }
