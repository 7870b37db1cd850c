"""Outages and crashes of either side, with real processes: what was handed to the spool is never lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from tests.conftest import LONG
from tests.delivery.support import PROTOCOLS, Rig, backend, rigged, spooled
from tests.delivery.test_spooling import on_disk

from ajolo_fanout.testing.collector_run import free_ports
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for

ROOT = str(Path(__file__).resolve().parents[2])

HEAD = """
    import json, logging, os, sys, time, warnings
    from pathlib import Path
    warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: what this is about
    logging.basicConfig(level=logging.WARNING)
    sys.path.insert(0, sys.argv[1])
    from tests.delivery.support import Duration, Rig, backend, rendition, spooled

    url, protocol, folder, mode, who = sys.argv[2:]
    batch = {"schedule_delay": Duration(60)}  # a batch is what is offered before a flush
    rig = Rig(spooled(backend(url, protocol, batch=batch), Path(folder), mode))

    def offer(n, start):
        names = [f"{who}-{start + i}" for i in range(n)]
        rig.ledger.seen(n)
        rig.outlet.offer_all([rendition(name=name) for name in names])
        return names

    def say(*what):
        print(json.dumps(what), flush=True)
"""

KILLED = """
    start = 0
    while True:
        names = offer(7, start)
        start += 7
        rig.flush(10)               # all of them were batched
        say(*names)
"""

WORKER = """
    names = []
    for round in range(6):
        names += offer(50, len(names))
        rig.flush(10)
    say("ready", *names)
    sys.stdin.readline()            # the backend is back
    names = offer(50, len(names))
    say("more", *names)
    done = rig.shutdown(10)
    say("end", done, rig.counts.to_dict())
"""

FORKED = """
    offer(10, 0)
    rig.flush(10)
    pid = os.fork()
    if pid == 0:
        rig.ledger.reset()
        rig.outlet.after_fork()
        offer(5, 100)
        rig.flush(10)
        rig.shutdown(10)
        say("child", rig.counts.to_dict())
        os._exit(0)
    offer(3, 200)
    rig.flush(10)
    os.waitpid(pid, 0)
    rig.shutdown(10)
    say("parent", rig.counts.to_dict())
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    source = textwrap.dedent(HEAD) + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-c", source, ROOT, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def names_of(server: OtlpServer) -> set[str]:
    return {span.name for span in server.spans}


@pytest.mark.scaled
@pytest.mark.parametrize("seed", range(20 if LONG else 5))
def test_a_program_that_is_killed_loses_nothing_that_was_batched(seed: int, tmp_path: Path) -> None:
    """`spool = "always"`, SIGKILL at a random moment, by a backend that takes some and refuses some."""
    chance, protocol = random.Random(seed), PROTOCOLS[seed % 2]
    lock = threading.Lock()

    def answer(request: ReceivedRequest) -> Answer:
        with lock:
            return Answer(status=chance.choice([200, 200, 503]), delay=chance.choice([0, 0.01, 0.05]))

    folder = tmp_path / "spool"
    batched: set[str] = set()
    with OtlpServer(protocol, answer=answer) as server:
        program = start(KILLED, server.endpoint, protocol, str(folder), "always", "p")
        assert program.stdout is not None
        first = program.stdout.readline()
        assert first, program.communicate()[1]
        batched.update(json.loads(first))
        threading.Timer(chance.uniform(0, 0.5), program.kill).start()
        for line in program.stdout:
            if line.endswith("\n"):  # the last one may be cut off
                batched.update(json.loads(line))
        assert program.wait(30) == -signal.SIGKILL
        program.communicate()
        server.answer = None
        with rigged(spooled(backend(server.endpoint, protocol), folder, "always")) as again:
            wait_for(lambda: batched <= names_of(server), 30, "every batched span")
            wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
            assert again.counts.seen == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", ["on_failure", "always"])
