"""Flush and shutdown end by their deadline whatever the backends do, and nothing leaves after that."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.delivery.hostile import Hostile, hang_on_answer, never_read
from tests.delivery.support import PROTOCOLS, backend, rendition, rigged

from ajolo_fanout.delivery.outlet import flush_all, shutdown_all
from ajolo_fanout.testing.server import Answer, OtlpServer, wait_for

DEADLINE = 2.0
"""Seconds in which a backend that doesn't hang gets its spans, on a loaded machine too."""
GRACE = 3.0
"""Seconds for a loaded machine; where several hang, their deadlines one after another would take longer."""
QUEUED = 2000


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("hung", [1, 3, 5])
def test_shutdown_with_hung_backends_ends_by_the_deadline(protocol: str, hung: int) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Hostile(hang_on_answer)) for _ in range(hung)]
        good = stack.enter_context(OtlpServer(protocol))
        plans = [
            backend(server.url, protocol, name=f"hung{n}", timeout=60) for n, server in enumerate(servers)
        ]
        rigs = stack.enter_context(rigged(*plans, backend(good.endpoint, protocol, name="good")))
        for rig in rigs:
            rig.offer(QUEUED, 200)
        started = time.monotonic()
        clean = shutdown_all([rig.outlet for rig in rigs], started + DEADLINE)
        took = time.monotonic() - started
        assert not clean
        assert took < DEADLINE + GRACE, took
        for rig in rigs[:-1]:
            assert dict(rig.counts.lost) == {"shutdown": QUEUED}
            assert (rig.counts.pending, rig.counts.delivered) == (0, 0)
        assert rigs[-1].counts.delivered == QUEUED
        assert len(good.spans) == QUEUED


def test_a_server_that_wakes_up_later_gets_nothing_that_was_reported_lost() -> None:
    """It had taken the connection and read nothing: what has not left is thrown away."""
    with Hostile(never_read) as server, rigged(backend(server.url, timeout=60)) as rig:
        rig.offer(100, 100_000)
        wait_for(lambda: rig.counts.requests and server.received, 30, "a request in flight")
        assert not rig.shutdown(0.2)
        assert dict(rig.counts.lost) == {"shutdown": 100}
        connections = len(server.received)
        server.woken.set()
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: any(server.received), 0.3, "bytes")
        complete = [got for got in server.received if _is_whole(bytes(got))]
        assert not complete
        assert len(server.received) == connections, "no further connection"


def _is_whole(raw: bytes) -> bool:
    head, end, body = raw.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    return bool(end) and len(body) >= length > 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_of_a_queue_nothing_follows_the_one_request_in_flight(protocol: str) -> None:
    """That one may be in the server's hands; no protocol can take it back, and it is counted as lost."""
    with (
        OtlpServer(protocol, answer=Answer(hang=True)) as server,
        rigged(backend(server.endpoint, protocol, timeout=60)) as rig,
    ):
        rig.offer(QUEUED)
        server.wait_for_requests(1)
        assert not rig.shutdown(0.2)
        assert dict(rig.counts.lost) == {"shutdown": QUEUED}
        server.release()
        with contextlib.suppress(TimeoutError):
            server.wait_for_requests(2, 0.5)
        assert len(server.requests) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_the_deadline_nothing_leaves_from_queue_or_retry_store(protocol: str) -> None:
    # Our own backoff might have a request on its way in the very moment of the shutdown.
    with OtlpServer(protocol, answer=Answer(status=503, retry_after=1)) as server:
        with rigged(backend(server.endpoint, protocol)) as rig:
            rig.offer(50)
            wait_for(lambda: rig.outlet.health().retry_spans == 50, 30, "the retry store")
            assert not rig.shutdown(0)
            rig.offer(1)
            server.answer = None
            sent = len(server.requests)
            # Whatever is still running would try when that second is over.
            with contextlib.suppress(TimeoutError):
                server.wait_for_requests(sent + 1, 1.5)
            assert len(server.requests) == sent
            assert server.spans == []
        assert dict(rig.counts.lost) == {"shutdown": 51}
        assert rig.counts.pending == 0


def test_shutdown_twice_is_harmless_and_counts_once() -> None:
    with OtlpServer() as server, rigged(backend(server.endpoint)) as rig:
        rig.offer(10)
        assert rig.shutdown()
        assert rig.shutdown()
        assert (rig.counts.delivered, rig.counts.lost_total, rig.ledger.state) == (10, 0, "stopped")


