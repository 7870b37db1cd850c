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
import shlex
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
REFUSED = """schema = 1

[service]
name = "my-agent"

[backends.tempo]
type = "tempo"
endpoint = "http://127.0.0.1:9"
protocol = "grpc"

[backends.agent]
type = "datadog_agent"
endpoint = "http://127.0.0.1:9"

[backends.langfuse]
type = "langfuse"
region = "eu"
public_key = "${LANGFUSE_PUBLIC_KEY}"
secret_key = "${LANGFUSE_SECRET_KEY}"
optional = true
"""
LOOSE = """schema = 1

[service]
name = "my-agent"

[backends.tempo]
type = "tempo"
endpoint = "http://127.0.0.1:9"
redaction.detect = ["credit_card"]

[[tests]]
name = "no card number reaches Tempo"
spans = [{ name = "chat gpt-4o", attributes = { "user.note" = "5500 0055 5555 5559" } }]
expect.tempo = [{ attributes = { "user.note" = "[credit_card]" } }]

[[tests]]
name = "no prompt reaches Tempo"
spans = [{ name = "chat gpt-4o", attributes = { "gen_ai.prompt" = "hello" } }]
expect.tempo = [{ absent = ["gen_ai.prompt"] }]
"""
KEYS = ("DD_API_KEY", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "HONEYCOMB_API_KEY")
COMMANDS = {
    "backends": "backends list",
    "check": "check wrong.toml",
    "demo": "demo",
    "doctor": "doctor refused.toml",
    "explain": "explain --name 'execute_tool *' --spans spans.json",
    "init": "init --backend datadog --backend langfuse",
    "plan": "plan tracing.toml",
    "preview": "preview --backend datadog --backend langfuse --spans spans.json",
    "test": "test loose.toml",
}
"""What a picture is called, and the command that it shows."""


def furnish(folder: Path, command: str) -> None:
    """The files that a command is about; port 9 is where nobody listens."""
    (folder / "wrong.toml").write_text(WRONG, encoding="utf-8")
    (folder / "refused.toml").write_text(REFUSED, encoding="utf-8")
    (folder / "loose.toml").write_text(LOOSE, encoding="utf-8")
    recorded = ROOT / "examples" / "recorded" / "tool_raises-capture.json"
    (folder / "spans.json").write_bytes(recorded.read_bytes())
    if not command.startswith("init"):
        (folder / "tracing.toml").write_bytes((ROOT / "examples" / "tracing.toml").read_bytes())


def printed(command: str, columns: int, folder: Path) -> str:
    """What a command prints in a terminal of so many columns, escape sequences included."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    # Nothing of this machine's environment shows; with keys set, no warning of placeholders does.
    environ = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environ |= dict.fromkeys(KEYS, "a-key-of-nobody") if command.startswith(("preview", "explain")) else {}
    with subprocess.Popen(
        [sys.executable, "-m", "ajolo_fanout", *shlex.split(command)],
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
    for one in options.names or COMMANDS:
        for columns in WIDTHS:
            with tempfile.TemporaryDirectory() as name:
                furnish(Path(name), COMMANDS[one])
                text = screen(printed(COMMANDS[one], columns, Path(name)), columns)
            path = options.folder / f"{one}-{columns}.svg"
            path.write_text(picture(COMMANDS[one], text, columns), encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
