"""Forks children whose main thread is busy with us, and tells each to stop at a random moment.

One line per child: `child STATUS SECONDS`, the wait status and how long it took to end. Each ends three spans, and
then reads its health, or flushes, or logs in an open span, again and again; with `theirs` a handler of its own
shuts down.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

from opentelemetry import trace
from support import say

import ajolo_fanout.fanout  # noqa: F401 - loaded once here, instead of in each child
from ajolo_fanout import install_from_config


def child(what: str, whose: str, ready: int) -> None:
    fanout = install_from_config()
    if whose == "theirs":

        def leave(_number: int, _frame: object) -> None:
            fanout.shutdown()
            os._exit(0)

        signal.signal(signal.SIGTERM, leave)
    for number in range(3):
        trace.get_tracer("program").start_span(f"span {number}").end()
    trace.get_tracer("program").start_span("open")
    logging.basicConfig(stream=Path(os.devnull).open("w"), force=True)  # noqa: SIM115 - for as long as it lives
    work = {"health": fanout.health, "flush": fanout.flush, "log": partial(logging.warning, "a line")}[what]
    os.write(ready, b"r")
    while True:
        work()


def main(what: str, whose: str, children: int) -> None:
    rng = random.Random(int.from_bytes(os.urandom(4), "big"))
    for _ in range(children):
        listen, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                child(what, whose, ready)
            finally:
                os._exit(99)
        os.read(listen, 1)
        time.sleep(rng.uniform(0.0, 0.05))
        started = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        os.close(listen)
        os.close(ready)
        say("child", f"{os.waitstatus_to_exitcode(status)} {time.monotonic() - started}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
