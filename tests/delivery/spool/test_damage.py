"""What is damaged is set aside and said so; what is sound goes on; nothing is raised."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.delivery.spool.support import NOW, Told, bodies, database, run, spool

from ajolo_fanout.delivery.spool import Spool, store, survey
from ajolo_fanout.delivery.spool.folder import MAX_SET_ASIDE

COUNT = 60


def body(number: int) -> bytes:
    return f"{number:05} ".encode() + random.Random(number).randbytes(5000)


def filled(folder: Path) -> None:
    one = spool(folder)
    for number in range(COUNT):
        assert one.put(body(number), 2, NOW + number)
    one.close()


def alter(path: Path, work: Callable[[bytearray], object]) -> None:
    content = bytearray(path.read_bytes())
    work(content)
    path.write_bytes(content)


def no_database(content: bytearray) -> None:
    content[:] = b"this is no database at all" * 1000


def header(content: bytearray) -> None:
    content[:100] = bytes(100)


def cut(content: bytearray) -> None:
    del content[len(content) // 2 + 100 :]


def middle(content: bytearray) -> None:
    place = len(content) // 2
    content[place : place + 20_000] = os.urandom(20_000)


def scattered(content: bytearray) -> None:
    chance = random.Random(7)
    for _ in range(200):
        content[chance.randrange(4096, len(content))] ^= 0xFF


def first_pages(content: bytearray) -> None:
    content[4096 : 4096 * 12] = bytes(4096 * 11)


DAMAGES = (no_database, header, cut, middle, scattered, first_pages)


@pytest.mark.parametrize("damage", DAMAGES)
def test_only_what_is_sound_comes_out_of_a_damaged_file_and_the_spool_goes_on(
    tmp_path: Path, damage: Callable[[bytearray], object]
) -> None:
    folder = tmp_path / "spool"
    filled(folder)
    alter(database(folder), damage)
    told = Told()
    one = spool(folder, tell=told)
    out = [batch for _ in range(2 * COUNT) for batch in one.lease().batches]
    assert all(batch.body == body(int(batch.body[:5])) for batch in out)
    assert len({batch.body for batch in out}) == len(out) < COUNT
    assert {cause for cause, _, _ in told.lines} == {"spool_damaged"}
    aside = list(folder.glob("*.damaged-*"))
    assert aside
    assert survey(folder).damaged
    assert any(str(path) in message for _, message, _ in told.lines for path in aside)
    assert all(path.stat().st_mode & 0o177 == 0 for path in aside)
    assert one.put(b"after", 1, NOW)
    assert bodies(one) == [b"after"]


def test_most_of_a_file_with_one_damaged_place_is_saved(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    filled(folder)
    alter(database(folder), middle)  # 20 kB of 350: four or five batches, in whole or in part
    one = spool(folder)
    out = bodies(one)
    assert len(out) >= COUNT - 10
    fill = one.fill()
    assert fill.lost["error"].spans == 2 * (COUNT - len(out))


def test_a_file_that_was_cut_to_nothing_is_set_aside_and_said_so(tmp_path: Path) -> None:
    """No crash leaves such a file: a database gets its name when its tables are in."""
    folder = tmp_path / "spool"
    filled(folder)
    alter(database(folder), bytearray.clear)
    told = Told()
    one = spool(folder, tell=told)
    assert one.put(b"after", 1, NOW)
    assert bodies(one) == [b"after"]
    [aside] = folder.glob("*.damaged-*")
    [(cause, message, _)] = told.lines
    assert cause == "spool_damaged"
    assert "the file is empty" in message
    assert str(aside) in message


def test_what_is_left_of_a_maker_that_was_killed_is_no_damage(tmp_path: Path) -> None:
    """A database that has everything but its name."""
    folder = tmp_path / "spool"
    filled(folder)
    path = database(folder)
    unfinished = path.rename(path.with_name(f"{path.name}.new"))
    told = Told()
    one = spool(folder, tell=told)
    assert one.put(b"after", 1, NOW)
    assert bodies(one) == [b"after"]
    assert not unfinished.exists()
    assert not told.lines
    assert not survey(folder).damaged


def test_a_database_that_could_not_be_finished_is_no_damage(tmp_path: Path) -> None:
    """No room for its tables at first, as on a full disk."""
    problem, before, after, damaged = run("unmade", str(tmp_path / "spool"))
    assert problem
    assert before == []
    assert after == ""
    assert damaged == []


def test_a_damaged_batch_is_set_aside_and_the_others_are_sent(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    filled(folder)
    path = database(folder)

    def one_byte(content: bytearray) -> None:
        place = content.index(body(7)[3000:3050])
        content[place] ^= 1

    alter(path, one_byte)
    told = Told()
    one = spool(folder, tell=told)
    lease = one.lease(COUNT)
    assert [int(batch.body[:5]) for batch in lease.batches] == [n for n in range(COUNT) if n != 7]
    assert lease.damaged.spans == 2
    [aside] = folder.glob("*.damaged-*")
    assert len(aside.read_bytes()) == 5006
    [(_, message, spans)] = told.lines
    assert str(aside) in message
    assert spans == 2
    assert database(folder) == path
    assert one.fill().lost["error"].spans == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE batches SET spans = 99 WHERE id = 3",
        "UPDATE batches SET created = 5 WHERE id = 3",
        "UPDATE batches SET key = '../../../tmp/x' WHERE id = 3",
        "UPDATE batches SET key = CAST(x'ff00fe' AS TEXT) WHERE id = 3",
        "UPDATE batches SET attempts = 'often' WHERE id = 3",
        "UPDATE bodies SET packed = 1 WHERE id = 3",
        "UPDATE bodies SET body = 'text' WHERE id = 3",
        "DELETE FROM bodies WHERE id = 3",
    ],
)
def test_whatever_is_wrong_with_one_row_costs_that_row(tmp_path: Path, statement: str) -> None:
    folder = tmp_path / "spool"
    filled(folder)
    connection = sqlite3.connect(database(folder))
    connection.execute(statement)
    connection.commit()
    connection.close()
    one = spool(folder, tell=Told())
    assert sorted(int(out[:5]) for out in bodies(one)) == [n for n in range(COUNT) if n != 2]
    assert all(path.parent == folder for path in tmp_path.rglob("*.damaged-*"))


@pytest.mark.parametrize(
    "statement", ["DROP TABLE totals", "DELETE FROM totals", "DELETE FROM about", "DROP TABLE losses"]
)
def test_a_file_that_isn_t_what_we_made_is_set_aside_and_its_batches_saved(
    tmp_path: Path, statement: str
) -> None:
    folder = tmp_path / "spool"
    filled(folder)
    path = database(folder)
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    told = Told()
    one = spool(folder, tell=told)
    assert one.put(b"00060", 1, NOW + COUNT)
    assert one.fill().held.batches == COUNT + 1
    assert [int(out[:5]) for out in bodies(one)] == list(range(COUNT + 1))
    assert database(folder) != path
    assert len(told.lines) == 1


def test_an_owner_s_name_that_nobody_bears_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    filled(folder)
    connection = sqlite3.connect(database(folder))
    connection.execute("UPDATE batches SET owner = '../../etc/passwd'")
    connection.commit()
    connection.close()
    assert len(bodies(spool(folder))) == COUNT


def test_others_notice_that_the_file_was_set_aside_and_their_leases_hold(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    first, second = spool(folder, tell=Told()), spool(folder, tell=Told())
    held = first.put(b"held", 1, NOW, hold=True).ticket
    first.put(b"waits", 1, NOW)
    assert second.fill().held.batches == 2
    drop(second, "losses")  # damage that only the second comes upon, below
    second.discard(second.lease().batches[0].ticket, "rejected")
    assert list(folder.glob("*.damaged-*"))
    assert held is not None
    assert not second.lease(9).batches  # what the first is sending stayed its own
    assert first.done(held)
    assert first.put(b"new", 1, NOW)
    assert bodies(second) == [b"new"]


def test_what_was_written_while_the_file_was_set_aside_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process sets it aside between our first statement and our commit, which then goes with it."""
    folder = tmp_path / "spool"
    one, other = spool(folder), spool(folder, tell=Told())
    one.put(b"before", 1, NOW)
    assert other.fill().held.batches == 1
    add, moments = store.add, ["once"]

    def add_meanwhile(connection: sqlite3.Connection, entry: store.Entry) -> None:
        add(connection, entry)
        if moments:
            moments.pop()
            other._engine._replace("for the test")

    monkeypatch.setattr(store, "add", add_meanwhile)
    assert one.put(b"meanwhile", 1, NOW)
    one.close()
    other.close()
    assert bodies(spool(folder)) == [b"before", b"meanwhile"]


def drop(one: Spool, table: str) -> None:
    assert one._engine._connection is not None
    one._engine._connection.execute(f"DROP TABLE {table}")


def test_damaged_things_never_fill_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    told = Told()
    for _ in range(MAX_SET_ASIDE + 3):
        one = spool(folder, tell=told)
        one.put(b"one", 1, NOW)
        one.close()
        alter(database(folder), no_database)
    assert spool(folder, tell=told).problem() == ""
    assert len(list(folder.glob("*.damaged-*"))) == MAX_SET_ASIDE
    assert "older ones were removed" in told.lines[-1][1]


def test_a_damaged_wal_costs_what_was_in_it_and_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    one = spool(folder)
    for number in range(COUNT):
        one.put(body(number), 2, NOW + number)
    path = database(folder)
    copy = tmp_path / "copy"
    copy.mkdir(0o700)
    for part in ("", "-wal"):  # as a crash leaves them
        (copy / f"{path.name}{part}").write_bytes(Path(f"{path}{part}").read_bytes())
    alter(copy / f"{path.name}-wal", cut)
    again = spool(copy, tell=Told())
    out = bodies(again)
    assert out == [body(number) for number in range(len(out))]
    assert out
    assert again.put(b"after", 1, NOW)
