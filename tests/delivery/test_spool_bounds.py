"""A spool that is full, too old or broken costs what it must and nothing else, and all of it is counted."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from tests.delivery.hostile import refused
from tests.delivery.support import Rig, backend, one_batch, rendition, retry, rigged, spooled
from tests.delivery.test_spooling import MODES, adds_up, on_disk

from ajolo_fanout.delivery import spooling
from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for
from ajolo_fanout.values import Size


@pytest.mark.parametrize("mode", MODES)
def test_a_disk_that_can_t_be_written_costs_the_spool_only(
    mode: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file where the folder should be")
    script = [Answer(status=503)]
    with OtlpServer(answer=script) as server, rigged(spooled(backend(server.endpoint), folder, mode)) as rig:
        rig.offer(20)
        assert rig.flush(10), rig.ledger.health()
        assert (rig.counts.delivered, rig.counts.spooled, rig.counts.lost_total) == (20, 0, 0)
        rig.offer(5)
        assert rig.flush()
        assert rig.counts.delivered == 25
    told = [record.getMessage() for record in caplog.records if "spool" in record.getMessage()]
    assert told
    assert len(told) <= 2, told


def spool_five(rig: Rig, folder: Path) -> None:
    """Spans that are on disk, with nobody at work there any more."""
    rig.offer(5)
    wait_for(lambda: rig.counts.spooled == 5, 30, "the spool")
    wait_for(lambda: not survey(folder).listings[0].fill.sending, 30, "the end of the write")


def test_a_spool_that_vanishes_while_it_is_used_costs_nothing_else(folder: Path) -> None:
    with refused() as url, rigged(spooled(backend(url), folder)) as rig:
        spool_five(rig, folder)
        shutil.rmtree(folder)
        folder.write_text("gone")
        rig.offer(5)
        wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "the queue to empty")
        assert rig.outlet.health().retry_spans == 5, "in memory, as without a spool"
        assert adds_up(rig)


@pytest.mark.usefixtures("time_for_the_disk")
@pytest.mark.parametrize("end", ["shutdown", "none"])
def test_what_a_disk_that_failed_had_to_leave_in_memory_goes_there_once_it_works_again(
    end: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the program however short the disk's rest was, and without one before a kill can take it."""
    if end == "none":
        monkeypatch.setattr(spooling, "_REST", 1.0)
    aside = folder.with_name("aside")
    with refused() as url, rigged(spooled(backend(url), folder)) as rig:
        spool_five(rig, folder)
        folder.rename(aside)
        folder.write_text("gone")
        rig.offer(7)
        wait_for(lambda: rig.outlet.health().retry_spans == 7, 30, "those in memory")
        folder.unlink()
        aside.rename(folder)
        if end == "shutdown":
            assert rig.shutdown(5), rig.ledger.health()
        wait_for(lambda: rig.counts.spooled == 12, 30, "all on disk")
        assert rig.counts.lost_total == rig.counts.pending == 0
        assert on_disk(folder) == 12


def test_what_a_full_disk_had_to_leave_in_memory_goes_there_once_there_is_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spooling, "_REST", 1.0)
    with refused() as url, rigged(spooled(backend(url), folder)) as rig:
        with monkeypatch.context() as full:
            full.setattr("ajolo_fanout.delivery.spool.folder.free_bytes", lambda _: 1024**2)
            rig.offer(7)
            wait_for(lambda: rig.outlet.health().retry_spans == 7, 30, "those in memory")
            # In the log: what the backend says next may be the last error by now.
            assert "leaves the last 16MiB of the disk alone" in caplog.text
        wait_for(lambda: rig.counts.spooled == 7, 30, "all on disk")
        assert rig.counts.lost_total == rig.counts.pending == 0
        assert on_disk(folder) == 7


@pytest.mark.usefixtures("time_for_the_disk")
def test_what_is_sent_again_from_memory_at_the_deadline_goes_to_a_disk_that_works_again(folder: Path) -> None:
    """It was put off while the disk failed, and the backend hangs over it when sending ends."""
    seen: list[ReceivedRequest] = []

    def answer(request: ReceivedRequest) -> Answer:
        seen.append(request)
        return Answer(status=503) if len(seen) == 1 else Answer(hang=True)

    folder.write_text("a file where the folder should be")
    with (
        OtlpServer(answer=answer) as server,
        rigged(spooled(backend(server.endpoint, timeout=60, batch=one_batch(7)), folder)) as rig,
    ):
        rig.offer(7)
        wait_for(lambda: len(seen) == 2, 30, "the second try")
        assert rig.outlet.health().retry_spans == 7
        folder.unlink()
        assert rig.shutdown(10), rig.ledger.health()
        assert (rig.counts.spooled, rig.counts.lost_total, rig.counts.pending) == (7, 0, 0)
        assert on_disk(folder) == 7


