"""Shared by the tests of delivery."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a spool will be."""
    return tmp_path / "spool"
