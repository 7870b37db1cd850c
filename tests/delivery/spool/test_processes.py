"""Several processes, one spool: a batch is sent by one at a time, and by another when that one is gone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.delivery.spool.support import NOW, bodies, run, spool, start

from ajolo_fanout.delivery.spool import lease
from ajolo_fanout.testing.server import wait_for


def events(folder: Path) -> list[tuple[float, str, str, str]]:
    """What all workers said, as (when, worker, what, name), in order."""
    found = []
    for path in folder.glob("*.log"):
        for line in path.read_text().splitlines():
            when, what, name, *_ = (*json.loads(line), "", "")
            found.append((float(when), path.name, str(what), str(name)))
    return sorted(found)


def said(path: Path, word: str) -> bool:
    return path.exists() and f'"{word}"' in path.read_text()


def worker(tmp_path: Path, number: int, seconds: float, mode: str) -> tuple[subprocess.Popen[str], Path]:
    log = tmp_path / f"{number}.log"
    return start("hammer", str(tmp_path / "spool"), str(log), str(seconds), mode), log


def end(process: subprocess.Popen[str]) -> int:
    code = process.wait(60)
    assert process.stdout is not None
    process.stdout.close()
    return code


@pytest.mark.parametrize("mode", ["on_failure", "always"])
def test_four_workers_never_hold_the_same_batch_at_the_same_time(tmp_path: Path, mode: str) -> None:
    """Each is finished exactly once, nothing is lost, and nobody meets a locked database."""
    workers = [worker(tmp_path, number, 3, mode) for number in range(4)]
    for process, _ in workers:
        assert end(process) == 0
    run_drain(tmp_path)
    holder: dict[str, str] = {}
    put, done = set(), []
    for _, who, what, name in events(tmp_path):
        assert what != "refused", (who, name)
        if what == "put":
            put.add(name)
        elif what == "take":
            assert name not in holder, f"{name} was taken by {who} while {holder[name]} had it"
            holder[name] = who
        elif what in ("done", "release"):
            assert holder.pop(name) == who
            if what == "done":
                done.append(name)
    assert len(put) > 200
    assert sorted(done) == sorted(put)
    assert len({name.partition("-")[0] for name in put}) == 4
    assert not list((tmp_path / "spool").glob("*.damaged-*"))


def run_drain(tmp_path: Path) -> None:
    with start("drain", str(tmp_path / "spool"), str(tmp_path / "drain.log")) as process:
        assert process.wait(60) == 0


@pytest.mark.parametrize("mode", ["on_failure", "always"])
def test_twenty_workers_killed_at_random_moments_lose_nothing_that_was_put(tmp_path: Path, mode: str) -> None:
    chance, number, running = random.Random(mode), 0, list[Any]()
    for _ in range(20):
        while len(running) < 3:
            running.append(worker(tmp_path, number, 60, mode))
            number += 1
        victim, log = running.pop(0)
        wait_for(lambda log=log: said(log, "put"), 60)
        time.sleep(chance.random() / 10)
        victim.send_signal(signal.SIGKILL)
        assert end(victim) == -signal.SIGKILL
    for process, _ in running:
        process.kill()
        end(process)
    before = time.monotonic()
    run_drain(tmp_path)  # at once: no lease has to expire
    assert time.monotonic() - before < 30
    put, done, refused = set(), set(), []
    for _, who, what, name in events(tmp_path):
        if what == "put":
            put.add(name)
        elif what == "done":
            done.add(name)
        elif what == "refused":
            refused.append((who, name))
    assert not refused
    assert len(put) >= 20  # each was killed after its first
    assert put - done == set()
    rest = spool(tmp_path / "spool")
    assert not rest.fill().held
    assert not rest.fill().lost
    rest.close()
    assert not list((tmp_path / "spool").glob("*.owner")), "what dead workers left is swept up"


def test_a_batch_is_free_the_moment_its_holder_is_gone(tmp_path: Path) -> None:
    mine = spool(tmp_path / "spool")
    mine.put(b"one", 1, NOW)
    with start("hold", str(tmp_path / "spool")) as holder:
        assert holder.stdout is not None
        assert json.loads(holder.stdout.readline()) == ["one"]
        assert not mine.lease().batches
        holder.kill()
        holder.wait(10)
        assert [batch.body for batch in mine.lease().batches] == [b"one"]


def test_a_stopped_holder_keeps_its_batch(tmp_path: Path) -> None:
    """It is no matter of time: a process that sleeps is alive."""
    mine = spool(tmp_path / "spool")
    mine.put(b"one", 1, NOW)
    with start("hold", str(tmp_path / "spool")) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.send_signal(signal.SIGSTOP)
        assert not mine.lease().batches
        holder.kill()


def test_a_child_that_lives_on_doesn_t_keep_its_dead_parent_s_batches(tmp_path: Path) -> None:
    mine = spool(tmp_path / "spool")
    mine.put(b"one", 1, NOW)
    with start("hold_with_child", str(tmp_path / "spool")) as holder:
        assert holder.stdout is not None
        leased, child = json.loads(holder.stdout.readline())
        try:
            assert leased == ["one"]
            assert not mine.lease().batches
            holder.kill()
            holder.wait(10)
            os.kill(child, 0)  # it lives
            assert [batch.body for batch in mine.lease().batches] == [b"one"]
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_child_works_on_its_own_and_leaves_the_parent_s_alone(tmp_path: Path) -> None:
    said = run("forks", str(tmp_path / "spool"), "hooks")
    assert said["done"] == [False, "this process doesn't hold that batch"]
    assert said["put"] == [True, ""]
    assert said["leased"] == ["waiting", "of the child"]
    assert said["parent_put"] == ""
    assert said["parent_done"]
    assert said["parent_leased"] == ["of the child", "of the parent, later", "waiting"]


def test_no_connection_crosses_a_fork(tmp_path: Path) -> None:
    mine = spool(tmp_path / "spool")
    mine.put(b"one", 1, NOW)
    engine = mine._engine
    assert engine._connection is not None
    assert engine.hold(time.monotonic())  # what Python's hook does before a fork
    assert engine._connection is None
    assert engine._lock.locked()
    engine.let_go()
    assert bodies(mine) == [b"one"]


def test_a_fork_in_the_middle_of_the_work_of_other_threads_costs_neither_side_anything(
    tmp_path: Path,
) -> None:
    codes, slowest, problems, count, of_children = run("forks_at_work", str(tmp_path / "spool"), "20")
    assert codes == [0] * 20
    assert problems == []
    assert slowest < 4
    assert of_children == 100
    assert count > 120


def test_forked_behind_python_s_back_the_child_says_that_it_has_no_spool(tmp_path: Path) -> None:
    said = run("forks", str(tmp_path / "spool"), "hidden")
    assert said["put"][0] is False
    assert "without Python's hooks" in said["put"][1]
    assert said["leased"] == []
    assert said["parent_put"] == ""
    assert said["parent_done"]
    assert said["parent_leased"] == ["of the parent, later", "waiting"]


def foreign(folder: Path, stem: str, *, silent: float) -> str:
    """An owner on another machine that was last heard of `silent` seconds ago."""
    name = f"{'f' * 8}.{'0' * 16}"
    path = folder / f"{stem}.{name}.owner"
    path.touch(0o600)
    os.utime(path, (time.time() - silent, time.time() - silent))
    return name


def test_a_lease_of_another_machine_ends_when_it_was_silent_for_long(tmp_path: Path) -> None:
    mine = spool(tmp_path / "spool")
    mine.put(b"one", 1, NOW)
    name = foreign(tmp_path / "spool", mine._engine.stem, silent=60)
    assert mine._engine._connection is not None
    mine._engine._connection.execute("UPDATE batches SET owner = ?", (name,))
    assert not mine.lease().batches
    foreign(tmp_path / "spool", mine._engine.stem, silent=lease.FOREIGN_LEASE + 60)
    assert [batch.body for batch in mine.lease().batches] == [b"one"]
    assert not list((tmp_path / "spool").glob("ffffffff*"))


def test_an_owner_at_work_is_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = spool(tmp_path / "spool")
    mine.put(b"one", 1, NOW, hold=True)
    [path] = (tmp_path / "spool").glob("*.owner")
    os.utime(path, (5, 5))
    mine.fill()
    assert path.stat().st_mtime == 5  # not at every call
    monkeypatch.setattr(lease, "_TOUCH", 0.0)
    mine.fill()
    assert time.time() - path.stat().st_mtime < 60


def test_an_owner_whose_file_was_removed_starts_anew(tmp_path: Path) -> None:
    mine, other = spool(tmp_path / "spool"), spool(tmp_path / "spool")
    held = mine.put(b"one", 1, NOW, hold=True).ticket
    for path in (tmp_path / "spool").glob("*.owner"):
        path.unlink()
    assert held is not None
    assert mine.done(held)
    assert other.put(b"two", 1, NOW)
    assert bodies(mine) == [b"two"]


def test_an_owner_that_is_probed_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process takes the file, not yet locked, for a dead one's, and removes it."""
    made: list[Path] = []
    lock = lease._lock

    def probed_first(descriptor: int, deadline: float) -> None:
        if not made:
            [path] = tmp_path.glob("*.owner")
            path.unlink()
            made.append(path)
        lock(descriptor, deadline)

    monkeypatch.setattr(lease, "_lock", probed_first)
    owner = lease.new_owner(tmp_path, "stem")
    assert [f"stem.{owner.name}.owner"] == [path.name for path in tmp_path.glob("*.owner")]
    assert made[0].name != f"stem.{owner.name}.owner"
    owner.close()