def test_two_threads_may_shut_down_at_once() -> None:
    with Hostile(hang_on_answer) as server, rigged(backend(server.url, timeout=60)) as rig:
        rig.offer(10)
        threads = [threading.Thread(target=rig.shutdown, args=(0.3,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert dict(rig.counts.lost) == {"shutdown": 10}


def test_overlapping_flushes_join() -> None:
    """A program that calls flush() from many threads beside a hung backend doesn't pile up work."""
    with OtlpServer(answer=Answer(hang=True)) as server, rigged(backend(server.endpoint, timeout=30)) as rig:
        rig.offer(10)
        deadline = time.monotonic() + 0.3
        first = rig.outlet.begin_flush(deadline)
        server.wait_for_requests(1)
        jobs = {id(rig.outlet.begin_flush(deadline)) for _ in range(20)}
        assert len(jobs) == 1
        assert not first.wait(deadline)
        assert time.monotonic() < deadline + GRACE
        server.release()
        assert rig.flush()
        assert rig.counts.delivered == 10


def test_a_flush_covers_everything_offered_before_it() -> None:
    with OtlpServer() as server, rigged(backend(server.endpoint)) as rig:
        for round_ in range(1, 6):
            rig.offer(7)
            assert rig.flush()
            assert len(server.spans) == 7 * round_


def test_all_flush_side_by_side_under_one_deadline() -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Hostile(hang_on_answer)) for _ in range(4)]
        rigs = stack.enter_context(
            rigged(*[backend(server.url, name=str(n), timeout=30) for n, server in enumerate(servers)])
        )
        for rig in rigs:
            rig.offer(5)
        started = time.monotonic()
        assert not flush_all([rig.outlet for rig in rigs], started + 1.0)
        assert time.monotonic() - started < 1.0 + GRACE


def test_shutdown_delivers_what_a_recovering_backend_takes_in_time() -> None:
    script = [Answer(status=503), Answer(status=503, retry_after=1)]
    with OtlpServer(answer=script) as server, rigged(backend(server.endpoint)) as rig:
        rig.offer(10)
        assert rig.shutdown()
        assert rig.counts.delivered == 10
        assert len(server.spans) == 10


def test_shutdown_doesn_t_wait_for_a_time_beyond_its_deadline() -> None:
    with (
        OtlpServer(answer=Answer(status=429, retry_after=120)) as server,
        rigged(backend(server.endpoint)) as rig,
    ):
        rig.offer(10)
        started = time.monotonic()
        assert not rig.shutdown(60)
        assert time.monotonic() - started < 15, "neither the deadline nor what the server named"
        assert dict(rig.counts.lost) == {"shutdown": 10}
        assert len(server.requests) == 1


PROGRAM = """
    import atexit, sys, time
    sys.path.insert(0, {root!r})
    from tests.delivery.support import Rig, backend
    from ajolo_fanout.delivery.outlet import shutdown_all

    rigs = [Rig(backend(url, {protocol!r}, name=str(n), timeout=60)) for n, url in enumerate({urls!r})]

    def at_exit():
        started = time.monotonic()
        shutdown_all([rig.outlet for rig in rigs], started + 1)
        lost = [dict(rig.counts.lost) for rig in rigs]
        print(round(time.monotonic() - started, 3), lost, flush=True)

    atexit.register(at_exit)
    for rig in rigs:
        rig.offer(2000, 200)
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_at_exit_no_thread_is_needed_and_the_deadline_holds(protocol: str) -> None:
    with Hostile(hang_on_answer) as one, Hostile(hang_on_answer) as two, Hostile(hang_on_answer) as three:
        root = str(Path(__file__).resolve().parents[2])
        urls = [one.url, two.url, three.url]
        program = textwrap.dedent(PROGRAM).format(root=root, protocol=protocol, urls=urls)
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "RuntimeError" not in done.stderr, done.stderr
        took, _, lost = done.stdout.partition(" ")
        assert float(took) < 1 + GRACE, done.stdout
        assert lost.strip() == str([{"shutdown": 2000}] * 3)
        assert time.monotonic() - started < 30


def test_a_span_offered_after_the_shutdown_is_counted(caplog: Any) -> None:
    with OtlpServer() as server, rigged(backend(server.endpoint)) as rig:
        assert rig.shutdown()
        rig.ledger.seen()
        rig.outlet.offer_all([rendition()])
        assert dict(rig.counts.lost) == {"shutdown": 1}
        assert rig.counts.pending == 0
