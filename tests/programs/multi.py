"""Runs a child of multiprocessing by the start method named; all but fork's install for themselves."""

from __future__ import annotations

import multiprocessing
import sys

from opentelemetry import trace
from support import say

from ajolo_fanout import install_from_config


def work(method: str) -> None:
    if method != "fork":
        install_from_config()
    with trace.get_tracer("program").start_as_current_span("child"):
        pass


if __name__ == "__main__":
    start_method = sys.argv[1]
    install_from_config()
    with trace.get_tracer("program").start_as_current_span("parent"):
        pass
    process = multiprocessing.get_context(start_method).Process(target=work, args=(start_method,))
    process.start()
    process.join(30)
    say("exit", process.exitcode)
