"""The spans that a command is about: those of a file, or the recorded agents."""

from __future__ import annotations

from pathlib import Path

import click

from ajolo_fanout.cli.output import Function, Mistake
from ajolo_fanout.replay.recording import Recording, SpansError, load_spans, recorded_agents

__all__ = ["recording", "spans_option"]


def spans_option(function: Function) -> Function:
    """The option `--spans FILE`."""
    return click.option(
        "--spans",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Spans of your own: OTLP JSON, as a file backend or a Collector's file exporter writes it. "
        "Without it, recorded traces of Ajolopy agents.",
    )(function)


def recording(path: Path | None) -> Recording:
    """What `--spans` leads to.

    Raises:
        Mistake: the file can't be used.
    """
    if path is None:
        return recorded_agents()
    try:
        return load_spans(path)
    except SpansError as error:
        raise Mistake(str(error)) from error
