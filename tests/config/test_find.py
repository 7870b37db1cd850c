"""Which file it is: the argument, the variable, the folder; and the files that are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ajolo_fanout.config.find import VARIABLE, Found, Off, find
from ajolo_fanout.errors import ConfigError


@pytest.fixture
def unnamed(tmp_path: Path) -> Path:
    """A `tracing.toml` in the current folder that only this user may write."""
    path = tmp_path / "tracing.toml"
    path.write_text("schema = 1\n")
    path.chmod(0o644)
    return path


def test_the_file_of_the_call_comes_before_all_others(unnamed: Path) -> None:
    """Whoever calls knows best; a relative path starts at the current folder."""
    folder = unnamed.parent
    assert find("my.toml", {VARIABLE: "other.toml"}, folder) == Found(
        folder / "my.toml", "my.toml", "argument"
    )
    assert find(Path("/etc/a.toml"), {VARIABLE: "off"}, folder) == Found(
        Path("/etc/a.toml"), "/etc/a.toml", "argument"
    )


def test_the_variable_comes_before_the_file_that_lies_there(unnamed: Path) -> None:
    """An operator decides without touching the program."""
    found = find(None, {VARIABLE: "conf/other.toml"}, unnamed.parent)
    assert found == Found(unnamed.parent / "conf/other.toml", "conf/other.toml", "environment")


@pytest.mark.parametrize("value", ["off", "OFF", " off "])
def test_off_switches_tracing_off(unnamed: Path, value: str) -> None:
    """Whatever lies in the folder, and with the reason for the one line that says so."""
    found = find(None, {VARIABLE: value}, unnamed.parent)
    assert isinstance(found, Off)
    assert VARIABLE in found.why


def test_an_empty_variable_counts_as_unset(unnamed: Path) -> None:
    """As everywhere."""
    assert find(None, {VARIABLE: ""}, unnamed.parent) == Found(unnamed, "tracing.toml", "folder")


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell does it for a variable in a unit file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = find(None, {VARIABLE: "~/t.toml"}, Path("/"))
    assert isinstance(found, Found)
    assert found.path == tmp_path / "t.toml"


def test_no_file_anywhere_says_what_to_do(tmp_path: Path) -> None:
    """The variable is named, and the way to switch tracing off."""
    with pytest.raises(ConfigError, match=f"there is no such file.*{VARIABLE}=off") as excinfo:
        find(None, {}, tmp_path)
    assert excinfo.value.problems[0].code == "file"


@pytest.mark.parametrize(("mode", "who"), [(0o664, "its group"), (0o646, "everyone"), (0o666, "its group")])
def test_a_file_that_others_may_write_is_not_used_unasked(unnamed: Path, mode: int, who: str) -> None:
    """It would decide where the program's traces go; named, it is used all the same."""
    unnamed.chmod(mode)
    with pytest.raises(ConfigError, match=f"written by {who}") as excinfo:
        find(None, {}, unnamed.parent)
    problem = excinfo.value.problems[0]
    assert problem.code == "insecure-file"
    assert problem.file == "tracing.toml"
    assert "chmod go-w tracing.toml" in problem.message
    assert isinstance(find("tracing.toml", {}, unnamed.parent), Found)


def test_a_file_of_another_user_is_not_used_unasked(unnamed: Path) -> None:
    """Only this user's and root's count; the check is told another user instead of changing the owner."""
    owner = unnamed.stat().st_uid
    assert isinstance(find(None, {}, unnamed.parent, user=owner), Found)
    if owner == 0:
        assert isinstance(find(None, {}, unnamed.parent, user=4711), Found), (
            "root's files count for everybody"
        )
        os.chown(unnamed, 4712, -1)
        owner = 4712
    with pytest.raises(ConfigError, match=f"belongs to another user .uid {owner}.") as excinfo:
        find(None, {}, unnamed.parent, user=4711)
    assert excinfo.value.problems[0].code == "insecure-file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_that_another_user_made_is_not_used_unasked(tmp_path: Path) -> None:
    """Whoever owns the link chooses the file."""
    target = tmp_path / "elsewhere.toml"
    target.write_text("schema = 1\n")
    link = tmp_path / "tracing.toml"
    link.symlink_to(target)
    assert isinstance(find(None, {}, tmp_path), Found)
    os.chown(link, 4712, -1, follow_symlinks=False)
    with pytest.raises(ConfigError, match="belongs to another user"):
        find(None, {}, tmp_path)


def test_a_link_into_nothing_is_an_error(tmp_path: Path) -> None:
    """It is not silently skipped."""
    (tmp_path / "tracing.toml").symlink_to(tmp_path / "gone.toml")
    with pytest.raises(ConfigError):
        find(None, {}, tmp_path)
