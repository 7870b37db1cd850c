"""`ajolo-fanout doctor`: what is printed, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner, Result
from tests.marked import SECRET, assert_clean

from ajolo_fanout.cli.doctor_view import report
from ajolo_fanout.cli.main import cli
from ajolo_fanout.cli.output import Output
from ajolo_fanout.doctor.findings import Check, Checkup, Diagnosis
from ajolo_fanout.testing import Answer, FakeBackend, OtlpServer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "find-out-why-nothing-arrives.md"
COMMAND = [sys.executable, "-m", "ajolo_fanout", "doctor"]


@pytest.fixture
def good() -> Iterator[OtlpServer]:
    with OtlpServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, *backends: str, more: str = "") -> None:
    head = 'schema = 1\n[service]\nname = "patient"\n'
    (folder / "tracing.toml").write_text(head + "".join(backends) + more)


def backend(name: str, endpoint: str, more: str = "") -> str:
    return f'[backends.{name}]\ntype = "otlp"\nendpoint = "{endpoint}"\n{more}'


def doctor(*arguments: str, **environ: str) -> Result:
    result = CliRunner().invoke(cli, ["doctor", *arguments], env={"COLUMNS": "80", **environ})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_all_is_fine(folder: Path, good: OtlpServer) -> None:
    write(folder, backend("one", good.endpoint), '[backends.two]\ntype = "file"\npath = "spans.jsonl"\n')
    done = doctor()
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "around the backends"
    assert f"one  {good.endpoint}/v1/traces" in lines
    assert lines.count("  fine") == 2
    assert lines[-1] == "tracing.toml: 2 of 2 backends fine"
    assert len(good.spans) == 1


def test_what_is_being_asked_is_told_aside_one_line_a_check(folder: Path, good: OtlpServer) -> None:
    """Where nobody can redraw lines; standard output has the findings alone."""
    write(folder, backend("one", good.endpoint))
    told = doctor().stderr.splitlines()
    assert told == ["one: connect: ok", "one: clock: ok", "one: span: ok"]


def test_a_verdict_that_is_not_fine_exits_1_with_the_next_step(folder: Path, good: OtlpServer) -> None:
    good.answer = Answer(status=404)
    write(folder, backend("lost", good.endpoint))
    done = doctor()
    assert done.exit_code == 1
    assert "  wrong-path: the server is there, and takes no OTLP traces at this address" in done.stdout
    assert "  next: 127.0.0.1 takes no OTLP on this path; an endpoint with a path is used" in done.stdout
    assert done.stdout.splitlines()[-1] == "tracing.toml: 0 of 1 backends fine; not fine: lost (wrong-path)"
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_backends_that_are_off_are_named_and_are_no_finding(folder: Path, good: OtlpServer) -> None:
    away = backend("away", "${NO_SUCH_ENDPOINT}", "optional = true\n")
    write(folder, backend("on", good.endpoint), backend("never", good.endpoint, "enabled = false\n"), away)
    done = doctor()
    assert done.exit_code == 0
    assert "never\n  off: enabled = false" in done.stdout
    assert "NO_SUCH_ENDPOINT is unset" in done.stdout
    assert done.stdout.splitlines()[-1] == "tracing.toml: 1 of 1 backends fine; off: never, away"


def test_one_that_is_asked_for_by_name_and_off_is_a_finding(folder: Path, good: OtlpServer) -> None:
    write(folder, backend("on", good.endpoint), backend("never", good.endpoint, "enabled = false\n"))
    assert doctor("--backend", "never").exit_code == 1
    assert good.requests == [], "nobody else was asked"


def test_only_the_named_backends_are_asked(folder: Path, good: OtlpServer) -> None:
    with OtlpServer(answer=Answer(status=500)) as other:
        write(folder, backend("one", good.endpoint), backend("two", other.endpoint))
        done = doctor("--backend", "one")
        assert (done.exit_code, other.requests) == (0, [])


def test_json_has_the_documented_shape(folder: Path, good: OtlpServer) -> None:
    """Scripts read it; every key is on the page."""
    good.answer = Answer(status=401, message="who are you?")
    write(folder, backend("one", good.endpoint), backend("off", good.endpoint, "enabled = false\n"))
    done = doctor("--json")
    assert (done.exit_code, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert list(found) == ["file", "fine", "surroundings", "backends"]
    one, off = found["backends"]
    assert list(one) == ["backend", "type", "url", "verdict", "said", "next", "checks", "fine"]
    assert list(one["checks"][0]) == ["name", "status", "said", "next", "code", "seconds"]
    assert list(found["surroundings"][0]) == list(one["checks"][0])
    assert (found["fine"], one["verdict"], one["fine"]) == (False, "key-refused", False)
    assert (off["verdict"], off["fine"], off["checks"]) == ("off", True, [])
    page = PAGE.read_text()
    assert [key for key in {*found, *one, *one["checks"][0]} if f"`{key}`" not in page] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backend", "oen"), "the file has no backend 'oen'; did you mean 'one'?"),
        (("--backend", "zzz"), "the file has no backend 'zzz'; there are one"),
        (("--timeout", "5"), "a duration is one number and a unit"),
        (("--timeout", "0s"), "must be more than nothing"),
        (("--nothing",), "No such option"),
    ],
)
def test_a_command_line_that_is_wrong_exits_2(
    folder: Path, good: OtlpServer, arguments: tuple[str, ...], said: str
) -> None:
    write(folder, backend("one", good.endpoint))
    done = doctor(*arguments)
    assert (done.exit_code, done.stdout, good.requests) == (2, "", [])
    assert said in " ".join(done.stderr.replace("│", " ").split()).replace('"', "'")


@pytest.mark.parametrize("more", ["compresion = true\n", 'headers = { key = "${NO_SUCH}" }\n', "= ="])
def test_a_file_with_errors_exits_78_and_asks_nobody(folder: Path, good: OtlpServer, more: str) -> None:
    """An unset variable, too: there is nothing to be learnt from a placeholder's key."""
    write(folder, backend("one", good.endpoint), more=more)
    done = doctor()
    assert (done.exit_code, done.stdout, good.requests) == (78, "", [])
    assert "error[" in done.stderr
    assert "tracing.toml:" in done.stderr


