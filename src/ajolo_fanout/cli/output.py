"""Where a command prints: how wide, with colours or without, with all letters or ASCII alone."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import attrs
import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "CONFIG",
    "FINDINGS",
    "INTERRUPTED",
    "USAGE",
    "Function",
    "Mistake",
    "Output",
    "in_lines",
    "json_option",
    "lenient",
    "printing",
    "table_for",
]

Function = TypeVar("Function", bound=Callable[..., object])
"""What a decorator of a command's function leaves as it is."""

FINDINGS = 1
"""The exit code of what was found: a failed test, a verdict, warnings under `--strict`."""
USAGE = 2
"""The exit code of a command line that is wrong."""
CONFIG = 78
"""The exit code of a file with errors; sysexits' EX_CONFIG, as Vector has it."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells count it: 128 and the signal's number."""
HUNG_UP = 141
"""The exit code after a reader that closed the pipe, as shells count it: 128 and SIGPIPE's number."""

_NARROWEST, _WIDEST = 40, 140
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_ASCII = str.maketrans({"─": "-", "│": "|", "├": "|", "└": "`", "…": "...", "→": ">"})


class Mistake(click.ClickException):
    """A user's mistake that is none of a file's: told in words, exit 2."""

    exit_code = USAGE


@attrs.frozen
class Output:
    """One of the two standard streams.

    Attributes:
        width: Columns that text is wrapped at.
        terminal: Whether a person is looking at it.
        color: Whether colours belong there: a terminal that isn't dumb, and NO_COLOR not set.
        error: Whether it is standard error.
        ascii: Whether the stream can't say more than ASCII.
    """

    width: int = 80
    terminal: bool = False
    color: bool = False
    error: bool = False
    ascii: bool = False

    @classmethod
    def here(cls, *, error: bool = False) -> Output:
        """The stream as it is now."""
        stream: TextIO | None = sys.stderr if error else sys.stdout
        terminal = stream is not None and stream.isatty()
        color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        columns = shutil.get_terminal_size((80, 24)).columns
        encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
        width = min(max(columns, _NARROWEST), _WIDEST)
        return cls(width, terminal, color, error, ascii=not encoding.startswith("utf"))

    def style(self, text: str, **styles: Any) -> str:
        """`text` in colours where they belong."""
        return click.style(text, **styles) if self.color else text

    def say(self, text: str = "") -> None:
        """Print `text` and a line break."""
        click.echo(text.translate(_ASCII) if self.ascii else text, err=self.error, color=self.color)

    def console(self) -> Console:
        """Rich's console on this stream, in which nothing of a text is markup's to guess."""
        from rich.console import Console

        return Console(
            width=self.width, no_color=not self.color, highlight=False, emoji=False, stderr=self.error
        )


def table_for(console: Console, *, heads: bool = True) -> Table:
    """A table without a frame, still without columns; a line under its heads, where the stream has one."""
    from rich import box
    from rich.table import Table

    return Table(
        box=None if console.options.ascii_only else box.SIMPLE_HEAD,
        show_header=heads,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )


def in_lines(text: str, width: int, under: str = "") -> list[str]:
    """`text` in lines of `width` columns, the further ones after `under`. Words and paths stay in one piece."""
    return textwrap.wrap(
        text, width, subsequent_indent=under, break_long_words=False, break_on_hyphens=False
    ) or [""]


def json_option(function: Function) -> Function:
    """The option `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def lenient() -> None:
    """Let no letter that a stream can't encode end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def printing() -> Iterator[None]:
    """Where what is printed can't be written, a command ends in words; where its reader hung up, in silence.

    After Ctrl-C it says that it stopped.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # closed, for instance by a shell's `>&-`
                sys.stdout.flush()  # what is in the buffer would fail at the end of the process, in Python's words
    except (KeyboardInterrupt, click.Abort):
        Output.here(error=True).say("stopped")
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _hang_up()
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        _hang_up()  # rich makes of it an exit with 1, which here is that of a finding
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            raise
        _discard()
        raise Mistake(f"the output can't be written: {error.strerror}") from error


def _discard() -> None:
    with Path(os.devnull).open("w") as nowhere:  # what is still in the buffer would fail once more at exit
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _hang_up() -> NoReturn:
    _discard()
    raise click.exceptions.Exit(HUNG_UP) from None
