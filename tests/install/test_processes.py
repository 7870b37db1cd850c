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


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_at_their_exit(
    method: str, run: Any, write_file: Callable[..., Path], server: OtlpServer, names: Any
) -> None:
    program = run("multi.py", method, config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.said("exit") == "0", program
    assert names(server) == ["child", "parent"], program
