"""Forks after an installation: parent and child each make spans, and each tells its own counts.

Arguments: whether what was made before the fork is "queued" or "flushed" then, and how the child ends: "exits",
"flushes and leaves" without its exit handlers, "just leaves", or "forks" a child of its own.
"""

from __future__ import annotations

import os
import sys
import time

from opentelemetry import trace
from support import say

from ajolo_fanout import install_from_config

fanout = install_from_config()
tracer = trace.get_tracer("program")


def make(name: str, count: int) -> None:
    for _ in range(count):
        with tracer.start_as_current_span(name):
            pass


def counts(of: str) -> None:
    here = fanout.health().backends["here"]
    say(f"{of}-lost", dict(here.counts.lost))
    say(f"{of}-error", here.last_error)


def child(way: str) -> None:
    say("child-seen-at-start", fanout.health().backends["here"].counts.seen)
    say("child-is-installed", install_from_config() is fanout)
    make("child", 3)
    say("child-seen", fanout.health().backends["here"].counts.seen)
    say("child-instance", trace.get_tracer_provider().resource.attributes["service.instance.id"])
    if way == "forks":
        wait_for(fork("exits", "grandchild"))
    elif way == "flushes and leaves":
        started = time.monotonic()
        say("child-flushed", bool(fanout.flush()))
        say("child-took", time.monotonic() - started)
        counts("child")
        sys.stdout.flush()
        os._exit(0)
    elif way == "just leaves":
        os._exit(0)
    sys.exit(0)


def fork(way: str, who: str = "child") -> int:
    pid = os.fork()
    if pid == 0:
        if who == "grandchild":
            make("grandchild", 2)
            sys.exit(0)
        child(way)
    return pid


def wait_for(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


make("before", 2)
if sys.argv[1] == "flushed":
    fanout.flush()
say("status", wait_for(fork(sys.argv[2] if len(sys.argv) > 2 else "exits")))
make("parent", 1)
say("parent-seen", fanout.health().backends["here"].counts.seen)
say("parent-instance", trace.get_tracer_provider().resource.attributes["service.instance.id"])
