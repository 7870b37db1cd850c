"""An ASGI application whose one request holds on until the test lets go; installs where `$PROGRAM_INSTALL` says."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from opentelemetry import trace
from support import ahold, hold, mark

from ajolo_fanout import install_from_config

_WHERE = os.environ["PROGRAM_INSTALL"]  # "module", "lifespan" or "both"

if _WHERE != "lifespan":
    install_from_config()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/thread":
        await asyncio.to_thread(in_thread)
        await answer(send)
    else:
        with trace.get_tracer("program").start_as_current_span("request"):
            mark("started")
            await ahold()
        await answer(send)


def in_thread() -> None:
    """What frameworks do with handlers that are plain functions: the main thread never traces."""
    with trace.get_tracer("program").start_as_current_span("request"):
        mark("started")
        hold()


async def answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if _WHERE != "module":
                install_from_config()
            await send({"type": "lifespan.startup.complete"})
            mark("up")
        else:
            with trace.get_tracer("program").start_as_current_span("lifespan shutdown"):
                pass
            await send({"type": "lifespan.shutdown.complete"})
            return
