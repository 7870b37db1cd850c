"""A configuration of gunicorn that lets the test know of each worker that takes signals and requests."""

from __future__ import annotations

from typing import Any

from support import mark


def post_worker_init(_worker: Any) -> None:
    mark("up")
