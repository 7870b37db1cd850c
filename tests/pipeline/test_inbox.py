"""The inbox: bounded, exact in what it counts, asleep when idle."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

from ajolo_fanout.pipeline.inbox import Inbox, Mark


def test_the_newest_beyond_the_capacity_is_refused_and_counted() -> None:
    inbox = Inbox(3)
    assert [inbox.put(n) for n in range(5)] == [True, True, True, False, False]
    assert inbox.refused == 2
    assert len(inbox) == 3
    assert inbox.take(10) == ([0, 1, 2], None)
    assert inbox.put(5)


def test_refusals_are_counted_to_the_span_from_many_threads() -> None:
    inbox = Inbox(100)
    taken: list[Any] = []
    accepted: list[int] = []
    done = threading.Event()

    def put() -> None:
        accepted.append(sum(inbox.put(object()) for _ in range(3000)))

    def take() -> None:
        while not done.is_set() or len(inbox):
            taken.extend(inbox.take(7)[0])

    threads = [threading.Thread(target=put) for _ in range(8)]
    reader = threading.Thread(target=take)
    reader.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    assert len(taken) == sum(accepted)
    assert inbox.refused == 8 * 3000 - sum(accepted)


def test_a_mark_stands_behind_what_was_put_before_it() -> None:
    inbox = Inbox(1)
    mark = Mark()
    inbox.put(1)
    inbox.mark(mark)  # whatever the capacity
    assert inbox.take(10) == ([1], mark)
    assert inbox.take(10) == ([], None)


def test_a_closed_inbox_counts_what_comes_late_apart() -> None:
    inbox = Inbox(5)
    inbox.put(1)
    inbox.close()
    assert not inbox.put(2)
    assert (inbox.refused, inbox.late, len(inbox)) == (0, 1, 1)


def test_an_idle_reader_sleeps_until_the_first_span_and_then_gathers() -> None:
    inbox = Inbox(100)
    woken: list[tuple[float, float]] = []

    def read() -> None:
        inbox.wait(full=50, gather=0.2)
        woken.append((time.monotonic(), time.thread_time()))

    reader = threading.Thread(target=read)
    reader.start()
    assert not _ended(reader, 0.3), "nothing is there"
    first = time.monotonic()
    inbox.put(1)
    reader.join(20)
    [(at, busy)] = woken
    assert at - first >= 0.15, "it waited for company"
    assert busy < 0.25, "asleep, not polling"


def test_a_full_chunk_or_a_mark_ends_the_gathering_at_once() -> None:
    for fill in (lambda inbox: [inbox.put(n) for n in range(50)], lambda inbox: inbox.mark(Mark())):
        inbox = Inbox(100)
        reader = threading.Thread(target=inbox.wait, args=(50, 1000.0))
        reader.start()
        inbox.put(0)
        fill(inbox)
        assert _ended(reader, 20)


def test_a_wake_up_is_never_missed() -> None:
    """One span at a time, each waited for: a lost wake-up would hang."""
    inbox = Inbox(10)
    got = threading.Semaphore(0)

    def read() -> None:
        for _ in range(2000):
            inbox.wait(1, 0)
            while not inbox.take(10)[0]:
                inbox.wait(1, 0)
            got.release()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for number in range(2000):
            inbox.put(number)
            assert got.acquire(timeout=20), f"span {number} never woke the reader"
    finally:
        sys.setswitchinterval(switch)


def test_a_signal_handler_may_end_a_span_in_the_middle_of_a_put() -> None:
    inbox = Inbox(50)
    stop = threading.Event()
    puts = [0, 0]

    def read() -> None:
        while not stop.is_set():
            inbox.wait(50, 0)
            inbox.take(1000)

    def handler(*_: object) -> None:
        puts[1] += 1
        inbox.put("from the handler")

    reader = threading.Thread(target=read, daemon=True)
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    reader.start()
    try:
        limit = time.monotonic() + 20
        while puts[1] < 200 and time.monotonic() < limit:
            inbox.put("from the program")
            puts[0] += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        stop.set()
        inbox.mark(Mark())
        reader.join(20)
    assert puts[1] >= 200
    assert not reader.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_begins_empty_at_zero() -> None:
    inbox = Inbox(1)
    inbox.put(1)
    inbox.put(2)
    inbox.close()
    inbox.after_fork()
    assert (len(inbox), inbox.refused, inbox.late) == (0, 0, 0)
    assert inbox.put(1)


def _ended(thread: threading.Thread, seconds: float) -> bool:
    thread.join(seconds)
    return not thread.is_alive()
