"""`ajolo-fanout init`: a commented file to start from."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ajolo_fanout.cli.backends import complete_type
from ajolo_fanout.cli.output import Mistake, Output
from ajolo_fanout.config.find import DEFAULT_NAME
from ajolo_fanout.plan.declarative import Carried, carry
from ajolo_fanout.plan.starter import SCHEMA_FILE, starter
from ajolo_fanout.profiles import catalog

__all__ = ["init"]


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout init
  ajolo-fanout init --backend datadog --backend langfuse
  ajolo-fanout init --from otel-config.yaml deploy/tracing.toml

\b
Exit codes:
  0  the file is written
  2  the command line is wrong, or the file is there already
"""
)
@click.argument("file", default=DEFAULT_NAME, type=click.Path(path_type=Path), metavar="[FILE]")
@click.option(
    "--backend",
    "types",
    multiple=True,
    metavar="TYPE",
    shell_complete=complete_type,
    help="A kind of backend to start with; give it once for each. `backends list` shows them.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Start from an OpenTelemetry declarative configuration (the YAML of OTEL_CONFIG_FILE).",
)
@click.option("--force", is_flag=True, help="Overwrite FILE where it is there already.")
def init(file: Path, *, types: tuple[str, ...], source: Path | None, force: bool) -> None:
    """Write a commented tracing.toml to start from, and list the variables that it needs.

    FILE is ./tracing.toml where none is named. In a terminal it asks for what isn't said. The JSON Schema for
    editors is written beside it, where there is none yet.
    """
    if file.exists() and not force:
        raise Mistake(f"{file} is there already; name another FILE, or overwrite it with --force")
    carried = Carried() if source is None else _read(source)
    service = _default_service(file)
    if not types and not carried.backends:
        if source is None and not _asks():
            raise click.UsageError("Name what to start with: --backend TYPE, as often as you like.")
        types = _ask_types() if _asks() else ("console",)
        service = click.prompt("What is your program called?", default=service) if _asks() else service
    made = starter(_known(types), service, carried)
    _write(file, made.text, force=force)
    output = Output.here()
    output.say(f"{output.style(str(file), bold=True)} is written.")
    if _write_schema(file.parent / SCHEMA_FILE):
        output.say(f"{file.parent / SCHEMA_FILE} is written, for editors.")
    _list(output, "Not carried over:", carried.left)
    _list(output, "Set before it is used:", [f"export {name}=…" for name in made.variables])
    output.say()
    output.say(f"Next: ajolo-fanout check {file}")


def _list(output: Output, head: str, entries: Sequence[str]) -> None:
    if entries:
        output.say()
        output.say(head)
        for entry in entries:
            output.say(f"  {entry}")


def _asks() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask_types() -> tuple[str, ...]:
    for name in catalog.names():
        click.echo(f"  {name:<15}{catalog.load(name).summary}")
    answer: str = click.prompt(
        "Which of these, with commas between them?", default="console", value_proc=_listed
    )
    return tuple(part for part in re.split(r"[,\s]+", answer) if part)


def _listed(answer: str) -> str:
    _known([part for part in re.split(r"[,\s]+", answer) if part])
    return answer


def _known(types: Sequence[str]) -> Sequence[str]:
    """`types` as they are, if there is a profile for each."""
    from ajolo_fanout.config.faults import near

    for one in types:
        if one not in catalog.names():
            hint = near(one, catalog.names()) or f"; there are {', '.join(catalog.names())}"
            raise click.BadParameter(f"there is no type of that name{hint}", param_hint="--backend")
    return types


def _default_service(file: Path) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", file.absolute().parent.name.lower()).strip("-")
    return name or "my-agent"


def _read(source: Path) -> Carried:
    """What of a declarative configuration can be carried over."""
    try:
        yaml: Any = importlib.import_module("yaml")
    except ModuleNotFoundError as error:
        raise Mistake("--from reads YAML, which needs: pip install 'ajolo-fanout[yaml]'") from error
    trouble = ""
    try:
        return carry(yaml.safe_load(source.read_text(encoding="utf-8-sig")))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        trouble = "this is not YAML" + (f", at line {mark.line + 1}" if mark is not None else "")
    except (OSError, UnicodeDecodeError) as error:
        trouble = getattr(error, "strerror", None) or "this is not UTF-8"
    except RecursionError:
        trouble = "this is nested too deeply"
    except ValueError as error:
        trouble = str(error)
    raise Mistake(f"{source}: {trouble}")


def _write(file: Path, text: str, *, force: bool) -> None:
    trouble = ""
    try:
        with file.open("w" if force else "x", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
    except FileExistsError:  # it came into being just now
        trouble = "is there already"
    except OSError as error:
        trouble = f"can't be written: {error.strerror or type(error).__name__}"
    if trouble:
        raise Mistake(f"{file} {trouble}")


def _write_schema(file: Path) -> bool:
    from ajolo_fanout.reference.schema import schema

    if file.exists():
        return False
    _write(file, schema(), force=False)
    return True
