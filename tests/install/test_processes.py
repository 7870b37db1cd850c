"""A child of fork works, with counts from zero; children of multiprocessing deliver at their exit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import OtlpServer


@pytest.mark.parametrize("before", ["queued", "flushed"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_parent_and_forked_child_each_deliver_their_own_spans_once(
    before: str, protocol: Any, run: Any, write_file: Callable[..., Path], names: Any
) -> None:
    with OtlpServer(protocol) as server:
        config = write_file(server.endpoint, backend=f'protocol = "{protocol}"')
        program = run("forks.py", before, config=config)
        assert program.end() == 0, program
        assert program.said("status") == "0", program
        assert names(server) == ["before", "before", "child", "child", "child", "parent"], program
    assert program.said("child-seen-at-start") == "0"
    assert program.said("child-is-installed") == "True"
    assert program.said("child-seen") == "3"
    assert program.said("parent-seen") == "3"


def test_an_instance_id_that_the_file_fixes_survives_a_fork(
    run: Any, write_file: Callable[..., Path], server: OtlpServer
) -> None:
    fixed = '[resource]\n"service.instance.id" = "mine"'
    program = run("forks.py", "queued", config=write_file(server.endpoint, fixed))
    assert program.end() == 0, program
    assert program.said("child-instance") == program.said("parent-instance") == "mine"
    assert {span.resource["service.instance.id"] for span in server.spans} == {"mine"}


@pytest.mark.parametrize(
    ("way", "made"),
    [
        ("flushes and leaves", ["child"] * 3),
        ("just leaves", []),
        ("forks", ["child"] * 3 + ["grandchild"] * 2),
    ],
)
def test_a_forked_child_delivers_at_its_exit_or_by_a_flush_of_its_own(
    way: str, made: list[str], run: Any, write_file: Callable[..., Path], server: OtlpServer, names: Any
) -> None:
    """`os._exit()` skips every exit handler there is: what is queued then goes with the process."""
    program = run("forks.py", "queued", way, config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert names(server) == ["before", "before", *made, "parent"], program


def test_where_grpc_cannot_work_after_a_fork_it_is_said_and_counted_and_nothing_waits(
    run: Any, write_file: Callable[..., Path], names: Any
) -> None:
    with OtlpServer("grpc") as server:
        program = run(
            "forks.py",
            *("flushed", "flushes and leaves"),
            config=write_file(server.endpoint, backend='protocol = "grpc"'),
            env={"GRPC_ENABLE_FORK_SUPPORT": "0"},
        )
        assert program.end() == 0, program
        assert names(server) == ["before", "before", "parent"], program
    assert program.said("child-lost") == "{'rejected': 3}", program
    assert "GRPC_ENABLE_FORK_SUPPORT" in program.said("child-error"), program
    assert "GRPC_ENABLE_FORK_SUPPORT" in "".join(program.err), "said in the log, too"
    assert float(program.said("child-took")) < 5.0, program


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("kind", ["process", pytest.param("pool", marks=pytest.mark.long)])
def test_children_of_multiprocessing_deliver_at_their_exit(
    method: str, kind: str, run: Any, write_file: Callable[..., Path], server: OtlpServer, names: Any
) -> None:
    program = run("multi.py", method, kind, config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.said("exit") == "0", program
    assert names(server) == [*["child"] * (1 if kind == "process" else 4), "parent"], program


@pytest.mark.long
def test_children_of_a_forkserver_that_installs_are_children_of_a_fork(
    run: Any, write_file: Callable[..., Path], server: OtlpServer, names: Any
) -> None:
    """`set_forkserver_preload()` with the module that installs: then the children need not."""
    program = run("multi.py", "preloaded", "process", config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert names(server) == ["child", "parent"], program
