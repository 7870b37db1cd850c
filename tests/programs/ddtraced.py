"""What an installation meets under `ddtrace-run`."""

from __future__ import annotations

from opentelemetry import trace
from support import say

from ajolo_fanout import InstallError, install_from_config

try:
    fanout = install_from_config()
except InstallError as error:
    say("refused", error)
else:
    say("installed", trace.get_tracer_provider() is fanout.provider)
    with trace.get_tracer("program").start_as_current_span("span"):
        pass
