"""What hangs before a connection stands holds up no shutdown, and costs no span that a disk could keep."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.delivery.hostile import Hostile, hang_on_answer, hang_on_connect, read_request
from tests.delivery.support import backend, http_sender, one_batch, rigged, spooled

from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.testing.server import OtlpServer, wait_for

QUEUED = 2000
"""More than one request."""
GRACE = 3.0
"""Seconds for a loaded machine."""
SLOW = "slow.invalid"


class Resolver:
    """Name servers that don't answer, as far as `SLOW` is asked for."""

    def __init__(self) -> None:
        self.times = 0
        self.answers = threading.Event()
        self._ask = socket.getaddrinfo

    def getaddrinfo(self, host: str, *arguments: object, **named: object) -> object:
        if host != SLOW:
            return self._ask(host, *arguments, **named)  # type: ignore[arg-type]
        self.times += 1
        self.answers.wait(60)
        return self._ask("127.0.0.1", *arguments, **named)  # type: ignore[arg-type]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.answers.set()


@contextlib.contextmanager
def hanging(where: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a backend with which no connection ever stands."""
    if where == "name":
        yield f"http://{SLOW}:4318"
    elif where == "connect":
        with hang_on_connect() as url:
            yield url
    else:
        with Hostile(hang_on_answer) as server:
            if where == "proxy":
                monkeypatch.setenv("HTTPS_PROXY", server.url)
                yield "https://backend.invalid:4318"
            else:
                yield server.url.replace("http:", "https:")


@pytest.mark.parametrize(
    ("where", "mode"),
    [
        ("name", "on_failure"),
        ("connect", "on_failure"),
        ("handshake", "on_failure"),
        ("proxy", "on_failure"),
        ("handshake", "always"),
    ],
)
@pytest.mark.usefixtures("resolver", "time_for_the_disk")
def test_what_is_unsent_because_no_connection_stands_goes_to_the_disk(
    where: str, mode: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        hanging(where, monkeypatch) as url,
        rigged(spooled(backend(url, timeout=60), folder, mode)) as rig,
    ):
        rig.offer(QUEUED, 200)
        wait_for(lambda: rig.counts.requests, 30, "a request that has begun before the shutdown")
        started = time.monotonic()
        assert rig.shutdown(8), rig.ledger.health()
        assert time.monotonic() - started < 8 + GRACE
        assert (rig.counts.spooled, rig.counts.lost_total, rig.counts.pending) == (QUEUED, 0, 0)
        found = survey(folder)
        assert sum(one.fill.held.spans for one in found.listings) == QUEUED, found.message


@pytest.mark.parametrize("where", ["name", "connect", "handshake", "proxy"])
@pytest.mark.usefixtures("resolver")
def test_without_a_spool_they_are_lost_and_nobody_says_that_they_may_have_arrived(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hanging(where, monkeypatch) as url, rigged(backend(url, timeout=60)) as rig:
        rig.offer(QUEUED, 200)
        wait_for(lambda: rig.counts.requests, 30, "a request")
        started = time.monotonic()
        assert not rig.shutdown(0.5)
        assert time.monotonic() - started < 0.5 + GRACE
        assert dict(rig.counts.lost) == {"shutdown": QUEUED}
        assert rig.ledger.health().last_error == (
            f"{QUEUED} spans were unsent at the deadline of the shutdown: lost"
        )


def test_of_what_was_written_it_is_said_that_it_may_have_arrived() -> None:
    made = one_batch(10)
    with Hostile(hang_on_answer) as server, rigged(backend(server.url, timeout=60, batch=made)) as rig:
        rig.offer(10)
        wait_for(lambda: any(server.received), 30, "a request on its way")
        assert not rig.shutdown(0.2)
        assert "10 of them were on their way and may have arrived" in rig.ledger.health().last_error


def test_a_lookup_counts_towards_the_time_out_of_its_request(resolver: Resolver) -> None:
    """And what comes of it too late is closed, with nothing sent."""
    with OtlpServer() as server, rigged(backend(f"http://{SLOW}:{server.port}", timeout=2)) as rig:
        rig.offer(10)
        wait_for(lambda: "no answer in time" in rig.ledger.health().last_error, 30, "the time-out")
        resolver.answers.set()
        assert rig.flush(30)
        assert rig.counts.delivered == len(server.spans) == 10


def test_a_lookup_that_is_slow_holds_up_no_other(resolver: Resolver) -> None:
    """Both threads that send want a connection; behind the other's lookup, one's time would be over."""
    with OtlpServer() as server:
        sender = http_sender(f"http://{SLOW}:{server.port}")
        sender.start()
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(sender.send, b"", 1, 60) for _ in range(2)]
            try:
                wait_for(lambda: resolver.times == 2, 30, "two lookups at a time")
            finally:
                resolver.answers.set()
            assert [one.result().kind for one in both] == ["delivered", "delivered"]
        sender.abort()


def test_a_proxy_whose_answer_never_ends_is_left_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as there are threads that open connections, and once more."""
    ends: list[bool] = []

    def drips(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        try:
            read_request(connection, got)
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not server.woken.wait(0.02):
                connection.sendall(b"x")
        finally:
            ends.append(server.woken.is_set())

    with Hostile(drips) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        sender = http_sender("https://backend.invalid:4318")
        sender.start()
        wait_for(lambda: sender.send(b"", 1, 0.5) and len(ends) > 2, 30, "the end of three connections")
        assert not any(ends), "each was ended by us"
        sender.abort()


PROGRAM = """
    import atexit, json, socket, sys, time
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from ajolo_fanout.delivery import outlet
    from tests.delivery.support import Duration, Rig, backend, spooled

    outlet._SPOOLING_SHARE, outlet._SPOOLING_TIME = 0.8, 60.0  # as the fixture `time_for_the_disk`
    socket.getaddrinfo = lambda *_, **__: time.sleep(60)
    batch = {{"schedule_delay": Duration(60)}}
    rig = Rig(spooled(backend("http://{slow}:4318", timeout=60, batch=batch), Path({folder!r})))

    def at_exit():
        started = time.monotonic()
        rig.shutdown(8)
        counts = rig.counts
        print(json.dumps([time.monotonic() - started, counts.spooled, counts.lost_total]), flush=True)

    if {forks}:
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: what this is about
        if os.fork():
            os.wait()
            os._exit(0)
        rig.ledger.reset()
        rig.outlet.after_fork()
    atexit.register(at_exit)
    rig.offer(100)
"""


@pytest.mark.parametrize("forks", [False, True])
def test_a_program_whose_first_request_hangs_at_its_exit_keeps_its_spans(forks: bool, folder: Path) -> None:
    """Also in a forked child: CPython 3.12 starts no thread at exit, so it has to be there before."""
    root = str(Path(__file__).resolve().parents[2])
    program = textwrap.dedent(PROGRAM).format(root=root, folder=str(folder), slow=SLOW, forks=forks)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    took, *counted = json.loads(done.stdout)
    assert counted == [100, 0], done.stderr
    assert took < 8 + GRACE
