"""The gate bounds spans and bytes, and each span gets one fate."""

from __future__ import annotations

import logging
import threading
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.hostile import Hostile, hang_on_answer
from tests.delivery.support import PROTOCOLS, backend, rendition, rigged

from ajolo_fanout.delivery.gate import Gate, Place
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.testing.server import wait_for
from ajolo_fanout.values import Duration, Size


def test_refused_spans_are_counted_to_the_span_and_said_with_the_option(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "ajolo_fanout")
    batch = {"max_queue_size": 100, "max_export_batch_size": 10}
    with Hostile(hang_on_answer) as server, rigged(backend(server.url, timeout=30, batch=batch)) as rig:
        rig.offer(1000)
        assert rig.counts.lost == {"queue_full": 900}
        assert rig.counts.pending == rig.outlet.health().queued_spans == 100
        full = [record.getMessage() for record in caplog.records if "max_queue_size" in record.getMessage()]
        assert len(full) == 1, "at most one line a minute"
        assert not [record for record in caplog.records if "Queue full" in record.getMessage()], (
            "not the SDK's"
        )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_memory_of_a_stalled_backend_stays_under_max_queue_bytes(protocol: str) -> None:
    """Spans of 200 KB, ten times as many as fit; the request under way included."""
    bound = 16 * 1024**2
    batch = {"max_queue_bytes": Size(bound), "schedule_delay": Duration(0.02)}
    with (
        Hostile(hang_on_answer) as server,
        rigged(backend(server.url, protocol, timeout=30, compression="gzip", batch=batch)) as rig,
    ):
        rig.offer(1)  # whatever is imported and built once
        wait_for(lambda: rig.counts.requests, 30, "the first request")
        tracemalloc.start()
        try:
            for _ in range(800):
                rig.offer(1, 200_000)
            current, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        health = rig.outlet.health()
        assert health.queued_bytes <= bound
        assert current < bound
        assert peak < bound + 2 * 200_000  # the span that is being made
        assert rig.counts.lost["queue_full"] == 801 - health.queued_spans


def test_a_span_is_settled_once_whoever_comes_first() -> None:
    gate = Gate(10, 1000, 1000)
    fates: list[str] = []
    one = rendition()

    def refused(why: str, count: int) -> None:
        fates.append(f"{why} {count}")

    assert gate.admit([one], refused) == [one]
    gate.close(lambda lost, on_disk: fates.append(f"shutdown {lost} {on_disk}"))
    assert not gate.settle("queue", 1, one.size, lambda: fates.append("delivered"))
    assert not gate.keep("queue", 1, one.size, lambda: fates.append("retry_full"))
    assert not gate.written_ahead(1, one.size)
    gate.close(lambda *_: fates.append("again"))
    assert not gate.admit([one, one], refused)
    assert fates == ["shutdown 1 0", "closed 2"]


def test_what_is_written_ahead_counts_for_the_queue_and_is_left_on_disk_at_the_end() -> None:
    gate = Gate(3, 1000, 1000)
    spans = [rendition() for _ in range(3)]
    refused: list[tuple[str, int]] = []
    assert gate.admit(spans, lambda *why: refused.append(why)) is spans
    assert gate.written_ahead(2, spans[0].size + spans[1].size)
    assert not gate.admit(spans[:1], lambda *why: refused.append(why))
    assert refused == [("full", 1)]
    ends: list[tuple[int, int]] = []
    gate.close(lambda *end: ends.append(end))
    assert ends == [(1, 2)]


def test_of_a_chunk_those_are_let_in_that_fit_each_in_its_turn() -> None:
    """As if they had come one by one: a span that is too large doesn't keep the next one out."""
    small, large = rendition(), rendition(500)
    gate = Gate(3, 400, 1000)
    refused: list[tuple[str, int]] = []
    chunk = [small, large, small, small, small, large]
    assert gate.admit(chunk, lambda *why: refused.append(why)) == [small, small, small]
    assert refused == [("full", 3)]
    assert (gate.spans("queue"), gate.bytes("queue")) == (3, 3 * small.size)


