"""Forks after an installation: parent and child each make spans, and each tells its own counts."""

from __future__ import annotations

import os
import sys

from opentelemetry import trace
from support import say

from ajolo_fanout import install_from_config

fanout = install_from_config()
tracer = trace.get_tracer("program")


def make(name: str, count: int) -> None:
    for _ in range(count):
        with tracer.start_as_current_span(name):
            pass


make("before", 2)
if sys.argv[1] == "flushed":
    fanout.flush()
pid = os.fork()
if pid == 0:
    say("child-seen-at-start", fanout.health().backends["here"].counts.seen)
    say("child-is-installed", install_from_config() is fanout)
    make("child", 3)
    say("child-seen", fanout.health().backends["here"].counts.seen)
    say("child-instance", trace.get_tracer_provider().resource.attributes["service.instance.id"])
    sys.exit(0)
_, status = os.waitpid(pid, 0)
say("status", os.waitstatus_to_exitcode(status))
make("parent", 1)
say("parent-seen", fanout.health().backends["here"].counts.seen)
say("parent-instance", trace.get_tracer_provider().resource.attributes["service.instance.id"])
