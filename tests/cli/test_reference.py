"""The page on the command line is fresh, and says of every command what its help says."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from ajolo_fanout.cli.main import COMMANDS, cli
from ajolo_fanout.cli.reference import main, page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"


def test_the_page_in_the_documentation_is_fresh() -> None:
    """`python -m ajolo_fanout.cli.reference` mends it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_check_finds_a_stale_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, changed, mended: and the exit code says so."""
    path = tmp_path / "page.md"
    assert main(["--check", str(path)]) == 1
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
    path.write_text("old", encoding="utf-8")
    capsys.readouterr()
    assert main(["--check", str(path)]) == 1
    assert f"{path}: is stale" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_shows_its_options_examples_and_exit_codes(name: str) -> None:
    """In its own help as well as on the page."""
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    part = page().split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert "Examples:" in part
    assert "Exit codes:" in part
    subcommands = command.commands.values() if isinstance(command, click.Group) else (command,)
    for one in subcommands:
        for option in (one for one in one.params if isinstance(one, click.Option)):
            assert option.help, option.name
            assert max(option.opts, key=len) in part