STEPS = ("admit", "deliver", "ahead", "move", "resend", "close")


class Accounts:
    """A gate, and what must be in each of its places."""

    def __init__(self) -> None:
        self.gate = Gate(20, 1500, 800)
        self.admitted = self.refused = self.settled = 0
        self.inside: dict[str, list[int]] = {"queue": [], "ahead": [], "retry": []}

    def admit(self, sizes: list[int]) -> None:
        chunk, before = [rendition(size) for size in sizes], self.refused
        let_in = self.gate.admit(chunk, self._refused)
        assert len(let_in) == len(chunk) - (self.refused - before)
        self.admitted += len(let_in)
        self.inside["queue"] += [one.size for one in let_in]

    def deliver(self, _: list[int]) -> None:
        self._settle("ahead" if self.inside["ahead"] else "queue")

    def resend(self, _: list[int]) -> None:
        self._settle("retry")

    def ahead(self, _: list[int]) -> None:
        self._move("ahead", lambda size: self.gate.written_ahead(1, size))

    def move(self, _: list[int]) -> None:
        self._move("retry", lambda size: self.gate.keep("queue", 1, size, self._settled))

    def close(self, _: list[int]) -> None:
        self.gate.close(lambda lost, on_disk: self._settled(lost + on_disk))

    def _settle(self, place: Place) -> None:
        if self.inside[place]:
            self.gate.settle(place, 1, self.inside[place].pop(), self._settled)

    def _move(self, to: str, move: Callable[[int], bool]) -> None:
        if self.inside["queue"]:
            size = self.inside["queue"].pop()
            if move(size):
                self.inside[to].append(size)

    def _refused(self, why: str, n: int) -> None:
        self.refused += n

    def _settled(self, n: int = 1) -> None:
        self.settled += n


@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.lists(st.integers(0, 50), min_size=1, max_size=8)),
        max_size=60,
    )
)
def test_what_is_admitted_is_inside_or_has_its_fate(steps: list[tuple[str, list[int]]]) -> None:
    accounts = Accounts()
    gate = accounts.gate
    for step, sizes in steps:
        getattr(accounts, step)(sizes)
        inside = gate.spans("queue") + gate.spans("ahead") + gate.spans("retry")
        assert accounts.admitted == inside + accounts.settled
        assert gate.spans("queue") + gate.spans("ahead") <= 20
        assert gate.bytes("queue") + gate.bytes("ahead") <= 1500
        assert gate.bytes("retry") <= 800


class Breaks(list[Rendition]):
    """A queue of the SDK's that takes so many spans, and then raises."""

    def __init__(self, takes: int) -> None:
        self.takes = takes

    def on_end(self, span: Rendition) -> None:
        if len(self) == self.takes:
            raise RuntimeError("a slip")
        self.append(span)


def test_offering_never_raises_and_what_the_processor_didn_t_take_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Hostile(hang_on_answer) as server, rigged(backend(server.url)) as rig:
        processor, rig.outlet.processor = rig.outlet.processor, Breaks(3)
        rig.offer(10)
        rig.outlet.processor = processor
        assert dict(rig.counts.lost) == {"error": 7}
        assert rig.outlet.health().queued_spans == 3
        assert "a slip" in caplog.text


def test_many_threads_may_offer_and_every_span_is_accounted_for() -> None:
    batch = {"max_queue_size": 500, "max_export_batch_size": 50}
    with Hostile(hang_on_answer) as server, rigged(backend(server.url, timeout=30, batch=batch)) as rig:
        threads = [threading.Thread(target=rig.offer, args=(300,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rig.counts.lost["queue_full"] == 2400 - 500
        assert rig.counts.pending == 500
        rig.shutdown(0)
        assert rig.counts.pending == 0
        assert rig.counts.lost["shutdown"] == 500
