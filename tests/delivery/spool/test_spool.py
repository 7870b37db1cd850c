"""One process, one spool: what goes in comes out, the oldest first, and every answer is true."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from tests.delivery.spool.support import NOW, Clock, bodies, database, spool

from ajolo_fanout.delivery.spool import Tally, survey
from ajolo_fanout.delivery.spool.store import ROW_BYTES


def test_what_was_put_comes_out_the_oldest_first_with_its_age(tmp_path: Path) -> None:
    clock = Clock()
    one = spool(tmp_path / "spool", clock=clock)
    for created in (NOW - 10, NOW - 30, NOW - 20):
        assert one.put(f"{created}".encode() * 1000, 3, created)
    lease = one.lease(3)
    assert [batch.age for batch in lease.batches] == [30, 20, 10]
    assert [batch.ticket.spans for batch in lease.batches] == [3, 3, 3]
    assert lease.batches[0].body == f"{NOW - 30}".encode() * 1000
    assert lease.due is None
    assert not lease.message


def test_bodies_are_compressed_on_disk_and_the_bound_counts_what_is_there(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    one.put(b"prompt " * 10_000, 1, NOW)
    assert one.fill().held.bytes < 5_000
    noise = os.urandom(10_000)
    one.put(noise, 1, NOW)
    assert one.fill().held.bytes > 10_000 + ROW_BYTES
    assert bodies(one) == [b"prompt " * 10_000, noise]


def test_a_leased_batch_is_nobody_else_s(tmp_path: Path) -> None:
    first, second = spool(tmp_path / "spool"), spool(tmp_path / "spool")
    first.put(b"one", 1, NOW)
    [batch] = first.lease(5).batches
    assert not second.lease(5).batches
    assert not second.done(batch.ticket)
    assert first.done(batch.ticket)
    assert not first.done(batch.ticket)
    assert not first.fill().held


def test_closing_gives_the_leases_up(tmp_path: Path) -> None:
    first, second = spool(tmp_path / "spool"), spool(tmp_path / "spool")
    first.put(b"one", 1, NOW)
    first.lease()
    first.close()
    assert [batch.ticket.attempts for batch in second.lease().batches] == [2]
    assert "closed" in first.put(b"two", 1, NOW).message


def test_written_ahead_a_batch_is_its_writer_s_until_it_is_done(tmp_path: Path) -> None:
    """`spool = "always"`."""
    first, second = spool(tmp_path / "spool"), spool(tmp_path / "spool")
    put = first.put(b"one", 7, NOW, hold=True)
    assert put.ticket is not None
    assert not second.lease(5).batches
    assert not first.lease(5).batches
    fill = second.fill()
    assert (fill.held.spans, fill.sending.spans) == (7, 7)
    assert first.done(put.ticket)
    assert not second.fill().held


def test_a_released_batch_waits_as_long_as_it_was_told(tmp_path: Path) -> None:
    clock = Clock()
    one, other = spool(tmp_path / "spool", clock=clock), spool(tmp_path / "spool", clock=clock)
    one.put(b"one", 1, NOW)
    [batch] = one.lease().batches
    assert one.release(batch.ticket, NOW + 120)
    assert other.lease().due == 120
    clock.now += 119.5
    assert not other.lease().batches
    clock.now += 0.5
    [again] = other.lease().batches
    assert again.ticket.attempts == 2


def test_while_the_server_wants_to_be_left_alone_nobody_is_given_anything(tmp_path: Path) -> None:
    """What was there, what comes, and whoever asks; of several times the last to end counts."""
    clock = Clock()
    one, other = (spool(tmp_path / "spool", clock=clock, max_age=1000.0) for _ in range(2))
    one.put(b"one", 1, NOW)
    assert one.leave_alone(120) == other.leave_alone(60) == ""
    one.close()
    other.put(b"two", 1, NOW)
    lease = other.lease(5)
    assert (lease.batches, lease.due, lease.left_alone) == ((), 120, 120)
    clock.now += 119.5
    assert (other.lease(5).batches, other.lease(5).left_alone) == ((), 0.5)
    clock.now += 0.5
    assert other.lease(5).left_alone == 0
    assert other.fill().sending.batches == 2


def test_a_server_is_left_alone_no_longer_than_a_batch_may_wait(tmp_path: Path) -> None:
    clock = Clock()
    one = spool(tmp_path / "spool", clock=clock, max_age=1000.0)
    one.put(b"one", 1, NOW)
    one.leave_alone(1e12)
    assert one.lease().left_alone == 1000
    clock.now += 1000
    assert bodies(one) == [b"one"]


def test_a_word_of_the_server_s_that_is_over_holds_back_no_later_one(tmp_path: Path) -> None:
    """It named a time beyond what a batch may wait; asked again after that, it names a shorter one."""
    clock = Clock()
    one, other = (spool(tmp_path / "spool", clock=clock, max_age=1000.0) for _ in range(2))
    one.leave_alone(86400)
    clock.now += 1000
    one.put(b"one", 1, clock.now)
    one.leave_alone(60)
    assert (other.lease().batches, other.lease().left_alone) == ((), 60)
    clock.now += 60
    assert bodies(other) == [b"one"]


def test_what_somebody_wakes_is_tried_whatever_the_server_said(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    one.put(b"one", 1, NOW)
    one.leave_alone(120)
    assert not one.lease().batches
    assert one.wake() == ""
    assert len(one.lease().batches) == 1


def test_a_clock_that_is_set_back_keeps_nothing_any_longer(tmp_path: Path) -> None:
    clock = Clock()
    one = spool(tmp_path / "spool", clock=clock)
    one.put(b"one", 1, NOW)
    [batch] = one.lease().batches
    assert one.release(batch.ticket, NOW + 120)
    one.leave_alone(60)
    clock.now -= 3600
    assert one.lease().left_alone == 60
    clock.now += 60
    assert bodies(one) == [b"one"]


@pytest.mark.parametrize("value", ["", "[1]", '["a", "b"]', "[NaN, NaN]", "[1e999, -1e999]", "{}"])
def test_a_damaged_word_of_the_server_s_counts_for_nothing(tmp_path: Path, value: str) -> None:
    one = spool(tmp_path / "spool")
    one.put(b"one", 1, NOW)
    one.leave_alone(120)
    with sqlite3.connect(database(tmp_path / "spool")) as connection:
        connection.execute("UPDATE about SET value = ? WHERE key = 'left_alone'", (value,))
    connection.close()
    assert bodies(one) == [b"one"]


def test_more_that_may_be_sent_now_is_due_now(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    one.put(b"one", 1, NOW)
    one.put(b"two", 1, NOW)
    assert one.lease(1).due == 0
    assert one.lease(1).due is None


def test_what_waited_longer_than_the_backend_accepts_is_given_up_and_counted(tmp_path: Path) -> None:
    clock = Clock()
    one = spool(tmp_path / "spool", clock=clock, max_age=3600.0)
    one.put(b"old", 5, NOW)
    one.put(b"young", 2, NOW + 100)
    refused = one.put(b"older", 1, NOW - 3601)
    assert refused.reason == "too_old"
    clock.now += 3601
    one.put(b"new", 1, clock.now)
    lease = one.lease(5)
    assert lease.too_old.spans == 7  # a batch can't be younger than now: both were created at NOW
    assert [batch.body for batch in lease.batches] == [b"new"]
    assert one.fill().lost["too_old"].batches == 2


def test_what_is_being_sent_is_never_too_old(tmp_path: Path) -> None:
    clock = Clock()
    one = spool(tmp_path / "spool", clock=clock, max_age=60.0)
    put = one.put(b"one", 5, NOW, hold=True)
    clock.now += 3600
    assert not one.lease().too_old
    assert put.ticket is not None
    assert one.done(put.ticket)


@pytest.mark.parametrize("created", [math.nan, math.inf, NOW + 1e6])
def test_a_time_that_can_t_be_is_now(tmp_path: Path, created: float) -> None:
    one = spool(tmp_path / "spool", clock=Clock(), max_age=60.0)
    assert one.put(b"one", 1, created)
    assert [batch.age for batch in one.lease().batches] == [0.0]


def noise(number: int) -> bytes:
    return bytes([number]) * 100 + os.urandom(900)


def test_full_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool", max_bytes=4000)  # three batches of 1000 bytes and what a row costs
    for number in range(3):
        assert not one.put(noise(number), 10 + number, NOW + number).dropped
    put = one.put(noise(3), 1, NOW + 3)
    assert put
    assert (put.dropped.batches, put.dropped.spans) == (1, 10)
    assert [body[0] for body in bodies(one)] == [1, 2, 3]
    assert one.fill().lost["spool_full"].spans == 10


def test_full_what_is_being_sent_stays_and_the_new_one_is_refused(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool", max_bytes=4000)
    for number in range(3):
        one.put(noise(number), 1, NOW + number, hold=True)
    put = one.put(noise(3), 1, NOW + 3)
    assert (put.stored, put.reason, put.dropped) == (False, "spool_full", Tally())
    assert "max_bytes = 4000B" in put.message


def test_full_with_drop_newest_the_new_one_is_refused(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool", max_bytes=4000, when_full="drop_newest")
    for number in range(3):
        one.put(noise(number), 1, NOW + number)
    assert one.put(noise(3), 1, NOW + 3).reason == "spool_full"
    assert [body[0] for body in bodies(one)] == [0, 1, 2]


def test_full_of_what_is_too_old_there_is_room(tmp_path: Path) -> None:
    clock = Clock()
    one = spool(tmp_path / "spool", max_bytes=4000, when_full="drop_newest", max_age=60.0, clock=clock)
    for number in range(3):
        one.put(noise(number), 1, NOW)
    clock.now += 61
    assert one.put(noise(3), 1, clock.now)
    assert one.fill().lost["too_old"].batches == 3


def test_a_batch_larger_than_the_whole_spool_takes_nothing_with_it(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool", max_bytes=4000)
    one.put(noise(0), 1, NOW)
    put = one.put(os.urandom(5000), 1, NOW)
    assert put.reason == "spool_full"
    assert len(bodies(one)) == 1


def test_the_rest_of_a_batch_takes_its_place_as_old_and_as_late_even_where_there_is_no_room(
    tmp_path: Path,
) -> None:
    """In one step: nothing of it is there twice, and nothing else goes for it."""
    clock = Clock()
    one = spool(tmp_path / "spool", max_bytes=4000, clock=clock)
    for number in range(3):
        one.put(noise(number), 10, NOW - 50 + number)
    batches = one.lease(3).batches
    assert one.done(batches[0].ticket, {"rejected": 2}, [(b"half", 3), (b"quarter", 1)], NOW + 9)
    fill = one.fill()
    assert (fill.held.spans, {why: lost.spans for why, lost in fill.lost.items()}) == (24, {"rejected": 2})
    assert not one.done(batches[0].ticket, {}, [(b"once more", 6)])
    lease = one.lease(5)
    assert (lease.batches, lease.due) == ((), 9.0)
    clock.now += 9
    assert [(batch.body, batch.age, batch.ticket.attempts) for batch in one.lease(5).batches] == [
        (b"half", 59.0, 2),
        (b"quarter", 59.0, 2),
    ]


def test_what_is_discarded_is_counted_under_its_reason(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    one.put(b"one", 4, NOW)
    [batch] = one.lease().batches
    assert one.discard(batch.ticket, "rejected")
    assert one.fill().lost["rejected"].spans == 4
    assert not one.fill().held


def test_pairs_share_a_folder_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    names = [
        ("a", "b"),
        ("a b", ""),
        ("a", "B"),
        ("é", "日本"),
        ("../../etc", "/x"),
        ("\ud800", "x"),
        ("x" * 300, "y"),
    ]
    spools = [spool(folder, service=service, backend=backend) for service, backend in names]
    for number, one in enumerate(spools):
        assert one.put(str(number).encode(), 1, NOW), one.put(b"", 1, NOW).message
    assert [bodies(one) for one in spools] == [[str(number).encode()] for number in range(len(names))]
    assert all(path.parent == folder for path in folder.rglob("*"))
    listed = {(one.service, one.backend) for one in survey(folder).listings}
    assert listed == set(names)


def test_after_a_long_outage_the_file_shrinks_again(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool", max_bytes=100 * 1024**2)
    for _ in range(60):
        one.put(os.urandom(500_000), 1, NOW)
    one.rest()
    before = database(tmp_path / "spool").stat().st_size
    bodies(one)
    one.rest()
    assert before > 30_000_000
    assert database(tmp_path / "spool").stat().st_size < before / 4


def test_at_rest_it_keeps_its_leases(tmp_path: Path) -> None:
    one, other = spool(tmp_path / "spool"), spool(tmp_path / "spool")
    put = one.put(b"one", 1, NOW, hold=True)
    one.rest()
    assert not other.lease().batches
    assert put.ticket is not None
    assert one.done(put.ticket)


def test_a_lost_end_of_an_operation_costs_no_batch(tmp_path: Path) -> None:
    """A batch stands under our name and we don't know of it: a commit whose end was an error."""
    one = spool(tmp_path / "spool")
    one.put(b"one", 1, NOW, hold=True)
    one._mine.clear()
    assert not one.lease().batches
    one.rest()
    assert [batch.body for batch in one.lease().batches] == [b"one"]


