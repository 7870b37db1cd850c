"""What is to be sent again waits in bounded memory, is sent when the backend is back, and nothing is lost."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.hostile import Hostile, close_after_one, read_request, refused
from tests.delivery.support import PROTOCOLS, Rig, backend, one_batch, rendition, retry, rigged, spooled

from ajolo_fanout.delivery.spooling import split
from ajolo_fanout.testing.collector_run import free_ports
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for
from ajolo_fanout.values import Duration


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_refused_for_a_time_arrives_once_the_backend_is_back(protocol: str) -> None:
    with (
        OtlpServer(protocol, answer=[Answer(status=503)] * 2) as server,
        rigged(backend(server.endpoint, protocol)) as rig,
    ):
        rig.offer(20)
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == 20
        assert rig.ledger.state == "ok"
        assert sorted(span.name for span in server.spans) == sorted({span.name for span in server.spans})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_outage_loses_nothing_and_a_restarted_server_gets_everything(protocol: str) -> None:
    [port] = free_ports(1)
    with OtlpServer(protocol, port=port) as first:
        rigs = rigged(backend(first.endpoint, protocol))
        rig = rigs.__enter__()
        rig.offer(50)
        assert rig.flush()
    try:
        for _ in range(10):
            rig.offer(50)
            # Batches of their own: the queue is empty before the next are offered.
            wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "the queue to empty")
        assert rig.counts.lost_total == 0
        with OtlpServer(protocol, port=port) as second:
            assert rig.flush(), rig.ledger.health()
            assert rig.counts.delivered == 550
            names = [span.name for span in second.spans]
            assert len(names) == len(set(names)) == 500
    finally:
        rigs.__exit__(None, None, None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("outage", [3, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(180)])])
def test_an_outage_under_load_loses_nothing(protocol: str, outage: float) -> None:
    """200 spans/s; the server is killed and restarted; what arrived twice is counted by its span id."""
    taken: list[str] = []
    stop = threading.Event()

    def load(rig: Rig) -> None:
        while not stop.wait(0.05):
            rig.offer(10)

    [port] = free_ports(1)
    with OtlpServer(protocol, port=port) as first:
        rig = Rig(backend(first.endpoint, protocol))
        thread = threading.Thread(target=load, args=(rig,))
        thread.start()
        first.wait_for_spans(50)
    taken += [span.span_id for span in first.spans]
    try:
        assert not stop.wait(outage), "the outage lasts its time"
        with OtlpServer(protocol, port=port) as second:
            second.wait_for_spans(50, 60)
            stop.set()
            thread.join()
            assert rig.shutdown(20), rig.ledger.health()
            taken += [span.span_id for span in second.spans]
    finally:
        stop.set()
        rig.shutdown(0)
    counts = rig.counts
    assert counts.lost_total == 0
    assert counts.delivered == counts.seen == len(set(taken))
    # At most what was in flight when the server died: it had taken that, and could not say so.
    assert len(taken) - len(set(taken)) <= 100


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed_by_the_whole_backend(form: str) -> None:
    """Other batches wait, too, and none asks before the time is over."""
    asked: list[float] = []

    def answer(_: ReceivedRequest) -> Answer:
        asked.append(time.monotonic())
        if len(asked) > 1:
            return Answer()
        if form == "seconds":
            return Answer(status=429, retry_after=2)
        # Of now, without its part of a second: what is made before the request is over the sooner after it.
        return Answer(status=429, headers={"Retry-After": formatdate(time.time() + 3, usegmt=True)})

    with OtlpServer(answer=answer) as server, rigged(backend(server.endpoint)) as rig:
        rig.offer(5)
        wait_for(lambda: rig.outlet.health().retry_spans == 5 or len(asked) > 1, 30, "the retry store")
        for _ in range(3):
            rig.offer(5)
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == 20
        assert asked[1] - asked[0] >= 1.9


class OneThatComesBack:
    """A server that is down for one request, and takes the next. The third waits for a word of the test."""

    def __init__(self, third: Answer) -> None:
        self.asked: list[str] = []
        self.both = threading.Event()
        self.go_on = threading.Event()
        self.others = Answer()
        self._third = third

    def __call__(self, request: ReceivedRequest) -> Answer:
        [first, *_] = request.spans()
        self.asked.append(first.name)
        number = self.asked.count("waits")
        if first.name != "waits":
            return self.others
        if number == 1:
            return Answer(status=503)
        if number == 2:
            assert self.both.wait(60)
            return Answer()
        assert self.go_on.wait(60)
        return self._third

    def ask_thrice(self, rig: Rig) -> None:
        """Two batches from the retry store, of which the second is under way in the end."""
        for spans in (10, 20):
            offer_named(rig, "waits", 10)
            wait_for(lambda spans=spans: rig.outlet.health().retry_spans == spans, 30, "the retry store")
        self.both.set()
        wait_for(lambda: len(self.asked) == 3, 30, "the second batch on its way")


def offer_named(rig: Rig, name: str, n: int, size: int = 0) -> None:
    rig.ledger.seen(n)
    rig.outlet.offer_all([rendition(size, name=name) for _ in range(n)])


def test_an_older_request_that_is_taken_late_doesn_t_end_what_the_server_asked_for() -> None:
    """Its thread and the queue's are two: the younger request was told to wait a minute."""
    answer = OneThatComesBack(third=Answer())
    answer.others = Answer(status=429, retry_after=60)
    with (
        OtlpServer(answer=answer) as server,
        rigged(backend(server.endpoint, batch=one_batch(10))) as rig,
    ):
        answer.ask_thrice(rig)
        offer_named(rig, "told", 10)
        wait_for(lambda: rig.outlet.health().retry_spans == 20, 30, "the younger one in the retry store")
        answer.go_on.set()
        wait_for(lambda: rig.counts.delivered == 20, 30, "the older one")
        assert not rig.flush(30), "the server isn't asked before its time"
        assert answer.asked == ["waits", "waits", "waits", "told"]


