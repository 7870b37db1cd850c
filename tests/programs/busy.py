"""Forks children that make spans as fast as they can, and tells each to stop at a random moment.

One line per child: `child STATUS ENDED`, the wait status and how many spans had ended. A span's number is its
attribute, so the test can tell which arrived. The children are forked from a program that has not installed
anything: each installs for itself, in its main thread.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

from opentelemetry import trace
from support import Count, say

import ajolo_fanout.fanout  # noqa: F401 - loaded once here, instead of in each child
from ajolo_fanout import install_from_config


def wait_for_the_signal() -> None:
    while True:
        time.sleep(0.05)


def child(number: int, count_path: str, ready: int) -> None:
    install_from_config()
    tracer = trace.get_tracer("program")
    count = Count(count_path)
    ended = 0
    os.write(ready, b"r")
    while True:
        with tracer.start_as_current_span("outer", attributes={"child": number, "number": ended}) as span:
            span.add_event("something", {"a": 1})
        ended += 1
        count.set(ended)
        if ended >= 50_000:  # as many as the file's queue takes: nothing may be refused
            wait_for_the_signal()


def main(children: int) -> None:
    sys.setswitchinterval(0.0005)
    rng = random.Random(int.from_bytes(os.urandom(4), "big"))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(children):
            path = Path(folder) / str(number)
            path.write_bytes(bytes(8))
            listen, ready = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    child(number, str(path), ready)
                finally:
                    os._exit(99)
            os.read(listen, 1)
            time.sleep(rng.uniform(0.0, 0.15))
            os.kill(pid, signal.SIGTERM)
            _, status = os.waitpid(pid, 0)
            os.close(listen)
            os.close(ready)
            say("child", f"{os.waitstatus_to_exitcode(status)} {struct.unpack('q', path.read_bytes())[0]}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
