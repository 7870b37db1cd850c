"""Whole programs, as users write them: every span arrives, those that never end are counted."""

from __future__ import annotations

import signal
import socket
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import OtlpServer, wait_for

FILE = Callable[..., Path]
UNFINISHED = "ajolo_fanout.unfinished"
SEND = '[shutdown]\nopen_spans = "send"\n'
TASKS = 5000


def test_thousands_of_tasks_each_keep_their_own_trace(run: Any, write_file: FILE, server: OtlpServer) -> None:
    queue = "batch.max_queue_size = 20000"
    config = write_file(server.endpoint, '[shutdown]\ntimeout = "30s"', backend=queue)
    program = run("asyncs.py", "tasks", config=config)
    assert program.end() == 0, program
    assert program.said("flushed") == "True", program
    spans = server.spans
    by_id = {span.span_id: span for span in spans}
    roots = [span for span in spans if span.name != "step"]
    assert Counter(span.name for span in roots) == Counter(f"task {number}" for number in range(TASKS))
    steps = [span for span in spans if span.name == "step"]
    assert len(steps) == TASKS
    assert len({span.parent_id for span in steps}) == TASKS
    assert all(by_id[span.parent_id].trace_id == span.trace_id for span in steps)


@pytest.mark.parametrize("sends", [True, False])
def test_spans_that_nobody_closes_are_counted_and_sent_where_the_file_says_so(
    sends: bool, run: Any, write_file: FILE, server: OtlpServer
) -> None:
    config = write_file(server.endpoint, SEND if sends else "")
    program = run("asyncs.py", "open_streams", config=config)
    assert program.end() == 0, program
    assert program.said("open") == program.said("open-in-report") == program.said("open-at-end") == "3"
    sent = [(span.name, span.attributes.get(UNFINISHED)) for span in server.spans]
    assert sent == [("stream", True)] * (3 if sends else 0), program


def test_an_answer_that_the_client_breaks_off_arrives_and_one_that_nobody_closes_is_marked(
    run: Any, write_file: FILE, server: OtlpServer, listening: socket.socket, folder: Path
) -> None:
    command = [sys.executable, "-m", "uvicorn", "fastapis:app", "--fd", str(listening.fileno())]
    program = run(command, config=write_file(server.endpoint, SEND), pass_fds=[listening.fileno()])
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with urllib.request.urlopen(f"{address}/stream", timeout=60) as answer:
        assert answer.read(16) == b"again and again\n"
    wait_for(lambda: list(folder.glob("closed-*")), 60, f"the stream to be closed\n{program}")
    with urllib.request.urlopen(f"{address}/abandoned", timeout=60) as answer:
        answer.read()
    program.send(signal.SIGTERM)
    assert program.end() == -signal.SIGTERM, program
    streams = [span.attributes.get(UNFINISHED, False) for span in server.spans if span.name == "stream"]
    assert sorted(streams) == [False, True], program
    finished = {span.name for span in server.spans if UNFINISHED not in span.attributes}
    assert finished == {"GET /stream", "GET /abandoned", "stream"}, program