def test_the_rest_of_a_batch_waits_as_well_where_another_request_is_told_to() -> None:
    """A batch of twenty requests is on its way when the server asks for a minute's peace."""
    answer = OneThatComesBack(third=Answer(status=429, retry_after=60))
    answer.others = Answer(delay=0.1)
    batch = {"max_export_batch_size": 20, "export_timeout": Duration(30)}
    with (
        OtlpServer(answer=answer) as server,
        rigged(backend(server.endpoint, max_request_bytes=12_000, batch=batch)) as rig,
    ):
        answer.ask_thrice(rig)
        offer_named(rig, "large", 20, 10_000)
        wait_for(lambda: "large" in answer.asked, 30, "the batch on its way")
        answer.go_on.set()
        wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "the queue to empty")
        assert 0 < answer.asked.count("large") < 20, "nothing more once the word was there"
        assert rig.outlet.health().retry_spans == 10 + 20 - answer.asked.count("large")
        assert rig.counts.lost_total == 0


def test_retry_info_is_obeyed() -> None:
    with (
        OtlpServer("grpc", answer=[Answer(code="RESOURCE_EXHAUSTED", retry_after=1.5)]) as server,
        rigged(backend(server.endpoint, "grpc")) as rig,
    ):
        rig.offer(5)
        assert rig.flush(), rig.ledger.health()
        assert server.requests[1].at - server.requests[0].at >= 1.5


def test_the_programs_own_random_numbers_are_left_alone(folder: Path) -> None:
    """One that seeds them repeats what it did, however often its backends had to be asked again."""
    before = random.getstate()
    with (
        OtlpServer(answer=[Answer(status=503)] * 3) as server,
        rigged(spooled(backend(server.endpoint), folder)) as rig,
    ):
        rig.offer(5)
        server.wait_for_spans(5, 60)
        wait_for(
            lambda: rig.counts.replayed == 5, 30, "the last of four requests, and a look into an empty spool"
        )
    assert len(server.requests) >= 4
    assert random.getstate() == before


def test_while_a_backend_is_down_there_is_one_trial_request_at_a_time() -> None:
    """Fifty batches wait; the backend sees single trials, then all of them quickly."""
    lock, now, most = threading.Lock(), [0], [0]
    down = threading.Event()
    down.set()

    def answer(request: ReceivedRequest) -> Answer:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)  # part of the fake: a request takes a moment, so that two would overlap
        with lock:
            now[0] -= 1
        return Answer(status=503) if down.is_set() else Answer()

    with (
        OtlpServer(answer=answer) as server,
        rigged(backend(server.endpoint, batch={"max_export_batch_size": 10})) as rig,
    ):
        rig.offer(10)
        wait_for(lambda: rig.outlet.health().retry_spans, 30, "the retry store")
        rig.offer(490)
        wait_for(lambda: rig.outlet.health().retry_spans == 500, 30, "all in the retry store")
        asked = len(server.requests)
        assert asked < 10, "what waits isn't tried"
        server.wait_for_requests(asked + 1, 40)
        assert most == [1]
        down.clear()
        assert rig.flush(15), "without a pause between them, which would come to fifty times half a second"
        assert rig.counts.delivered == 500


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", ["off", "on_failure", "always"])
def test_one_batch_that_never_gets_through_doesn_t_keep_the_others_back(
    protocol: str, mode: str, tmp_path: Path
) -> None:
    """A gateway that times out over one batch alone, always: as if the backend were down, to that one."""

    def answer(request: ReceivedRequest) -> Answer:
        return Answer(status=504 if b"monster" in request.body else 200)

    with OtlpServer(protocol, answer=answer) as server:
        plan = backend(server.endpoint, protocol)
        with rigged(plan if mode == "off" else spooled(plan, tmp_path / "spool", mode)) as rig:
            rig.ledger.seen(1)
            rig.outlet.offer_all([rendition(name="monster")])
            server.wait_for_requests(1, 30)
            for _ in range(10):
                rig.offer(5)
                wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "the queue to empty")
            server.wait_for_spans(50, 60)
            assert "monster" not in {span.name for span in server.spans}
            server.answer = None
            server.wait_for_spans(51, 60)


