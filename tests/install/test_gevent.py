"""Where gevent makes greenlets of the program's threads, before us or after, spans arrive and the hub goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import Answer, OtlpServer

FILE = Callable[..., Path]
MADE = [*(f"greenlet {number}" for number in range(5)), "in a real thread"]
PROTOCOLS = ["http/protobuf", "grpc"]
long = pytest.mark.long
EVERYWHERE = [
    "first",
    pytest.param("after the import", marks=long),
    "after the installation",
]


def made(where: str) -> list[str]:
    return sorted([*MADE, *["before the patch"] * (where == "after the installation")])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("where", EVERYWHERE)
def test_a_program_that_ends_delivers(
    where: str, protocol: Any, run: Any, write_file: FILE, names: Any
) -> None:
    with OtlpServer(protocol) as server:
        config = write_file(server.endpoint, backend=f'protocol = "{protocol}"')
        program = run("gevents.py", where, "returns", config=config)
        assert program.end() == 0, program
        assert names(server) == made(where), program
        assert "Traceback" not in str(program), program


@pytest.mark.parametrize("where", EVERYWHERE)
def test_a_flush_delivers_and_the_counts_add_up(
    where: str, run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("gevents.py", where, "flushes", config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.said("flushed") == "True", program
    count = len(made(where))
    assert program.said("counted") == f"{count} {count} 0", program
    assert names(server) == made(where), program


@pytest.mark.parametrize("where", ["first", pytest.param("after the installation", marks=long)])
def test_sigterm_delivers_although_the_hub_itself_cannot_wait(
    where: str, run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("gevents.py", where, "waits", config=write_file(server.endpoint))
    program.wait_for("ready")
    program.send(signal.SIGTERM)
    assert program.end() == -signal.SIGTERM, program
    assert names(server) == made(where), program


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_backend_that_hangs_does_not_hold_up_the_hub(
    protocol: Any, run: Any, write_file: FILE, names: Any
) -> None:
    """Also with gRPC, which waits in C, where gevent can't see it: real threads make its calls."""
    with OtlpServer(protocol, answer=Answer(hang=True)) as server:
        config = write_file(server.endpoint, '[shutdown]\ntimeout = "1s"', backend=f'protocol = "{protocol}"')
        program = run("gevents.py", "first", "hangs", config=config)
        assert program.end() == 0, program
        flushes = [line.split()[1:] for line in program.out if line.startswith("flush ")]
        assert [flushed for flushed, _ in flushes] == ["False"] * 3, program
        assert min(float(share) for _, share in flushes) < 0.5, f"so much of it a greenlet waited\n{program}"


@pytest.mark.parametrize("where", ["first", pytest.param("after the installation", marks=long)])
def test_parent_and_child_of_a_fork_each_deliver_their_own_once(
    where: str, run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("gevents.py", where, "forks", config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert names(server) == sorted([*made(where), "child", "parent"]), program
