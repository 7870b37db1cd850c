"""Backends on this machine: files, consoles, unix sockets."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from tests.delivery.sockets import listening_at
from tests.doctor.support import diagnosed, names, one

from ajolo_fanout.doctor.trial import SPAN_NAME
from ajolo_fanout.otlp.decode import decode_request


def file_backend(path: Path | str) -> str:
    return f'[backends.f]\ntype = "file"\npath = "{path}"\n'


def test_a_file_gets_the_span_as_any_backend_does(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    found = diagnosed(file_backend(path))
    assert (found.verdict, names(found)) == ("fine", ["folder", "span"])
    [line] = path.read_text().splitlines()
    assert SPAN_NAME in str(json.loads(line))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = diagnosed(file_backend(tmp_path / "logs" / "spans.jsonl"))
    assert found.verdict == "not-writable"
    assert found.next == f"make it: mkdir -p {tmp_path / 'logs'}"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    found = diagnosed(file_backend(tmp_path / "logs" / "spans.jsonl"))
    assert (found.verdict, found.said) == ("not-writable", f"{tmp_path / 'logs'} isn't a folder")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("elsewhere")])
def test_what_is_no_regular_file(tmp_path: Path, make: object) -> None:
    """Lines of a program's traces are not to go wherever a link leads."""
    path = tmp_path / "spans.jsonl"
    make(path)  # type: ignore[operator]
    found = diagnosed(file_backend(path))
    assert found.verdict == "not-writable"
    assert str(path) in found.said


def test_a_console_is_looked_at_and_not_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    """Its steps are tried all the same."""
    found = diagnosed('[backends.c]\ntype = "console"\n')
    assert (found.verdict, names(found)) == ("fine", ["stream", "span"])
    assert one(found, "stream").said == "stderr, no terminal"
    failing = diagnosed(
        '[backends.c]\ntype = "console"\n[[backends.c.processors]]\ntype = "tests.own:raises"\n'
    )
    assert failing.verdict == "step-failed"
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def agent(path: Path) -> str:
    return f'[backends.a]\ntype = "datadog_agent"\nprotocol = "grpc"\nendpoint = "unix://{path}"\n'


def test_a_unix_socket_that_takes_spans(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with listening_at(path) as handler:
        found = diagnosed(agent(path))
    assert (found.verdict, names(found)) == ("fine", ["connect", "span"])
    [body] = handler.bodies
    assert [span.name for span in decode_request(body)] == [SPAN_NAME]


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    found = diagnosed(agent(tmp_path / "agent.sock"))
    assert (found.verdict, found.said) == ("refused", f"{tmp_path / 'agent.sock'} isn't there")
    assert "mount its folder" in found.next


def test_a_unix_socket_on_which_nobody_listens_any_more(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    found = diagnosed(agent(path))
    assert found.verdict == "refused"
    assert found.next == "start what listens there"


def test_a_unix_socket_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    path.write_text("")
    assert diagnosed(agent(path)).said == f"{path} is no socket"
