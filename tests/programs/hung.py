"""Queues spans for backends that hang, then stops: by a call, at its exit, or when it is told to.

Says how long that took, and by how much a thread that sleeps woke up late meanwhile: the machine may be busy.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time

from opentelemetry import trace
from support import say

from ajolo_fanout import install_from_config

SPANS = 2000


class Lateness(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst = 0.0
        self.start()

    def run(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(0.01)
            self.worst = max(self.worst, time.monotonic() - before - 0.01)


def tell(started: float) -> None:
    say("took", time.monotonic() - started)
    say("late", lateness.worst)
    for name, one in fanout.health().backends.items():
        say(
            name,
            f"delivered {one.counts.delivered} lost {dict(one.counts.lost)} pending {one.counts.pending}",
        )
    say("told")


def ends() -> None:
    """Registered before ours, and so called after it."""
    if sys.argv[1] == "exit":
        tell(began[0])


atexit.register(ends)
fanout = install_from_config()
tracer = trace.get_tracer("program")
for number in range(SPANS):
    tracer.start_span(f"span {number}").end()
lateness = Lateness()
fanout.flush(0)  # have the first request of each leave
say("ready")
while sys.argv[1] == "signal":
    time.sleep(0.05)  # a handler of Python's runs between two calls: this one is in none for long
sys.stdin.readline()  # until they hang, each in its request
began = [time.monotonic()]
if sys.argv[1] == "call":
    fanout.shutdown()
    tell(began[0])
    sys.stdin.readline()  # alive, while the servers wake up
