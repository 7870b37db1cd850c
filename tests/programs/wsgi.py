"""A WSGI application whose one kind of request holds on until the test lets go.

`$PROGRAM_PATCH`: where gevent patches the standard library, if this program has it do so: "first", or "later"
(after the installation). A span is made at import, where `$PROGRAM_AT_IMPORT` asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

_PATCH = os.environ.get("PROGRAM_PATCH", "")

if _PATCH == "first":
    from gevent import monkey

    monkey.patch_all()

from opentelemetry import trace  # noqa: E402 - patched first, as gevent asks for
from support import hold, mark, say  # noqa: E402

from ajolo_fanout import install_from_config  # noqa: E402

install_from_config()

if _PATCH == "later":
    from gevent import monkey

    monkey.patch_all()

if "uwsgi" in sys.modules:
    say("has-threads", sys.modules["uwsgi"].has_threads)

if os.environ.get("PROGRAM_AT_IMPORT"):
    trace.get_tracer("program").start_span("at import").end()


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with trace.get_tracer("program").start_as_current_span("request"):
        mark("started")
        hold()
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]