def test_no_file_exits_78(folder: Path) -> None:
    done = doctor()
    assert done.exit_code == 78
    assert "Traceback" not in done.output


def test_time_that_is_over_ends_the_command(folder: Path, good: OtlpServer) -> None:
    """Whatever a backend does, and though its own time-out is longer."""
    good.answer = Answer(hang=True)
    write(folder, backend("slow", good.endpoint, 'timeout = "1h"\n'))
    started = time.monotonic()
    done = doctor("--timeout", "2s")
    good.release()
    assert done.exit_code == 1
    assert "  no-answer: no answer in time" in done.stdout or "  unfinished: " in done.stdout
    assert time.monotonic() - started < 60


def test_no_secret_is_printed_though_the_server_repeats_it(folder: Path) -> None:
    def echo(request: Any) -> Answer:
        return Answer(status=403, message=" ".join(request.headers.values()))

    with FakeBackend("langfuse", answer=echo) as langfuse:
        write(
            folder,
            f'[backends.lf]\ntype = "langfuse"\nendpoint = "{langfuse.endpoint}"\npublic_key = "pk-lf-public"\n'
            'secret_key = "${MARKED}"\n',
        )
        for form in ((), ("--json",), ("--find-site",)):
            done = doctor(*form, MARKED=SECRET)
            assert done.exit_code == 1
            assert_clean(done.stdout + done.stderr)
        assert langfuse.requests


def test_nothing_is_logged_between_the_findings(folder: Path, good: OtlpServer) -> None:
    """In a process of its own: no line of our loggers, of urllib3's or of gRPC's core."""
    good.answer = Answer(status=503)
    with OtlpServer("grpc", answer=Answer(status=503)) as grpc:
        write(
            folder,
            backend("http", good.endpoint),
            backend("grpc", grpc.endpoint, 'protocol = "grpc"\n'),
            backend("stock", grpc.endpoint, 'protocol = "grpc"\nexporter = "stock"\ntimeout = "1s"\n'),
        )
        done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    told = [line.partition(": ")[0] for line in done.stderr.splitlines()]
    assert set(told) == {"http", "grpc", "stock"}, done.stderr


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_ctrl_c_ends_it_cleanly(folder: Path, protocol: Literal["http/protobuf", "grpc"]) -> None:
    """At once, with a request under way, and without a traceback."""
    with OtlpServer(protocol, answer=Answer(hang=True)) as server:
        write(folder, backend("slow", server.endpoint, f'protocol = "{protocol}"\n'))
        with subprocess.Popen(
            [*COMMAND, "--timeout", "1h"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            server.wait_for_requests(1, timeout=60)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        server.release()
    assert (running.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err


def on_a_terminal(folder: Path, columns: int, **environ: str) -> tuple[str, int]:
    """What the command writes to a terminal, and its exit code."""
    main, other = pty.openpty()
    settings = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environ}
    with subprocess.Popen(
        COMMAND, stdin=other, stdout=other, stderr=other, cwd=folder, env=settings, close_fds=True
    ) as running:
        os.close(other)
        written = b""
        while select.select([main], [], [], 60)[0]:
            try:
                part = os.read(main, 65536)
            except OSError:  # Linux's way of saying that nobody writes any more
                break
            if not part:
                break
            written += part
        running.wait(60)
    os.close(main)
    return written.decode(), running.returncode


def test_on_a_terminal_the_progress_is_redrawn_and_gone_at_the_end(folder: Path, good: OtlpServer) -> None:
    good.answer = lambda request: Answer(delay=0.5) if request.method == "POST" else None
    write(folder, backend("one", good.endpoint))
    text, code = on_a_terminal(folder, 100)
    assert code == 0
    assert "\x1b[?25l" in text, "the cursor is hidden while lines are redrawn"
    assert text.rindex("\x1b[?25h") < text.index("around the backends"), "and is back before the findings"
    assert "one: span: ok" not in text
    assert "\x1b[32mok" in text


def test_on_a_terminal_without_colours_nothing_is_redrawn(folder: Path, good: OtlpServer) -> None:
    write(folder, backend("one", good.endpoint))
    text, code = on_a_terminal(folder, 100, NO_COLOR="1")
    assert code == 0
    assert "\x1b[" not in text
    assert "one: span: ok" in text


@pytest.mark.parametrize("columns", [40, 80, 140])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_it_fits_its_columns_and_letters(
    columns: int, ascii_only: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """What can't be broken, an address, may stand out; nothing else does."""
    check = Check("credentials", "warning", "a word " * 30, "do this, then that, and after that " * 3)
    diagnosis = Diagnosis("one", "otlp", "http://x", "busy", "a word " * 30, "wait a while " * 12, (check,))
    report(Checkup("t.toml", (check,), (diagnosis,)), Output(width=columns, ascii=ascii_only))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= columns for line in lines[:-1])
    assert all(line.isascii() for line in lines) is ascii_only


def test_the_command_line_loads_nothing_of_the_doctor_before_it_is_asked_for() -> None:
    code = (
        "import sys, ajolo_fanout\nfrom ajolo_fanout.cli.main import cli\n"
        "cli.list_commands(None)\n"
        "assert not [name for name in sys.modules if 'doctor' in name or name in ('rich', 'grpc')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
