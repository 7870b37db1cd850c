"""Whatever number of backends hang, the end comes by the deadline; nothing leaves after it, all of it is counted."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import Answer, OtlpServer

FILE = Callable[..., Path]
SPANS = 2000
TIMEOUT = 1.0
GRACE = 0.5
long = pytest.mark.long


def settings(servers: list[OtlpServer], protocol: str) -> str:
    return "\n".join(
        f'[backends.hung{number}]\ntype = "otlp"\nendpoint = "{server.endpoint}"\nprotocol = "{protocol}"\n'
        f'timeout = "60s"\nbatch.schedule_delay = "60s"\nbatch.export_timeout = "60s"\n'
        for number, server in enumerate(servers)
    )


@pytest.mark.parametrize(
    ("hung", "protocol", "way"),
    [
        *(
            pytest.param(hung, protocol, way, marks=long)
            for hung in (1, 3, 5)
            for protocol in ("http/protobuf", "grpc")
            for way in ("call", "exit")
            if (hung, protocol, way) not in ((3, "http/protobuf", "exit"), (3, "grpc", "call"))
        ),
        (3, "http/protobuf", "exit"),
        (3, "grpc", "call"),
    ],
)
def test_a_program_ends_by_its_deadline_beside_backends_that_hang(
    hung: int, protocol: Any, way: str, run: Any, write_file: FILE
) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(OtlpServer(protocol, answer=Answer(hang=True))) for _ in range(hung)]
        good = stack.enter_context(OtlpServer(protocol))
        text = f'[shutdown]\ntimeout = "{TIMEOUT}s"\n{settings(servers, protocol)}'
        program = run(
            "hung.py", way, config=write_file(good.endpoint, text, backend=f'protocol = "{protocol}"')
        )
        program.wait_for("ready")
        for server in servers:
            server.wait_for_requests(1, 60)
        good.wait_for_spans(SPANS, 60)  # what this process is slow to take is no fault of the end
        program.type("stop now")
        program.wait_for("told")
        took, late = float(program.said("took")), float(program.said("late"))
        assert took < TIMEOUT + GRACE + 5 * late, program
        assert program.said("here") == f"delivered {SPANS} lost {{}} pending 0", program
        for number in range(hung):
            lost = f"delivered 0 lost {{'shutdown': {SPANS}}} pending 0"
            assert program.said(f"hung{number}") == lost, program
        for server in servers:  # they wake up
            server.release()
        with contextlib.suppress(TimeoutError):
            servers[0].wait_for_requests(2, 0.5)
        assert [len(server.requests) for server in servers] == [1] * hung, "a request left after the report"
        if way == "call":
            program.type("end")
        assert program.end() == 0, program
        assert len(good.spans) == SPANS
        in_flight = sum("may have arrived all the same" in line for line in program.err)
        assert in_flight == hung, program


def test_sigterm_beside_a_backend_that_hangs_ends_a_program_as_a_signal_does(
    run: Any, write_file: FILE
) -> None:
    with OtlpServer(answer=Answer(hang=True)) as server:
        program = run("hung.py", "signal", config=write_file(server.endpoint, '[shutdown]\ntimeout = "0.5s"'))
        program.wait_for("ready")
        server.wait_for_requests(1, 60)
        program.send(signal.SIGTERM)
        assert program.end() == -signal.SIGTERM, program
        assert f"{SPANS} spans were unsent at the deadline of the shutdown: lost" in str(program)
