"""After a fork the child works, with counts from zero; the parent goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.delivery.support import PROTOCOLS

from ajolo_fanout.testing.server import OtlpServer

PROGRAM = """
    import json, os, sys, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: what this is about
    sys.path.insert(0, {root!r})
    from tests.delivery.support import Rig, backend, Duration

    rig = Rig(backend({url!r}, {protocol!r}, batch={{"schedule_delay": Duration(60)}}))

    def say(*what):
        print(json.dumps([*what, rig.counts.to_dict(), str(rig.ledger.health())]), flush=True)

    rig.offer(10)
    assert rig.flush(10), rig.ledger.health()
    rig.offer(3)                                   # queued, and the parent's
    pid = os.fork()
    if pid == 0:
        rig.ledger.reset()
        rig.outlet.after_fork()
        rig.offer(5)
        flushed = rig.flush(10)
        rig.offer(2)
        done = rig.shutdown(10)
        say("child", flushed, done)
        os._exit(0)
    os.waitpid(pid, 0)
    done = rig.shutdown(10)
    say("parent", True, done)
"""


def run(url: str, protocol: str, **environ: str) -> dict[str, list[object]]:
    root = str(Path(__file__).resolve().parents[2])
    program = textwrap.dedent(PROGRAM).format(root=root, url=url, protocol=protocol)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environ, "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return {line[0]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_child_delivers_its_own_and_counts_from_zero(protocol: str) -> None:
    with OtlpServer(protocol) as server:
        said = run(server.endpoint, protocol)
        assert len(server.spans) == 20
    _, flushed, done, counts, health = said["child"]
    assert flushed, health
    assert done, health
    assert (counts["seen"], counts["delivered"], counts["pending"]) == (7, 7, 0)  # type: ignore[index]
    _, _, done, counts, health = said["parent"]
    assert done, health
    assert (counts["seen"], counts["delivered"], counts["pending"]) == (13, 13, 0)  # type: ignore[index]


def test_where_grpc_can_t_work_after_a_fork_it_is_said_and_counted_and_never_blocks() -> None:
    with OtlpServer("grpc") as server:
        said = run(server.endpoint, "grpc", GRPC_ENABLE_FORK_SUPPORT="0")
    _, flushed, done, counts, health = said["child"]
    assert flushed
    assert done
    assert counts["lost"] == {"rejected": 7}  # type: ignore[index]
    assert "GRPC_ENABLE_FORK_SUPPORT" in str(health)
    assert said["parent"][3]["delivered"] == 13  # type: ignore[index]
