"""A WSGI application that traces each request under its path, and says which worker it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import trace

from ajolo_fanout import install_from_config

install_from_config()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with trace.get_tracer("program").start_as_current_span(environ["PATH_INFO"]):
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
