"""A full or read-only disk costs the spool, never the program; with room again it goes on by itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.delivery.spool.support import NOW, bodies, close_all, database, run, spool

from ajolo_fanout.delivery.spool import folder

NOBODY = 65534


def test_a_full_database_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """SQLITE_FULL, as a full disk gives it."""
    one = spool(tmp_path / "spool")
    held = one.put(b"held", 1, NOW, hold=True).ticket
    assert held is not None
    assert one._engine._connection is not None
    (pages,) = one._engine._connection.execute("PRAGMA page_count").fetchone()
    one._engine._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    put = one.put(os.urandom(100_000), 1, NOW)
    assert (put.stored, put.reason) == (False, "spool_full")
    assert "full" in put.message
    assert one.put(os.urandom(100_000), 1, NOW)  # a new connection, without the limit
    assert one.done(held)


def test_a_file_that_may_not_grow_refuses_and_says_why(tmp_path: Path) -> None:
    problem, stored, refused, after, there = run("limited", str(tmp_path / "spool"), "300000")
    assert problem == ""
    assert 5 < stored < 100
    assert len(refused) == 100 - stored
    assert all(refused)
    assert after == ""
    assert there == stored + 1


DISK = 24 * 1024**2


def mount(place: Path) -> bool:
    """A small disk of its own at `place`, where we have the right."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(place)]
    return (
        shutil.which("mount") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


@pytest.fixture(params=["real", "pretended"])
def small_disk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A disk of 24 MiB: mounted, where we may; otherwise, and once more, one that says so."""
    place = tmp_path / "disk"
    place.mkdir(0o700)
    mounted = request.param == "real" and mount(place)
    if not mounted:

        def free_bytes(_: Path) -> int:
            return DISK - sum(path.stat().st_size for path in place.rglob("*"))

        monkeypatch.setattr(folder, "free_bytes", free_bytes)
    yield place
    if mounted:
        close_all()
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_small_disk_the_oldest_go_before_it_is_full_and_all_that_is_left_is_sent(
    small_disk: Path,
) -> None:
    """Were the disk filled to the brim, SQLite could take nothing out any more."""
    one = spool(small_disk / "spool", max_bytes=10**9)
    for number in range(300):
        put = one.put(bytes([number % 256]) + os.urandom(100_000), 1, NOW + number)
        assert put, put.message
    assert one.fill().lost["spool_full"].batches > 100
    assert folder.free_bytes(small_disk) > DISK // 4
    left = bodies(one)
    assert len(left) > 10
    assert [body[0] for body in left] == [number % 256 for number in range(300 - len(left), 300)]


def test_on_a_small_disk_with_drop_newest_the_last_part_is_left_alone(small_disk: Path) -> None:
    one = spool(small_disk / "spool", when_full="drop_newest", max_bytes=10**9)
    stored = 0
    while put := one.put(os.urandom(100_000), 1, NOW):
        stored += 1
    assert put.reason == "spool_full"
    assert "leaves the last 16MiB of the disk alone" in put.message
    assert len(bodies(one)) == stored > 10
    assert one.put(b"after", 1, NOW)


def test_on_a_disk_without_any_room_what_was_delivered_isn_t_sent_again(tmp_path: Path) -> None:
    refused, leased, after, left = run("brim", str(tmp_path / "spool"))
    assert len(refused) == 20
    assert all(refused)
    assert leased == []
    assert after == ""
    assert left == ["after"]


def test_what_the_disk_refused_to_settle_isn_t_sent_again(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    held = [one.put(name, 1, NOW, hold=True).ticket for name in (b"done", b"released", b"discarded")]
    first, second, third = (ticket for ticket in held if ticket is not None)
    assert one._engine._connection is not None
    for settle in (
        lambda: one.done(first),
        lambda: one.release(second, NOW),
        lambda: one.discard(third, "rejected"),
    ):
        one._engine._connection.execute("PRAGMA query_only = ON")
        answer = settle()
        assert not answer
        assert "readonly" in answer.message
        assert one.fill().held  # a new connection
    assert [batch.body for batch in one.lease(9).batches] == [b"released"]
    assert one.fill().held.batches == 1
    assert one.fill().lost["rejected"].batches == 1


@pytest.fixture
def of_nobody() -> Iterator[Path]:
    """A folder of a user whom permissions bind (tests may run as root)."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    spools = place / "spool"
    spools.mkdir(0o700)
    if os.geteuid() == 0:
        os.chown(spools, NOBODY, NOBODY)
    yield spools
    shutil.rmtree(place)


def as_nobody(*words: str) -> list[object]:
    said = run(*words, str(NOBODY))
    assert isinstance(said, list)
    return said


def test_a_read_only_folder_is_said_and_costs_the_spool_alone(of_nobody: Path) -> None:
    of_nobody.chmod(0o500)
    problem, put, reason, lease, leased = as_nobody("puts", str(of_nobody))
    assert "Permission denied" in str(problem)
    assert (put, lease) == (problem, problem)
    assert (reason, leased) == ("error", 0)
    of_nobody.chmod(0o700)
    assert as_nobody("puts", str(of_nobody)) == ["", "", None, "", 1]


def test_a_read_only_file_is_said_and_costs_the_spool_alone(of_nobody: Path) -> None:
    assert as_nobody("puts", str(of_nobody)) == ["", "", None, "", 1]
    [path] = of_nobody.glob("*.sqlite3")
    path.chmod(0o400)
    problem, put, reason, _, leased = as_nobody("puts", str(of_nobody))
    assert "readonly" in str(problem)
    assert "readonly" in str(put)
    assert (reason, leased) == ("error", 0)


def test_a_spool_that_others_keep_busy_answers_in_time(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool", patience=0.3)
    assert one.problem() == ""
    other = sqlite3.connect(database(tmp_path / "spool"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    before = time.monotonic()
    put = one.put(b"one", 1, NOW)
    assert time.monotonic() - before < 4.5, "less than the usual patience"
    assert "busy" in put.message
    other.execute("ROLLBACK")
    other.close()
    assert one.put(b"one", 1, NOW)
