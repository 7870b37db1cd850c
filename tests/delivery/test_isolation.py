"""Whatever one backend's sender does, it harms neither the program nor another backend, and is counted."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from tests.delivery.support import backend, rendition, rigged

from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.delivery.outlet import Outlet, shutdown_all
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for


class Raises:
    """A sender with a slip of ours in it."""

    def start(self) -> None:
        """Nothing to begin."""

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:
        raise RuntimeError("a slip")

    def may_have_arrived(self, thread: int) -> bool:
        return False

    def abort(self) -> None:
        """Nothing to end."""

    def forsake(self) -> None:
        """No connection."""

    def close(self) -> None:
        """Nothing to close."""


class Sleeps(Raises):
    """A sender that comes back when it likes."""

    def __init__(self) -> None:
        self.awake = threading.Event()

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:
        self.awake.wait(30)
        return Outcome("delivered")


def test_a_sender_that_raises_loses_its_batch_as_error_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "ajolo_fanout")
    ledger = Ledger("one")
    outlet = Outlet(backend("http://127.0.0.1:1"), ledger, sender=Raises())
    for round_ in (1, 2):
        ledger.seen(5)
        for _ in range(5):
            outlet.offer_all([rendition()])
        assert outlet.flush(time.monotonic() + 5)
        assert dict(ledger.counts().lost) == {"error": 5 * round_}
    assert "a slip" in caplog.text
    assert outlet.shutdown(time.monotonic() + 5)


def test_a_sender_that_never_comes_back_is_left_behind_at_the_deadline() -> None:
    """Not even an abort helps here; what it holds is counted once, also when it comes back after all."""
    ledger, sender = Ledger("one"), Sleeps()
    outlet = Outlet(backend("http://127.0.0.1:1"), ledger, sender=sender)
    ledger.seen(5)
    for _ in range(5):
        outlet.offer_all([rendition()])
    wait_for(lambda: ledger.counts().requests, 30, "the request")
    started = time.monotonic()
    assert not outlet.shutdown(started + 0.2)
    assert time.monotonic() - started < 5, "it never comes back by itself"
    sender.awake.set()
    outlet.shutdown(time.monotonic() + 5)  # waits for the stopper, and so for the sender
    assert dict(ledger.counts().lost) == {"shutdown": 5}
    assert (ledger.counts().delivered, ledger.state) == (0, "stopped")


def test_four_backends_get_everything_beside_one_that_answers_500_for_ever() -> None:
    """And everything is offered before it has answered for the first time: the program waits for no backend."""
    offered = threading.Event()

    def refuse(_: ReceivedRequest) -> Answer:
        assert offered.wait(60), "offering waits for an answer"
        return Answer(status=500)

    with OtlpServer(answer=refuse) as bad, OtlpServer() as good:
        plans = [backend(good.endpoint, name=str(n)) for n in range(4)]
        with rigged(backend(bad.endpoint, name="bad", timeout=60), *plans) as rigs:
            for _ in range(50):
                for rig in rigs:
                    rig.offer(4)
            offered.set()
            assert shutdown_all([rig.outlet for rig in rigs], time.monotonic() + 30)
            assert [rig.counts.delivered for rig in rigs] == [0, 200, 200, 200, 200]
            assert dict(rigs[0].counts.lost) == {"rejected": 200}
            assert len(good.spans) == 800
