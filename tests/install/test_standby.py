"""The thread that stands by: what it is asked for happens once, whoever asks, and whenever."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from ajolo_fanout.standby import Standby
from ajolo_fanout.testing import wait_for


def soon() -> float:
    return time.monotonic() + 10


def test_a_call_runs_on_the_standing_thread() -> None:
    standby = Standby("standby-test")
    where: list[str] = []
    assert standby.call(lambda: where.append(threading.current_thread().name)).wait(soon())
    assert where == ["standby-test"]
    standby.stop()


def test_waiting_ends_at_the_deadline_and_several_may_wait() -> None:
    standby = Standby("standby-test")
    go = threading.Event()
    pending = standby.call(go.wait)
    before = time.monotonic()
    assert not pending.wait(before + 0.05)
    assert time.monotonic() - before < 5
    go.set()
    assert pending.wait(soon())
    assert pending.wait(soon()), "a second look says the same"
    standby.stop()


def test_what_a_call_raises_is_logged_and_the_thread_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    standby = Standby("standby-test")

    def fail() -> None:
        raise ValueError("on purpose")

    with caplog.at_level(logging.ERROR, "ajolo_fanout"):
        assert standby.call(fail).wait(soon())
    assert "on purpose" in caplog.text
    assert standby.call(lambda: None).wait(soon())
    standby.stop()


def test_a_call_from_within_a_call_runs_at_once() -> None:
    standby = Standby("standby-test")
    seen: list[bool] = []
    assert standby.call(lambda: seen.append(standby.call(lambda: None).wait(soon()))).wait(soon())
    assert seen == [True]
    standby.stop()


def test_calls_that_meet_the_stop_run_all_the_same() -> None:
    """However a call and `stop()` interleave, the call's waiter isn't left waiting."""

    def ask(standby: Standby, results: list[bool]) -> None:
        results.append(standby.call(lambda: None).wait(soon()))

    for _ in range(200):
        standby, results = Standby("standby-test"), []
        asking = threading.Thread(target=ask, args=(standby, results))
        asking.start()
        standby.stop()
        asking.join()
        assert results == [True]
        assert standby.call(lambda: None).wait(soon()), "after the stop, too"


def test_the_thread_ends_after_stop() -> None:
    standby = Standby("standby-that-ends")
    standby.stop()
    wait_for(lambda: all(one.name != "standby-that-ends" for one in threading.enumerate()))
