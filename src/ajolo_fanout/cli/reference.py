"""`python -m ajolo_fanout.cli.reference [--check] [FILE]`: the page on the command line, made from the commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ajolo_fanout.cli.main import COMMANDS, cli

__all__ = ["main", "page"]

_PAGE = Path("docs/reference/command-line.md")
_NOTE = "<!-- Made by `python -m ajolo_fanout.cli.reference`; change the commands instead. -->"
_PROGRAM = "ajolo-fanout"


def page() -> str:
    """The whole page, Markdown."""
    context = click.Context(cli, info_name=_PROGRAM)
    lines = [_NOTE, "", "# The command line", "", _paragraphs(cli.help), ""]
    lines += [
        f"`python -m ajolo_fanout` is the same as `{_PROGRAM}`.",
        "Output is plain where it is no terminal, or where `NO_COLOR` is set.",
        "",
        "| command | what it does |",
        "|---|---|",
    ]
    lines += [f"| [`{name}`](#{name}) | {COMMANDS[name].summary} |" for name in sorted(COMMANDS)]
    lines += ["", *_epilog(cli.epilog)]
    for name in sorted(COMMANDS):
        command = cli.get_command(context, name)
        assert command is not None
        lines += _command(command, click.Context(command, info_name=name, parent=context), depth=2)
    return "\n".join(lines).rstrip() + "\n"


def _command(command: click.Command, context: click.Context, depth: int) -> Iterator[str]:
    path = context.command_path.removeprefix(f"{_PROGRAM} ")
    yield f"{'#' * depth} {path}"
    yield ""
    yield "```text"
    yield f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    yield "```"
    yield ""
    yield _paragraphs(command.help)
    yield ""
    options = (one for one in command.params if isinstance(one, click.Option))
    rows = [row for row in (one.get_help_record(context) for one in options) if row is not None]
    if rows:
        yield "| option | |"
        yield "|---|---|"
        yield from (f"| `{_cell(option)}` | {_cell(text)} |" for option, text in rows)
        yield ""
    yield from _epilog(command.epilog)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _command(below, click.Context(below, info_name=name, parent=context), depth + 1)


def _paragraphs(text: str | None) -> str:
    """A docstring's paragraphs, each on a line; what click keeps as it is written becomes a block."""
    paragraphs = []
    for part in (text or "").strip().split("\n\n"):
        kept = part.removeprefix("\b\n")
        paragraphs.append(f"```text\n{kept}\n```" if kept != part else " ".join(part.split()))
    return "\n\n".join(paragraphs)


def _epilog(text: str | None) -> Iterator[str]:
    """Each block of an epilog: its first line is a title, the others stand as they are."""
    for block in (text or "").strip().split("\b\n"):
        title, _, body = block.strip().partition("\n")
        if title:
            yield title
            yield ""
            yield "```text"
            yield from (line.removeprefix("  ") for line in body.splitlines())
            yield "```"
            yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page.

    Returns:
        The exit code: 1 when `--check` found it stale, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m ajolo_fanout.cli.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when it isn't fresh")
    parser.add_argument("file", nargs="?", type=Path, default=_PAGE, metavar="FILE")
    options = parser.parse_args(arguments)
    text = page()
    if options.file.is_file() and options.file.read_text(encoding="utf-8") == text:
        return 0
    if options.check:
        sys.stdout.write(f"{options.file}: is stale; run python -m ajolo_fanout.cli.reference\n")
        return 1
    options.file.write_text(text, encoding="utf-8", newline="\n")
    sys.stdout.write(f"{options.file}: written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