def test_four_processes_share_one_spool_through_an_outage(protocol: str, mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    programs = [start(WORKER, url, protocol, str(folder), mode, f"p{n}") for n in range(4)]
    expected: set[str] = set()
    for program in programs:
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line, program.communicate()[1]
        expected.update(json.loads(line)[1:])
    assert len(expected) == 1200
    with OtlpServer(protocol, port=port) as server:
        for program in programs:
            assert program.stdin is not None
            program.stdin.write("go\n")
            program.stdin.flush()
        counts = {"spooled": 0, "replayed": 0, "delivered": 0}
        for program in programs:
            out, errors = program.communicate(timeout=60)
            assert program.returncode == 0, errors
            assert "lock" not in errors, errors
            assert "spool" not in errors, errors
            more, end = map(json.loads, out.splitlines())
            expected.update(more[1:])
            assert end[1], end
            assert (end[2]["lost"], end[2]["pending"]) == ({}, 0)
            for key in counts:
                counts[key] += end[2][key]
        with rigged(spooled(backend(url, protocol), folder, mode)) as last:
            wait_for(lambda: expected <= names_of(server), 30, "all spans")
            wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
            counts["replayed"] += last.counts.replayed
        assert counts["spooled"] == counts["replayed"]
        assert counts["delivered"] + counts["replayed"] == len(expected) == 1400
        assert len(server.spans) == 1400, "and none twice: nobody was killed"


@pytest.mark.parametrize("mode", ["on_failure", "always"])
def test_after_a_fork_both_sides_have_their_own_and_lose_none(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    program = start(FORKED, url, "http/protobuf", str(folder), mode, "p")
    out, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    assert "lock" not in errors, errors
    said = dict(map(json.loads, out.splitlines()))
    assert (said["child"]["spooled"], said["child"]["seen"], said["child"]["lost"]) == (5, 5, {})
    assert (said["parent"]["spooled"], said["parent"]["seen"], said["parent"]["lost"]) == (13, 13, {})
    with OtlpServer(port=port) as server, rigged(spooled(backend(url), folder, mode)):
        server.wait_for_spans(18, 30)
        wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
        assert len(names_of(server)) == len(server.spans) == 18


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("outage", [3, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(180)])])
def test_an_outage_under_load_goes_through_the_spool_and_loses_nothing(
    protocol: str, outage: float, tmp_path: Path
) -> None:
    """200 spans/s; the server is killed and restarted; nothing grows in memory meanwhile."""
    folder = tmp_path / "spool"
    taken: list[str] = []
    stop = threading.Event()

    def load(rig: Rig) -> None:
        while not stop.wait(0.05):
            rig.offer(10)

    [port] = free_ports(1)
    with OtlpServer(protocol, port=port) as first:
        rig = Rig(spooled(backend(first.endpoint, protocol), folder))
        thread = threading.Thread(target=load, args=(rig,))
        thread.start()
        first.wait_for_spans(50)
    taken += [span.span_id for span in first.spans]
    try:
        assert not stop.wait(outage), "the outage lasts its time"
        assert rig.outlet.health().retry_spans == 0, "what waits is on disk"
        with OtlpServer(protocol, port=port) as second:
            second.wait_for_spans(50, 60)
            stop.set()
            thread.join()
            wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
            assert rig.shutdown(20), rig.ledger.health()
            taken += [span.span_id for span in second.spans]
    finally:
        stop.set()
        rig.shutdown(0)
    counts = rig.counts
    assert counts.lost_total == 0
    assert counts.spooled == counts.replayed > 0
    assert counts.delivered + counts.replayed == counts.seen == len(set(taken))
    # At most what was in flight when the server died: it had taken that, and could not say so.
    assert len(taken) - len(set(taken)) <= 100


def test_a_second_program_of_the_same_name_sends_what_a_dead_one_left(tmp_path: Path) -> None:
    """It looks every few seconds: nobody has to restart it."""
    folder = tmp_path / "spool"
    with (
        OtlpServer(answer=Answer(hang=True)) as hung,
        OtlpServer() as server,
        rigged(spooled(backend(server.endpoint), folder)),
    ):
        program = start(KILLED, hung.endpoint, "http/protobuf", str(folder), "always", "p")
        hung.wait_for_requests(1, 30)
        started = time.monotonic()
        os.kill(program.pid, signal.SIGKILL)
        program.communicate()
        server.wait_for_spans(7, 30)
        assert time.monotonic() - started < 20
