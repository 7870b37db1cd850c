"""The corpus of `check`: `cases/NAME.toml`, and to the letter what is printed of it in `cases/NAME.expected`.

A new case is a new file and needs no code. Comments at its top set the scene:

    #: env NAME=value     an environment variable; nothing else is set
    #: file NAME=content  a file beside the configuration
    #: args ARGUMENTS     further arguments; a name among them replaces the file's
    #: unnamed            the file is found, not named
    #: mode 666           the file's mode
    #: absent             there is no file
    #: bytes TEXT         what the file holds, with escapes, where no text can
    #: ddtrace            ddtrace is installed

`python tests/cli/cases.py` writes what comes out beside each case, to be read with care before it is kept.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import attrs
from click.testing import CliRunner

from ajolo_fanout.cli.main import cli

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.stem for path in CASES.glob("*.toml"))
CODE = re.compile(r"^(?:error|warning)\[([a-z0-9-]+)\]", re.MULTILINE)
_SCENE = re.compile(r"^#: (\w+)(?: (.*))?$")


@attrs.frozen
class Outcome:
    """What a command did."""

    text: str
    exit_code: int

    def __str__(self) -> str:
        return f"{self.text}(exit {self.exit_code})\n"


def outcome(name: str, *more: str, columns: int = 80) -> Outcome:
    """What `check` says of the case called `name`."""
    text = (CASES / f"{name}.toml").read_text(encoding="utf-8")
    scene = [found.groups() for line in text.splitlines() if (found := _SCENE.match(line))]
    body = "".join(line for line in text.splitlines(keepends=True) if not _SCENE.match(line))
    environ = dict(value.split("=", 1) for kind, value in scene if kind == "env")
    flags = dict(scene)
    arguments = (flags.get("args") or "").split()
    named = any(not one.startswith("-") for one in arguments)
    if not named and "unnamed" not in flags:
        arguments.append("tracing.toml")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for kind, value in scene:
            if kind == "file":
                other, content = value.split("=", 1)
                (here / other).write_text(content, encoding="utf-8")
        file = here / "tracing.toml"
        if "bytes" in flags:
            file.write_bytes(flags["bytes"].encode().decode("unicode_escape").encode("latin-1"))
        elif "absent" not in flags:
            file.write_text(body, encoding="utf-8")
        if "mode" in flags:
            file.chmod(int(flags["mode"], 8))
        with _scene(here, environ, ddtrace="ddtrace" in flags):
            result = CliRunner().invoke(cli, ["check", *arguments, *more], env={"COLUMNS": str(columns)})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.output.replace(folder, "FOLDER"), result.exit_code)


@contextmanager
def _scene(folder: Path, environ: dict[str, str], *, ddtrace: bool) -> Iterator[None]:
    """The folder is the current one, the environment is the case's, ddtrace is there or not."""
    before, find = Path.cwd(), importlib.util.find_spec
    present = importlib.util.find_spec("ajolo_fanout")

    def found(name: str, package: str | None = None) -> object:
        return (present if ddtrace else None) if name == "ddtrace" else find(name, package)

    os.chdir(folder)
    try:
        with (
            mock.patch.dict(os.environ, {"HOME": str(folder), **environ}, clear=True),
            mock.patch("importlib.util.find_spec", found),
        ):
            yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    for each in NAMES:
        (CASES / f"{each}.expected").write_text(str(outcome(each)), encoding="utf-8")
