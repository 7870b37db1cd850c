"""The command line: a group that loads a command's module when that command is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NoReturn

import attrs
import click

from ajolo_fanout.cli.output import CONFIG, USAGE, lenient, printing
from ajolo_fanout.errors import ConfigError, FanoutError

__all__ = ["COMMANDS", "cli", "main"]

EXIT_CODES = """\b
Exit codes:
  0   all is as it should be
  1   the command ran, and what it found is not as it should be
  2   the command line is wrong, the installation incomplete, or the output can't be written
  78  the file has errors, or can't be read; each is named with its place
  130 stopped by Ctrl-C
  141 who reads the output hung up, as in `| head -1`

\b
Completion, in the shell's own start-up file:
  bash  eval "$(_AJOLO_FANOUT_COMPLETE=bash_source ajolo-fanout)"
  zsh   eval "$(_AJOLO_FANOUT_COMPLETE=zsh_source ajolo-fanout)"
  fish  _AJOLO_FANOUT_COMPLETE=fish_source ajolo-fanout | source
"""


@attrs.frozen
class _Lazy:
    """Where a command is, and what the group's help says of it without loading it."""

    module: str
    summary: str


COMMANDS: Mapping[str, _Lazy] = {
    "backends": _Lazy("ajolo_fanout.cli.backends", "The kinds of backends, and what is known of each."),
    "check": _Lazy("ajolo_fanout.cli.check", "Everything that is wrong with a file, or likely not meant."),
    "demo": _Lazy("ajolo_fanout.cli.demo", "Recorded agent traces at five backends on your own machine."),
    "doctor": _Lazy("ajolo_fanout.cli.doctor", "Why nothing arrives: each backend asked, and sent a span."),
    "explain": _Lazy("ajolo_fanout.cli.explain", "What becomes of a span at each backend, and why."),
    "init": _Lazy("ajolo_fanout.cli.init", "Write a commented file to start from."),
    "plan": _Lazy("ajolo_fanout.cli.plan", "What goes where, and why."),
    "preview": _Lazy("ajolo_fanout.cli.preview", "Recorded spans as each backend would get them."),
    "spool": _Lazy("ajolo_fanout.cli.spool", "What waits on disk: list, replay, clear."),
    "schema": _Lazy("ajolo_fanout.cli.schema", "The file's JSON Schema, for editors."),
    "test": _Lazy("ajolo_fanout.cli.test", "Run the [[tests]] of a file."),
}
"""Every command; each module has a click command of the command's name."""


class _LazyGroup(click.Group):
    """Lists its commands from `COMMANDS` and imports one only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        command: click.Command = getattr(importlib.import_module(lazy.module), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from ajolo_fanout.config.faults import near

            ctx.fail(f"No such command {args[0]!r}{near(args[0], COMMANDS) or '.'}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with printing():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in sorted(COMMANDS)])


@click.group(
    cls=_LazyGroup,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(version("ajolo-fanout"), prog_name="ajolo-fanout")
def cli() -> None:
    """One tracing.toml, many tracing backends, each seeing what it should see."""


def main(arguments: Sequence[str] | None = None, program: str = "ajolo-fanout") -> NoReturn:
    """Run the command line and exit.

    Args:
        arguments: Without the program's name; None for the process's own.
        program: The name that help and errors show.
    """
    lenient()
    try:
        cli.main(None if arguments is None else list(arguments), prog_name=program)
    except FanoutError as error:
        # What a user can mend is told in words; anything else is a mistake of ours and keeps its traceback.
        click.echo(f"{program}: {error}", err=True)
        sys.exit(CONFIG if isinstance(error, ConfigError) else USAGE)
    raise AssertionError("click ends the process")
