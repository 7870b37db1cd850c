"""`ajolo-fanout spool`: what waits on disk is shown, sent, or given up, beside programs at work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.delivery.spool.support import start as start_program
from tests.delivery.support import rendition

from ajolo_fanout.cli import spool_view
from ajolo_fanout.cli.main import cli
from ajolo_fanout.cli.spool_view import age, size
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.delivery.spool import Spool, survey
from ajolo_fanout.otlp.request import requests
from ajolo_fanout.testing.server import Answer, OtlpServer, wait_for
from ajolo_fanout.values import Size

FILE = """schema = 1
[service]
name = "my-agent"

[spool]
directory = "spool"

[backends.tempo]
type = "otlp"
endpoint = "ENDPOINT"
protocol = "PROTOCOL"
spool = "on_failure"
timeout = "30s"
headers = { x-key = "${TEMPO_KEY}" }

[backends.langfuse]
type = "otlp"
endpoint = "http://127.0.0.1:1"
spool = "always"
timeout = "30s"

[backends.plain]
type = "console"
"""

KEY = "s3cret-" + "k3y" * 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes the file with tempo's endpoint in it; its path."""

    def write_file(endpoint: str = "http://127.0.0.1:1", protocol: str = "http/protobuf") -> str:
        file = tmp_path / "tracing.toml"
        file.write_text(FILE.replace("ENDPOINT", endpoint).replace("PROTOCOL", protocol))
        file.chmod(0o600)
        return str(file)

    return write_file


def of(folder: Path, backend: str = "tempo", service: str = "my-agent") -> Spool:
    return Spool(SpoolSettings(directory=folder, max_bytes=Size(10**7)), service, backend)


def put(
    folder: Path, batches: int = 3, backend: str = "tempo", service: str = "my-agent", **more: Any
) -> None:
    """Leave batches of five spans each."""
    one = of(folder, backend, service)
    for _ in range(batches):
        [request] = requests([rendition() for _ in range(5)], 10**6)
        assert one.put(request.body, 5, more.get("created", time.time()))
    if "not_before" in more:
        for batch in one.lease(batches).batches:
            one.release(batch.ticket, more["not_before"])
    one.close()


def held(folder: Path, backend: str = "tempo") -> int:
    return sum(one.fill.held.spans for one in survey(folder).listings if one.backend == backend)


def run(*arguments: str, key: str = KEY, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["spool", *arguments], env={"TEMPO_KEY": key}, input=answer)


@pytest.fixture
def holder(folder: Path) -> Any:
    """Starts a process that leases a batch and holds on to it."""
    started: list[subprocess.Popen[str]] = []

    def start() -> int:
        process = start_program("hold", str(folder), "tempo")
        started.append(process)
        assert process.stdout is not None
        assert len(json.loads(process.stdout.readline())) == 1
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


# list


def test_list_says_how_much_waits_since_when_and_who_is_sending(
    write: Any, folder: Path, holder: Any
) -> None:
    put(folder, 3, created=time.time() - 7200)
    put(folder, 1, "langfuse", "another")
    pid = holder()
    done = run("list", write())
    assert done.exit_code == 0, done.output
    assert str(folder) in done.stdout
    [line] = [line for line in done.stdout.splitlines() if "tempo" in line]
    assert line.split()[:4] == ["my-agent", "tempo", "3", "15"]
    assert "2 h" in line
    assert f"process {pid} (1)" in line
    assert "another" in done.stdout, "the folder is shared"
    found = json.loads(run("list", write(), "--json").stdout)
    [tempo] = [one for one in found["spools"] if one["backend"] == "tempo"]
    assert (tempo["held"]["spans"], tempo["waiting"]["spans"]) == (15, 10)
    assert 7190 < tempo["oldest_age"] < 7300
    assert [(one["pid"], one["here"], one["held"]["spans"]) for one in tempo["holders"]] == [(pid, True, 5)]


def test_what_a_dead_process_held_waits(write: Any, folder: Path, holder: Any) -> None:
    put(folder, 1)
    os.kill(holder(), signal.SIGKILL)
    wait_for(
        lambda: json.loads(run("list", write(), "--json").stdout)["spools"][0]["waiting"]["spans"] == 5,
        20,
        "the lock to go with its process",
    )


def test_list_wants_no_key_and_makes_nothing(write: Any, folder: Path) -> None:
    done = CliRunner().invoke(cli, ["spool", "list", write()], env={"TEMPO_KEY": None})
    assert done.exit_code == 0, done.output
    assert "nothing waits" in done.stdout
    assert not folder.exists()


