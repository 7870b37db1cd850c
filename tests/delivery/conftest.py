"""Shared by the tests of delivery."""

from __future__ import annotations

from pathlib import Path

import pytest

from ajolo_fanout.delivery import outlet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a spool will be."""
    return tmp_path / "spool"


@pytest.fixture
def time_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a shutdown's time four fifths are the disk's, which on a busy machine may need more than a fifth."""
    monkeypatch.setattr(outlet, "_SPOOLING_SHARE", 0.8)
    monkeypatch.setattr(outlet, "_SPOOLING_TIME", 60.0)
