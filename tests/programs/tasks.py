"""Celery's application, with a broker that is a folder: each task makes a span, one of them holds on.

`$PROGRAM_INSTALL`: "module", or "process" for an installation in each process of the pool.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_ready
from opentelemetry import trace
from support import folder, hold, mark

from ajolo_fanout import install_from_config

for name in ("in", "processed"):
    (folder() / name).mkdir(exist_ok=True)

app = Celery(
    "tasks",
    broker="filesystem://",
    broker_transport_options={
        "data_folder_in": str(folder() / "in"),
        "data_folder_out": str(folder() / "in"),
        "processed_folder": str(folder() / "processed"),
        "control_folder": str(folder() / "control"),
        "polling_interval": 0.05,
    },
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)

if os.environ["PROGRAM_INSTALL"] == "module":
    install_from_config()
else:

    @worker_process_init.connect
    def _install(**_: Any) -> None:
        install_from_config()


@app.task
def quick(number: int) -> None:
    with trace.get_tracer("program").start_as_current_span(f"quick {number}"):
        pass


@app.task
def long_running() -> None:
    with trace.get_tracer("program").start_as_current_span("held"):
        mark("started")
        hold()


@worker_ready.connect
def send(**_: Any) -> None:
    for number in range(3):
        quick.delay(number)
        time.sleep(0.002)  # the broker sorts by whole milliseconds: the one that holds on is to come last
    long_running.delay()