def test_list_names_what_was_given_up_and_what_can_t_be_read(write: Any, folder: Path) -> None:
    put(folder, 1)
    one = of(folder)
    [batch] = one.lease().batches
    one.discard(batch.ticket, "too_old")
    one.close()
    put(folder, 1, "langfuse")
    [broken] = [found.path for found in survey(folder).listings if found.backend == "langfuse"]
    for part in ("", "-wal", "-shm"):
        path = broken.with_name(broken.name + part)
        if path.exists():
            path.write_bytes(b"no database" * 100)
    done = run("list", write())
    assert done.exit_code == 1, done.output
    assert "5 (too_old)" in done.stdout
    assert "can't be read" in done.stderr
    assert "Traceback" not in done.output


def test_a_folder_that_isn_t_ours_alone_is_said_in_words(write: Any, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    for words in (("list",), ("replay",), ("clear", "--yes")):
        done = run(*words, write())
        assert (done.exit_code, done.stdout) == (1, "")
        assert "may be written by everyone" in done.stderr


@pytest.mark.parametrize("command", ["list", "replay", "clear"])
def test_a_file_without_a_spool_is_a_mistake(command: str, tmp_path: Path) -> None:
    file = tmp_path / "tracing.toml"
    file.write_text('schema = 1\n[service]\nname = "a"\n[backends.c]\ntype = "console"\n')
    done = run(command, str(file))
    assert done.exit_code == 2
    assert "keeps no spool" in done.stderr


@pytest.mark.parametrize("command", ["list", "replay", "clear"])
def test_a_broken_file_is_78_with_its_line(command: str, tmp_path: Path) -> None:
    file = tmp_path / "tracing.toml"
    file.write_text('schema = 1\n[service]\nname = "a"\n[backends.c]\ntype = "consol"\n')
    done = run(command, str(file))
    assert done.exit_code == 78
    assert "tracing.toml:5" in done.stderr


@pytest.mark.parametrize(
    ("command", "text", "line"),
    [
        (("list",), FILE.replace('"spool"\n\n', '"${SPOOL_FOLDER}"\n\n'), "tracing.toml:6"),
        (("clear", "--yes"), FILE.replace('"spool"\n\n', '"${SPOOL_FOLDER}"\n\n'), "tracing.toml:6"),
        (("clear", "--yes"), FILE.replace('"my-agent"', '"${AGENT}"'), "tracing.toml:3"),
    ],
)
def test_no_placeholder_stands_for_the_folder_or_the_name(
    command: tuple[str, ...], text: str, line: str, tmp_path: Path
) -> None:
    """Another folder, or another program, would be looked at."""
    file = tmp_path / "tracing.toml"
    file.write_text(text.replace("ENDPOINT", "http://127.0.0.1:1").replace("PROTOCOL", "grpc"))
    done = run(*command, str(file))
    assert done.exit_code == 78, done.output
    assert line in done.stderr
    assert "is unset" in done.stderr
    assert "a placeholder" not in done.stderr


# replay


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_replay_sends_what_waits_as_the_file_says(protocol: str, write: Any, folder: Path) -> None:
    put(folder, 40)
    put(folder, 2, "tempo", "another")
    with OtlpServer(protocol) as server:
        done = run("replay", write(server.endpoint, protocol), "--backend", "tempo")
        assert done.exit_code == 0, done.output
        assert len(server.spans) == len({span.span_id for span in server.spans}) == 200
        assert {request.headers["x-key"] for request in server.requests} == {KEY}
    assert KEY not in done.output
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tempo")]
    assert line.split() == ["tempo", "200", "0"]
    assert held(folder) == 10, "another program's are its own"


def test_replay_tries_what_was_put_off_and_stops_at_a_backend_that_fails(write: Any, folder: Path) -> None:
    put(folder, 3, not_before=time.time() + 3600)
    put(folder, 2, "langfuse")
    with OtlpServer() as server:
        done = run("replay", write(server.endpoint), "--json")
        assert len(server.spans) == 15
    assert done.exit_code == 1
    tempo, langfuse = json.loads(done.stdout)["backends"]
    assert (tempo["delivered"], tempo["left"]) == (15, 0)
    assert (langfuse["delivered"], langfuse["left"]) == (0, 10)
    assert "refused" in langfuse["error"]
    assert held(folder, "langfuse") == 10


def test_replay_says_what_was_refused_and_what_is_too_old(write: Any, folder: Path) -> None:
    put(folder, 1, created=time.time() - 40 * 86400)
    put(folder, 2)
    with OtlpServer(answer=Answer(status=400, message="no such field")) as server:
        done = run("replay", write(server.endpoint), "--backend", "tempo")
    assert done.exit_code == 1
    assert "5 (too_old)" in done.stdout
    assert "10 (rejected)" in done.stdout
    assert "no such field" in done.stderr
    assert held(folder) == 0


def test_what_an_operator_can_mend_stays_until_it_is_mended(write: Any, folder: Path) -> None:
    put(folder, 4)

    def answer(request: Any) -> Answer:
        return Answer() if request.headers["x-key"] == KEY else Answer(status=403, message="wrong key")

    with OtlpServer(answer=answer) as server:
        file = write(server.endpoint)
        done = run("replay", file, "--backend", "tempo", key="another-key-than-that")
        assert (done.exit_code, held(folder)) == (1, 20)
        assert "403" in done.stderr
        done = run("replay", file, "--backend", "tempo")
        assert (done.exit_code, held(folder)) == (0, 0), done.output
        assert len(server.spans) == 20


def test_replay_leaves_what_another_process_is_sending(write: Any, folder: Path, holder: Any) -> None:
    put(folder, 3)
    pid = holder()
    with OtlpServer() as server:
        done = run("replay", write(server.endpoint), "--backend", "tempo")
        assert len(server.spans) == 10
    assert done.exit_code == 1
    assert f"process {pid} (1)" in done.stderr
    assert held(folder) == 5


def test_an_interrupted_replay_leaves_the_rest_where_it_was(write: Any, folder: Path) -> None:
    put(folder, 3)
    with OtlpServer(answer=Answer(hang=True)) as server:
        command = [sys.executable, "-m", "ajolo_fanout", "spool", "replay", write(server.endpoint)]
        environ = {**os.environ, "TEMPO_KEY": KEY}
        program = subprocess.Popen(
            [*command, "--backend", "tempo"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        assert program.stderr is not None
        assert "15 spans to be sent" in program.stderr.readline()
        server.wait_for_requests(1, 30)
        program.send_signal(signal.SIGINT)
        out, errors = program.communicate(timeout=30)
        assert program.returncode == 1, errors
        assert "interrupted" in errors
        assert "Traceback" not in errors
        assert "tempo" in out
        server.release()
    assert held(folder) == 15
    with OtlpServer() as server:
        assert run("replay", write(server.endpoint), "--backend", "tempo").exit_code == 0
        assert len(server.spans) == 15


def test_ctrl_c_before_anything_is_shown_is_an_interruption_like_any(
    write: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are under way by then, and what shows them has to be loaded first."""

    @contextmanager
    def interrupted(_: object) -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(spool_view, "progress", interrupted)
    put(folder, 1)
    with OtlpServer(answer=Answer(hang=True)) as server:
        done = run("replay", write(server.endpoint), "--backend", "tempo")
    assert (done.exit_code, held(folder)) == (1, 5), done.output
    assert "interrupted" in done.stderr


def test_an_unset_key_is_an_error_of_the_file(write: Any, folder: Path) -> None:
    """Nothing is sent with a placeholder."""
    put(folder, 1)
    with OtlpServer() as server:
        done = CliRunner().invoke(cli, ["spool", "replay", write(server.endpoint)], env={"TEMPO_KEY": None})
        assert done.exit_code == 78
        assert "TEMPO_KEY" in done.stderr
        assert server.requests == []


def test_an_unknown_backend_is_named_with_those_there_are(write: Any, folder: Path) -> None:
    put(folder, 1)
    for command in ("replay", "clear"):
        done = run(command, write(), "--backend", "temp")
        assert done.exit_code == 2
        assert "'temp'" in done.stderr
        assert "tempo" in done.stderr


# clear


def test_clear_asks_and_takes_no_for_an_answer(write: Any, folder: Path) -> None:
    put(folder, 3)
    done = run("clear", write(), answer="n\n")
    assert done.exit_code == 1
    assert "Give up 15 spans of my-agent for tempo, for good?" in done.stderr
    assert held(folder) == 15
    done = run("clear", write(), answer="")
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    done = run("clear", write(), answer="y\n")
    assert done.exit_code == 0, done.output
    assert "tempo: 15 spans in 3 batches" in done.stdout
    assert held(folder) == 0


def test_clear_takes_this_program_s_alone_and_leaves_what_is_being_sent(
    write: Any, folder: Path, holder: Any
) -> None:
    put(folder, 3)
    put(folder, 1, "renamed")
    put(folder, 1, "tempo", "another")
    holder()
    done = run("clear", write(), "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert {one["backend"]: one["cleared"]["spans"] for one in json.loads(done.stdout)} == {
        "tempo": 10,
        "renamed": 5,
    }
    left = {(one.service, one.backend): one.fill.held.spans for one in survey(folder).listings}
    assert left == {("my-agent", "tempo"): 5, ("my-agent", "renamed"): 0, ("another", "tempo"): 5}
    assert run("clear", write(), "--yes", "--service", "another").exit_code == 0
    assert "nothing of another waits" in run("clear", write(), "--service", "another").stdout


@pytest.mark.parametrize("command", ["list", "replay", "clear"])
def test_each_has_help_with_examples_and_exit_codes(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert f"ajolo-fanout spool {command}" in done.stdout
    assert "78  the file has errors" in done.stdout
    assert "--json" in done.stdout


def test_sizes_and_ages_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536 * 1024, 3 * 2**30)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 MiB", "3.0 GiB",
    ]  # fmt: skip
    assert [age(n) for n in (-1, 59, 60, 7200, 3 * 86400)] == ["0 s", "59 s", "1 min", "2 h", "3 d"]
