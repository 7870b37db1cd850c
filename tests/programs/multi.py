"""Runs a child of multiprocessing, or a pool of them, by the start method named.

Children of fork are installed, and so are those of a forkserver that has imported the installation; all others
install for themselves.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import sys

from opentelemetry import trace
from support import say

from ajolo_fanout import install_from_config


def work(method: str) -> None:
    if method not in ("fork", "preloaded"):
        install_from_config()
    with trace.get_tracer("program").start_as_current_span("child"):
        pass


if __name__ == "__main__":
    method, kind = sys.argv[1:]
    install_from_config()
    with trace.get_tracer("program").start_as_current_span("parent"):
        pass
    context = multiprocessing.get_context("forkserver" if method == "preloaded" else method)
    if method == "preloaded":
        context.set_forkserver_preload(["multi_preloaded"])
    if kind == "process":
        process = context.Process(target=work, args=(method,))
        process.start()
        process.join(30)
        say("exit", process.exitcode)
    else:
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            list(pool.map(work, [method] * 4))
        say("exit", 0)
