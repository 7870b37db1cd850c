"""The folder is ours alone, or it isn't used, in words that say what to change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.delivery.spool.support import NOW, database, spool

from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.delivery.spool.folder import Unusable, check_file


def problem(folder: Path) -> str:
    one = spool(folder)
    said = one.problem()
    assert one.put(b"one", 1, NOW).stored == (not said)
    assert one.lease().message == said
    assert one.fill().message == said
    one.close()
    return said


def test_it_is_made_where_its_parent_exists(tmp_path: Path) -> None:
    assert problem(tmp_path / "spool") == ""
    said = problem(tmp_path / "no" / "spool")
    assert said.endswith("doesn't exist; make it")


def test_what_others_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    folder.chmod(0o770)
    assert "may be written by its group (mode 770); run chmod 700" in problem(folder)
    folder.chmod(0o777)
    assert "may be written by everyone" in problem(folder)
    assert not list(folder.iterdir())
    assert "written by everyone" in survey(folder).message


def test_an_empty_folder_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(0o755)
    assert problem(folder) == ""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert problem(folder) == ""  # a spool already
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_with_another_purpose_isn_t_touched(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(0o755)
    (folder / "page.html").touch()
    assert "holds other things" in problem(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_somebody_else_s_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert f"belongs to another user (uid {os.getuid()}, this process has" in problem(folder)
    assert "belongs to another user" in survey(folder).message
    assert not list(folder.iterdir())


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o700)
    (tmp_path / "spool").symlink_to(elsewhere)
    assert "is a link" in problem(tmp_path / "spool")
    assert not list(elsewhere.iterdir())


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    assert "is not a folder" in problem(tmp_path / "spool")


@pytest.mark.parametrize("part", ["", "-wal", "-shm"])
@pytest.mark.parametrize("hard", [False, True])
def test_a_link_in_the_place_of_a_file_is_refused(tmp_path: Path, part: str, hard: bool) -> None:
    folder = tmp_path / "spool"
    assert problem(folder) == ""
    path = Path(f"{database(folder)}{part}")
    path.unlink(missing_ok=True)
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    if hard:
        path.hardlink_to(target)
    else:
        path.symlink_to(target)
    assert "is a link" in problem(folder)
    assert target.read_bytes() == b"precious"


def test_a_link_in_the_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    assert problem(folder) == ""
    [lock] = folder.glob("*.lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "made")
    assert problem(folder)
    assert not (tmp_path / "made").exists()


def test_somebody_else_s_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "spool"
    assert problem(folder) == ""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Unusable, match="belongs to another user"):
        check_file(database(folder))


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    assert problem(folder) == ""
    database(folder).chmod(0o664)
    assert problem(folder) == ""
    assert stat.S_IMODE(database(folder).stat().st_mode) == 0o600


def test_a_database_of_another_pair_is_refused(tmp_path: Path) -> None:
    """Somebody renamed it: its batches belong to another backend."""
    folder = tmp_path / "spool"
    other = spool(folder, backend="other")
    other.put(b"not for langfuse", 1, NOW)
    other.close()
    path = database(folder)
    one = spool(folder)
    path.rename(folder / f"{one._engine.stem}.{'0' * 16}.sqlite3")
    assert "belongs to another program or backend" in one.problem()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    folder = tmp_path / "spool"
    assert problem(folder) == ""
    connection = sqlite3.connect(database(folder))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer ajolo_fanout" in problem(folder)
    assert len(list(folder.glob("*.sqlite3"))) == 1


def test_the_whole_folder_removed_in_full_run_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    one = spool(folder)
    held = one.put(b"one", 1, NOW, hold=True).ticket
    assert held is not None
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    answer = one.done(held)
    assert not answer
    assert "no longer in the spool" in answer.message
    assert one.put(b"two", 1, NOW)
    assert [batch.body for batch in one.lease().batches] == [b"two"]
