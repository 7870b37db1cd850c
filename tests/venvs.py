"""Environments of their own for what the tests meet: `scripts/venv NAME` makes them, from `tests/venvs/NAME.txt`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

__all__ = ["CACHE", "CHECKOUT", "command", "environment"]

CHECKOUT = Path(__file__).resolve().parents[1]
CACHE = CHECKOUT / ".cache"


def environment(name: str) -> Path:
    """The python of the environment `name`; skips where it isn't there, or was made from another list."""
    listed = (CHECKOUT / f"tests/venvs/{name}.txt").read_bytes()
    if b"\n-e" in listed:
        listed += (CHECKOUT / "pyproject.toml").read_bytes()
    folder = CACHE / "venvs" / name
    stamp = folder / "stamp"
    wanted = hashlib.sha256(listed).hexdigest()[:16]
    if not stamp.exists() or stamp.read_text(encoding="utf-8").strip() != wanted:
        pytest.skip(f"this wants an environment of its own. This provides it: scripts/venv {name}")
    return folder / "bin/python"


def command(name: str, program: str) -> str:
    """A program of the environment `name`."""
    return str(environment(name).with_name(program))