def test_many_small_batches_are_joined_to_full_requests_when_they_drain() -> None:
    """An outage of a quiet program: its batches of five needn't be as many requests."""
    batch = {"max_export_batch_size": 50}
    with OtlpServer(answer=Answer(status=503)) as server:
        with rigged(backend(server.endpoint, batch=batch)) as rig:
            for _ in range(40):
                rig.offer(5)
                wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "a batch of its own")
            asked = len(server.requests)
            server.answer = None
            assert rig.flush()
            assert rig.counts.delivered == 200
        sizes = [len(request.spans()) for request in server.requests[asked:]]
        # The trial, and perhaps one more that was under way; then full ones.
        assert len(sizes) <= 7, sizes
        assert max(sizes) == 50


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=5), st.data())
def test_what_is_joined_and_fails_goes_back_to_its_own_batch(groups: list[list[int]], data: Any) -> None:
    """With its own age; the same rendition may stand in several batches, and twice in one."""
    known = [rendition() for _ in range(10)]
    batches = [[known[number] for number in group] for group in groups]
    everything = [one for batch in batches for one in batch]
    kept = data.draw(st.lists(st.booleans(), min_size=len(everything), max_size=len(everything)))
    rest = [one for one, keep in zip(everything, kept, strict=True) if keep]
    found = split(batches, rest)
    assert Counter(map(id, rest)) == Counter(id(one) for batch in found for one in batch)
    for batch, mine in zip(batches, found, strict=True):
        assert not Counter(map(id, mine)) - Counter(map(id, batch))


def test_the_store_is_bounded_and_says_what_it_lost() -> None:
    with refused() as url, rigged(backend(url), retry=retry(max_bytes=20_000)) as rig:
        for _ in range(6):
            rig.offer(5, 1000)
            wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "the queue to empty")
        health = rig.outlet.health()
        assert health.retry_bytes <= 20_000
        assert rig.counts.lost["retry_full"] + health.retry_spans == 30
        assert rig.counts.pending == health.retry_spans


def test_what_waits_too_long_is_given_up_and_counted() -> None:
    with refused() as url, rigged(backend(url), retry=retry(max_age=0.3)) as rig:
        rig.offer(5)
        wait_for(lambda: rig.counts.lost.get("too_old") == 5, 30, "the loss")
        assert rig.outlet.health().retry_spans == 0
        assert rig.counts.pending == 0


def test_the_export_timeout_bounds_all_requests_of_a_batch_and_loses_none() -> None:
    """Three requests of 1.5 s in a batch that may take 4 s: the rest goes on from the retry store.

    Only a request that has twice its time is begun, so that a slow machine doesn't cut one off and send it twice.
    """
    batch = {**one_batch(3), "export_timeout": Duration(4)}
    with (
        OtlpServer(answer=Answer(delay=1.5)) as server,
        rigged(backend(server.endpoint, max_request_bytes=12_000, batch=batch)) as rig,
    ):
        rig.offer(3, 10_000)
        wait_for(lambda: rig.outlet.health().retry_spans > 0, 30, "the rest in the retry store")
        assert rig.flush()
        assert rig.counts.delivered == len(server.spans) == 3


def test_a_connection_that_was_closed_while_idle_is_no_failure() -> None:
    with Hostile(close_after_one) as server, rigged(backend(server.url)) as rig:
        for _ in range(4):
            rig.offer(1)
            assert rig.flush()
        assert rig.counts.delivered == 4
        assert rig.ledger.health().last_error == ""


def test_a_request_that_is_made_anew_on_another_connection_is_counted() -> None:
    """Whether the server closed the one before because it was idle, or over this request, nobody knows."""
    made = []

    def take_and_close(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        for number in (1, 2):
            read_request(connection, got)
            made.append(number)
            if number == 1:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with Hostile(take_and_close) as server, rigged(backend(server.url)) as rig:
        for _ in range(2):
            rig.offer(1)
            assert rig.flush()
        assert rig.counts.delivered == 2
        assert made == [1, 2, 1]
        assert rig.counts.requests == 3


def test_a_server_that_says_come_back_at_once_is_not_hammered() -> None:
    """`Retry-After: 0` with every answer: our own backoff stands."""
    with (
        OtlpServer(answer=Answer(status=503, retry_after=0)) as server,
        rigged(backend(server.endpoint)) as rig,
    ):
        rig.offer(1)
        server.wait_for_requests(2, 10)
        started = len(server.requests)
        with pytest.raises(TimeoutError):
            server.wait_for_requests(started + 20, 1)


def test_a_rejection_of_what_was_retried_is_final() -> None:
    with (
        OtlpServer(answer=[Answer(status=503), Answer(status=400)]) as server,
        rigged(backend(server.endpoint)) as rig,
    ):
        rig.offer(3)
        assert rig.flush()
        assert dict(rig.counts.lost) == {"rejected": 3}
        assert rig.ledger.state == "failing"
        rig.offer(3)
        assert rig.flush()
        assert rig.counts.delivered == 3
        assert rig.ledger.state == "ok"