def test_everything_in_the_folder_is_its_owner_s_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        one = spool(tmp_path / "spool")
        one.put(b"one", 1, NOW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").iterdir()}
    assert len(modes) == 5  # the database, -wal, -shm, its lock and our owner's file
    assert set(modes.values()) == {0o600}


def test_the_folder_holds_bodies_and_names_and_nothing_else(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    one.put(b"one", 1, NOW)
    with sqlite3.connect(database(tmp_path / "spool")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        columns = {
            name for (table,) in tables for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")
        }
    connection.close()
    assert columns == {
        "key", "value", "id", "created", "spans", "bytes", "not_before", "attempts", "owner",
        "digest", "packed", "body", "batches", "reason", "name", "seq",
    }  # fmt: skip


def test_the_listing_shows_what_is_there_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    assert survey(folder) == survey(tmp_path / "other")
    assert not folder.exists()
    one = spool(folder)
    one.put(b"one", 3, NOW - 5)
    one.put(b"two", 4, NOW, hold=True)
    [listing] = survey(folder).listings
    assert (listing.service, listing.backend, listing.processes) == ("my-agent", "langfuse", 1)
    assert (listing.fill.held.batches, listing.fill.held.spans, listing.fill.sending.spans) == (2, 7, 4)
    assert listing.fill.oldest == NOW - 5
    one.close()
    assert survey(folder).listings[0].processes == 0
    assert bodies(spool(folder)) == [b"one", b"two"]


def test_clearing_takes_what_waits_and_gives_the_space_back(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    one, other = spool(folder, max_bytes=10**8), spool(folder)
    for _ in range(20):
        one.put(os.urandom(500_000), 2, NOW)
    held = one.put(b"sending", 1, NOW, hold=True)
    gone, message = other.clear()
    assert not gone
    assert "1 other process" in message
    gone, message = other.clear(beside_others=True)
    assert (gone.spans, message) == (40, "")
    assert held.ticket is not None
    assert one.done(held.ticket)
    one.close()
    other.close()
    assert database(folder).stat().st_size < 200_000
    [listing] = survey(folder).listings
    assert listing.fill.lost["cleared"].batches == 20
