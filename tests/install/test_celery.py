"""The spans of Celery's tasks arrive, whatever its pool is, and those of a task that SIGTERM finds at work."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import OtlpServer, wait_for

CELERY = [
    *(sys.executable, "-m", "celery", "--app", "tasks", "worker", "--concurrency", "1"),
    *("--loglevel", "info", "--without-gossip", "--without-mingle", "--without-heartbeat"),
]


@pytest.mark.parametrize(
    ("pool", "where"),
    [
        ("prefork", "module"),
        pytest.param("prefork", "process", marks=pytest.mark.long),
        pytest.param("gevent", "module", marks=pytest.mark.long),
        pytest.param("threads", "module", marks=pytest.mark.long),
        pytest.param("solo", "module", marks=pytest.mark.long),
    ],
)
def test_a_worker_that_is_told_to_end_loses_no_span(
    pool: str,
    where: str,
    run: Any,
    write_file: Callable[..., Path],
    server: OtlpServer,
    names: Any,
    folder: Path,
) -> None:
    """Its warm shutdown waits for the task that is running."""
    program = run(
        [*CELERY, "--pool", pool], config=write_file(server.endpoint), env={"PROGRAM_INSTALL": where}
    )
    wait_for(lambda: list(folder.glob("started-*")), 60, f"the task to run\n{program}")
    program.send(signal.SIGTERM)
    program.wait_for("Warm shutdown")
    (folder / "go-on").touch()
    assert program.end() == 0, program
    assert names(server) == ["held", "quick 0", "quick 1", "quick 2"], program
