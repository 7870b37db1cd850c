"""The command line as a whole."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import click
import pytest

from ajolo_fanout.cli import main as module
from ajolo_fanout.errors import ConfigError, InstallError, Problem


def test_help_lists_commands_without_loading_them() -> None:
    code = (
        "import sys\nfrom ajolo_fanout.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'rich', 'grpc', 'urllib3', 'opentelemetry.sdk.trace', 'ajolo_fanout.cli.demo'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in module.COMMANDS:
        assert name in done.stdout


def test_every_command_is_there_and_says_what_it_does() -> None:
    """Help, examples and exit codes."""
    context = click.Context(module.cli)
    for name in module.cli.list_commands(context):
        command = module.cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
        assert "Exit codes:" in (command.epilog or "")
    assert module.cli.get_command(context, "nothing") is None


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        module.main(["--version"])
    assert ended.value.code == 0
    assert version("ajolo-fanout") in capsys.readouterr().out


def test_the_installed_script_is_this_command() -> None:
    [script] = [one for one in entry_points(group="console_scripts") if one.name == "ajolo-fanout"]
    assert script.load() is module.main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            ConfigError([Problem("one", file="a.toml", line=1), Problem("two", file="a.toml", line=2)]),
            78,
            "ajolo-fanout: 2 problems:\na.toml:1: one\na.toml:2: two\n",
        ),
        (InstallError("install it again"), 2, "ajolo-fanout: install it again\n"),
    ],
)
def test_a_users_mistake_is_told_in_words(
    error: Exception,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever a command lets through: every problem on its line, no traceback, 78 for a file and 2 else."""

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module.cli, "main", broken)
    with pytest.raises(SystemExit) as ended:
        module.main([])
    assert (ended.value.code, capsys.readouterr().err) == (code, said)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_its_completion(shell: str) -> None:
    """The documented line makes a script that names the command."""
    done = complete(_AJOLO_FANOUT_COMPLETE=f"{shell}_source")
    assert done.returncode == 0, done.stderr
    assert "ajolo-fanout" in done.stdout
    assert "_AJOLO_FANOUT_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ajolo-fanout ch", {"check"}),
        ("ajolo-fanout backends ", {"list", "show"}),
        ("ajolo-fanout backends show lang", {"langfuse"}),
        ("ajolo-fanout init --backend temp", {"tempo"}),
        ("ajolo-fanout check --format gi", {"github"}),
    ],
)
def test_commands_options_and_types_are_completed(words: str, expected: set[str]) -> None:
    count = len(words.split()) - (not words.endswith(" "))
    done = complete(_AJOLO_FANOUT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(count))
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected


def complete(**environ: str) -> subprocess.CompletedProcess[str]:
    code = "from ajolo_fanout.cli.main import main; main()"
    settings = {**os.environ, **environ}
    return subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False
    )


def test_a_misspelt_command_is_exit_2_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        module.main(["chekc"])
    assert ended.value.code == 2
    assert "No such command 'chekc'; did you mean \"check\"?" in capsys.readouterr().err


_PRINTS = [sys.executable, "-m", "ajolo_fanout", "backends", "list"]
_FULL = Path("/dev/full")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_reader_that_hangs_up_is_no_finding(unbuffered: str) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        _PRINTS, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, env=environ
    )
    os.close(writing)
    assert done.returncode == 141
    assert not done.stderr


@pytest.mark.skipif(not _FULL.exists(), reason="a device that Linux has")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_output_that_cannot_be_written_is_told_in_words(unbuffered: str) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with _FULL.open("w") as full:
        done = subprocess.run(
            _PRINTS, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environ
        )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: the output can't be written: No space left")
    assert "Traceback" not in done.stderr


def test_a_closed_output_stops_no_command() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *_PRINTS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_is_no_finding(tmp_path: Path) -> None:
    """While `init` waits for an answer in a terminal: 130, as shells count it, and nothing is written."""
    main, other = pty.openpty()
    command = [sys.executable, "-m", "ajolo_fanout", "init"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=other, stdout=other, stderr=other) as running:
        try:
            shown = b""
            while b"with commas between them?" not in shown:
                shown += os.read(main, 4096)
            # One that comes in the instant before the wait for a line is handled after it: so more than one. But
            # none while the process ends, however long that takes it.
            for _ in range(5):
                running.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(timeout=15)
                    break
            assert running.poll() == 130
        finally:
            running.kill()
    os.close(other)
    said = b""
    with contextlib.suppress(OSError):  # Linux's way of saying that nobody writes any more
        while part := os.read(main, 4096):
            said += part
    os.close(main)
    assert b"stopped" in said
    assert b"Traceback" not in said
    assert not list(tmp_path.iterdir())
