"""Counts add up, states move legally, reports are true to their word, and telling doesn't flood a log."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.health import (
    REASONS,
    BackendReport,
    Counts,
    Ledger,
    Report,
    Teller,
)
from ajolo_fanout.health.fates import LEGAL_MOVES

FATES = ("filtered", "sampled_out", "delivered", "handed_over", "spooled")


@given(st.lists(st.tuples(st.sampled_from([*FATES, *REASONS]), st.integers(1, 1000)), max_size=40))
def test_seen_is_the_sum_of_all_fates_at_any_moment(steps: list[tuple[str, int]]) -> None:
    ledger = Ledger("one")
    for fate, n in steps:
        ledger.seen(n)
        assert ledger.counts().pending == n
        if fate in REASONS:
            ledger.lost(fate, n)
        else:
            getattr(ledger, fate)(n)
        counts = ledger.counts()
        assert counts.pending == 0
        assert counts.seen == sum(getattr(counts, name) for name in FATES) + sum(counts.lost.values())


def test_many_threads_lose_no_count() -> None:
    ledger = Ledger("one")

    def work() -> None:
        for _ in range(2000):
            ledger.seen()
            ledger.lost("rejected")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ledger.counts().seen, ledger.counts().lost["rejected"]) == (16_000, 16_000)


def test_a_reason_that_nobody_knows_is_our_slip_and_raises() -> None:
    with pytest.raises(KeyError):
        Ledger("one").lost("gone")


def test_counters_can_t_be_changed_from_outside() -> None:
    ledger = Ledger("one")
    ledger.seen()
    ledger.lost("error")
    with pytest.raises(TypeError):
        ledger.counts().lost["error"] = 5  # type: ignore[index]
    with pytest.raises(TypeError):
        report_of(ledger).backends["two"] = BackendReport()  # type: ignore[index]


def report_of(*ledgers: Ledger) -> Report:
    return Report({ledger.backend: ledger.report() for ledger in ledgers})


MOVES = {
    "succeeded": lambda ledger: ledger.succeeded(),
    "retrying": lambda ledger: ledger.retrying("503"),
    "failed": lambda ledger: ledger.failed("403"),
    "noted": lambda ledger: ledger.noted("n"),
    "stopped": lambda ledger: ledger.stopped(),
}


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=20))
def test_states_make_legal_moves_only(moves: list[str]) -> None:
    ledger = Ledger("one")
    assert ledger.state == "starting"
    for move in moves:
        before = ledger.state
        MOVES[move](ledger)
        assert ledger.state == before or ledger.state in LEGAL_MOVES[before]
        if "stopped" in moves[: moves.index(move) + 1]:
            assert ledger.state == "stopped" or "stopped" not in moves


def test_an_answer_after_the_shutdown_moves_nothing() -> None:
    ledger = Ledger("one")
    ledger.stopped()
    ledger.succeeded()
    assert ledger.state == "stopped"
    ledger.reset()
    assert ledger.state == "starting", "a forked child starts again"


def test_health_tells_when_and_what() -> None:
    times = iter([10.0, 20.0])
    ledger = Ledger("one", now=lambda: next(times))
    ledger.seen(3)
    ledger.succeeded()
    ledger.failed("403 Forbidden")
    health = ledger.health()
    assert (health.state, health.last_success, health.last_error_at) == ("failing", 10.0, 20.0)
    assert health.last_error == "403 Forbidden"
    assert str(health) == "failing: 0 delivered of 3 seen, 3 pending; last error: 403 Forbidden"
    assert health.to_dict()["counts"]["pending"] == 3


def test_a_report_is_truthy_only_if_nothing_was_lost_since_the_last_and_nothing_is_pending() -> None:
    ledger = Ledger("one")
    assert report_of(ledger)
    ledger.seen(3)
    assert not report_of(ledger), "pending"
    ledger.delivered(2)
    ledger.lost("rejected")
    ledger.failed("403")
    report = report_of(ledger)
    assert not report
    one = report.backends["one"]
    assert (one.delivered, dict(one.lost), one.pending, one.error) == (2, {"rejected": 1}, 0, "403")
    again = report_of(ledger)
    assert again, "told once"
    assert again.backends["one"] == BackendReport()


def test_one_bad_backend_makes_the_whole_report_falsy() -> None:
    good, bad = Ledger("good"), Ledger("bad")
    bad.seen()
    report = report_of(good, bad)
    assert not report
    assert report.backends["good"]
    assert str(report) == "good: 0 delivered\nbad: 0 delivered, 1 pending"
    assert Report()


def test_a_fork_starts_every_count_from_zero() -> None:
    ledger = Ledger("one")
    ledger.seen(3)
    ledger.lost("error", 3)
    ledger.failed("x")
    ledger.reset()
    assert ledger.counts() == Counts()
    assert ledger.health().last_error == ""
    assert report_of(ledger)


def test_counts_subtract() -> None:
    later, earlier = Counts(seen=5, lost={"error": 2, "rejected": 1}), Counts(seen=2, lost={"error": 2})
    assert later - earlier == Counts(seen=3, lost={"rejected": 1})
    later = Counts(redacted_by={"email": 5, "drop": 2})
    assert later - Counts(redacted_by={"email": 3, "drop": 2}) == Counts(redacted_by={"email": 2})


def test_what_was_redacted_is_counted_by_reason() -> None:
    """The total is their sum, whoever reads it; a fork starts them from zero."""
    ledger = Ledger("one")
    ledger.redacted({"email": 2, "drop": 1})
    before = ledger.counts()
    ledger.redacted({"email": 1, "failed": 4})
    counts = ledger.counts()
    assert (dict(before.redacted_by), before.redacted) == ({"email": 2, "drop": 1}, 3)
    assert (dict(counts.redacted_by), counts.redacted) == ({"email": 3, "drop": 1, "failed": 4}, 8)
    plain = ledger.health().to_dict()["counts"]
    assert (plain["redacted"], plain["redacted_by"]) == (8, {"email": 3, "drop": 1, "failed": 4})
    with pytest.raises(TypeError):
        counts.redacted_by["email"] = 0  # type: ignore[index]
    ledger.reset()
    assert dict(ledger.counts().redacted_by) == {}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "ajolo_fanout.tests")
    return lambda: [record.getMessage() for record in caplog.records]


def test_one_line_a_minute_for_each_backend_and_cause_with_what_was_held_back(told: Any) -> None:
    clock = Clock()
    teller = Teller(logging.getLogger("ajolo_fanout.tests"), clock=clock)
    assert teller.say("a", "rejected 403", "first", n=5)
    assert not teller.say("a", "rejected 403", "second", n=7)
    assert teller.say("a", "rejected 500", "another cause")
    assert teller.say("b", "rejected 403", "another backend")
    clock.now += 59.9
    assert not teller.say("a", "rejected 403", "third", n=1)
    clock.now += 0.2
    assert teller.say("a", "rejected 403", "fourth")
    assert told() == [
        "a: first",
        "a: another cause",
        "b: another backend",
        "a: fourth (8 more spans since the last such line)",
    ]


def test_what_is_held_back_is_told_at_the_end(told: Any) -> None:
    teller = Teller(logging.getLogger("ajolo_fanout.tests"), clock=Clock())
    teller.say("a", "x", "one")
    teller.say("a", "x", "two", n=4)
    teller.say("b", "x", "three")
    teller.tell_rest("a")
    teller.tell_rest("a")
    assert told()[2:] == ["a: two (4 spans since the last such line)"]


def test_what_is_told_at_the_end_counts_in_its_own_unit_and_leaves_out_what_no_longer_holds(
    told: Any,
) -> None:
    """A stopped program sends nothing again, and one span tried nine times is one span."""
    teller = Teller(logging.getLogger("ajolo_fanout.tests"), clock=Clock())
    for cause in ("retry 503", "kept 401"):
        teller.say("a", cause, "first", unit="request")
        teller.say("a", cause, "second", unit="request")
    teller.tell_rest("a", without="retry")
    assert told()[2:] == ["a: second (1 request since the last such line)"]


def test_what_is_said_once_is_said_once(told: Any) -> None:
    teller = Teller(logging.getLogger("ajolo_fanout.tests"))
    assert teller.say_once("k", "the file is tracing.toml", level=logging.INFO)
    assert not teller.say_once("k", "again")
    assert told() == ["the file is tracing.toml"]
