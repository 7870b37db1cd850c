"""A WSGI application whose one kind of request holds on for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import trace
from support import folder

from ajolo_fanout import install_from_config

install_from_config()


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with trace.get_tracer("program").start_as_current_span("request"):
        (folder() / f"started-{os.getpid()}").touch()
        time.sleep(1.5)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]