def test_a_full_spool_of_the_newest_kind_leaves_the_rest_in_memory_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with refused() as url:
        plan = spooled(backend(url), folder, max_bytes=Size(65536), when_full="drop_newest")
        with rigged(plan, retry=retry(max_bytes=150_000)) as rig:
            for _ in range(12):
                rig.ledger.seen(4)
                rig.outlet.offer_all([rendition(name=os.urandom(6000).hex()) for _ in range(4)])
                wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "the queue to empty")
            counts, health = rig.counts, rig.outlet.health()
            assert counts.spooled == on_disk(folder) > 0
            assert counts.lost["spool_full"] > 0
            assert health.retry_spans == counts.pending > 0
            assert adds_up(rig)
    assert "the spool takes no more: the spool is full (max_bytes = 64KiB)" in caplog.text


def test_a_full_spool_of_the_oldest_kind_gives_up_what_has_waited_longest(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its fate was `spooled`: the ledger keeps it, the spool counts the loss, and the operator is told."""
    with refused() as url:
        plan = spooled(backend(url), folder, max_bytes=Size(65536))
        with rigged(plan) as rig:
            for _ in range(12):
                rig.ledger.seen(4)
                rig.outlet.offer_all([rendition(name=os.urandom(6000).hex()) for _ in range(4)])
                wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "the queue to empty")
            assert (rig.counts.spooled, rig.counts.lost_total) == (48, 0)
            [listing] = survey(folder).listings
            assert listing.fill.held.spans + listing.fill.lost["spool_full"].spans == 48
    assert "spans that had waited longest were given up" in caplog.text


def test_in_a_full_spool_what_is_left_of_a_batch_is_there_once(folder: Path) -> None:
    """All of it is being sent, so nothing could make room: what was taken isn't sent again all the same."""
    batch = one_batch(8)
    with refused() as url, rigged(spooled(backend(url, batch=batch), folder, max_bytes=Size(65536))) as rig:
        rig.ledger.seen(8)
        rig.outlet.offer_all([rendition(name=os.urandom(6500).hex()) for _ in range(8)])
        wait_for(lambda: rig.counts.spooled == 8, 30, "the spool")
    script = [Answer(status=413), Answer(), Answer(status=503)]
    with (
        OtlpServer(answer=script) as server,
        rigged(spooled(backend(server.endpoint), folder, max_bytes=Size(65536))) as rig,
    ):
        wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
        assert len(server.spans) == rig.counts.replayed == 8


@pytest.mark.parametrize("mode", MODES)
def test_what_a_slow_disk_took_too_late_for_a_shutdown_is_not_left_there(mode: str, folder: Path) -> None:
    """It was reported as lost: nothing of it may arrive later."""
    with refused() as url, rigged(spooled(backend(url), folder, mode)) as rig:
        rig.offer(5)
        wait_for(lambda: rig.counts.spooled == 5, 30, "the spool")
        [listing] = survey(folder).listings
        with contextlib.closing(sqlite3.connect(listing.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            rig.offer(7)
            assert not rig.flush(1), "the disk has them now, and keeps them waiting"
            assert not rig.shutdown(0.5)
            assert dict(rig.counts.lost) == {"shutdown": 7}
            other.execute("ROLLBACK")
        wait_for(lambda: not at_work("ajolo_fanout-redelivery-one"), 30, "the end of its thread")
        assert on_disk(folder) == rig.counts.spooled == 5


def at_work(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


def test_what_is_too_old_is_given_up_from_the_disk(folder: Path) -> None:
    with refused() as url, rigged(spooled(backend(url), folder, max_age=0.3)) as rig:
        rig.offer(5)
        wait_for(lambda: rig.counts.spooled == 5, 30, "the spool")
        wait_for(lambda: on_disk(folder) == 0, 60, "the end of its time")
        [listing] = survey(folder).listings
        assert listing.fill.lost["too_old"].spans == 5
