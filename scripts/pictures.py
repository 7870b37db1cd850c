"""Pictures of what the command line prints, for the documentation: `docs/images/NAME-COLUMNS.svg`.

Run: python scripts/pictures.py [NAME ...] [--folder FOLDER]. Each command runs in a terminal of 80 and of 140
columns (a pseudo-terminal, so that colours and widths are those that a person sees).
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTHS = (80, 140)
LINES = 200
WRONG = """schema = 1

[service]
name = "my-agent"

[backends.datadog]
type = "datadog"
sight = "eu"
api_key = "0123456789abcdef0123456789abcdef"
sampling.ratio = 2

[backends.tempo]
type = "tempo"
endpoint = "tempo:4317"
protocol = "grpc"
"""
COMMANDS = {
    "backends": "backends list",
    "check": "check wrong.toml",
    "demo": "demo",
    "plan": "plan tracing.toml",
}
"""What a picture is called, and the command that it shows."""


def printed(command: str, columns: int, folder: Path) -> str:
    """What a command prints in a terminal of so many columns, escape sequences included."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environ.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-m", "ajolo_fanout", *command.split()],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=other,
        stderr=other,
    ):
        os.close(other)
        text = b""
        try:
            while part := os.read(main, 65536):
                text += part
        except OSError:
            pass  # so Linux tells the end of a pseudo-terminal whose other end is closed
    os.close(main)
    return text.decode().replace(f"{ROOT}/", "")  # where it stands on this machine is nobody's business


def screen(text: str, columns: int) -> Text:
    """What stays on the screen, whatever a progress bar drew and took back."""
    terminal = pyte.Screen(columns, LINES)
    terminal.set_mode(pyte.modes.LNM)
    pyte.Stream(terminal).feed(text)
    lines = []
    for row in range(LINES):
        cells = (terminal.buffer[row][column] for column in range(columns))
        line = Text()
        for look, run in groupby(cells, key=lambda cell: (cell.fg, cell.bold, cell.underscore)):
            style = Style(color=color(look[0]), bold=look[1], underline=look[2])
            line.append("".join(cell.data for cell in run), style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return Text("\n").join(lines)


def color(name: str) -> str | None:
    """A colour of the terminal's, as rich calls it."""
    if name == "default":
        return None
    names = {"brown": "yellow", "brightbrown": "bright_yellow"}
    if name in names or not name.startswith("bright"):
        return names.get(name) or (name if name.isalpha() else f"#{name}")
    return f"bright_{name.removeprefix('bright')}"


def picture(command: str, shown: Text, columns: int) -> str:
    """The text as an SVG picture of a terminal."""
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ ajolo-fanout {command}", "bold"))
    console.print(shown, soft_wrap=True)
    svg = console.export_svg(title=f"ajolo-fanout {command}", theme=DIMMED_MONOKAI, unique_id="p")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # a picture asks nobody for its letters


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)}; by default all")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wrong.toml").write_text(WRONG, encoding="utf-8")
        (folder / "tracing.toml").write_bytes((ROOT / "examples" / "tracing.toml").read_bytes())
        for one in options.names or COMMANDS:
            for columns in WIDTHS:
                text = screen(printed(COMMANDS[one], columns, folder), columns)
                path = options.folder / f"{one}-{columns}.svg"
                path.write_text(picture(COMMANDS[one], text, columns), encoding="utf-8")
                print(path)


if __name__ == "__main__":
    main()
