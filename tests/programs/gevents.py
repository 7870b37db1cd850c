"""A plain program with gevent: where it patches, by which protocol it delivers and how it ends are arguments."""

from __future__ import annotations

import sys

WHERE, END = sys.argv[1:3]

if WHERE == "first":
    from gevent import monkey

    monkey.patch_all()

import signal  # noqa: E402 - patched first, as gevent asks for
import time  # noqa: E402

import gevent  # noqa: E402 - patched first, as gevent asks for; imported before it traces, at the latest
from opentelemetry import trace  # noqa: E402
from support import say  # noqa: E402

from ajolo_fanout import install_from_config  # noqa: E402

if WHERE == "after the import":
    from gevent import monkey

    monkey.patch_all()

fanout = install_from_config()


def make(name: str) -> None:
    with trace.get_tracer("program").start_as_current_span(name):
        pass


if WHERE == "after the installation":
    make("before the patch")
    # Threads that are at work while gevent patches may deadlock with its first greenlet, whosever they are: both
    # have gevent import what it needs. So let ours come to rest; the span waits in the queue.
    while fanout.health().backends["here"].queued_spans < 1:
        time.sleep(0.01)
    time.sleep(0.2)
    from gevent import monkey

    monkey.patch_all()


class Ticks:
    """Whether the hub goes on: the longest time that a greenlet that wants to run had to wait."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._greenlet = gevent.spawn(self._tick)

    def _tick(self) -> None:
        last = time.monotonic()
        while True:
            gevent.sleep(0.01)
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            last = now


def work(number: int) -> None:
    with trace.get_tracer("program").start_as_current_span(f"greenlet {number}"):
        gevent.sleep(0.001)


def returns() -> None:
    gevent.get_hub().threadpool.apply(make, ("in a real thread",))
    gevent.joinall([gevent.spawn(work, number) for number in range(5)])


def flushes() -> None:
    returns()
    report = fanout.flush()
    say("flushed", bool(report))
    counts = fanout.health().backends["here"].counts
    say("counted", f"{counts.seen} {counts.delivered} {counts.pending}")


def waits() -> None:
    returns()
    say("ready")
    while True:
        gevent.sleep(0.05)


def hangs() -> None:
    """Beside a backend that hangs, the hub goes on. Looked at three times: a busy machine holds it up, too."""
    returns()
    ticks = Ticks()
    gevent.sleep(0.1)
    for _ in range(3):
        ticks.longest = 0.0
        started = time.monotonic()
        flushed = bool(fanout.flush(0.7))
        took = time.monotonic() - started
        gevent.sleep(0.05)  # for the greenlet to see how long it had to wait
        say("flush", f"{flushed} {ticks.longest / took}")


def forks() -> None:
    """Greenlets of the parent live on in the child of a fork."""
    returns()
    pid = gevent.os.fork()
    if pid == 0:
        make("child")
        sys.exit(0)
    gevent.os.waitpid(pid, 0)
    make("parent")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    globals()[END]()
