"""An ASGI application whose one request holds on for a while; it installs where `$PROGRAM_INSTALL` says."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from opentelemetry import trace
from support import folder

from ajolo_fanout import install_from_config

_WHERE = os.environ["PROGRAM_INSTALL"]

if _WHERE == "module":
    install_from_config()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    with trace.get_tracer("program").start_as_current_span("request"):
        (folder() / f"started-{os.getpid()}").touch()
        await asyncio.sleep(1.5)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if _WHERE == "lifespan":
                install_from_config()
            await send({"type": "lifespan.startup.complete"})
        else:
            with trace.get_tracer("program").start_as_current_span("lifespan shutdown"):
                pass
            await send({"type": "lifespan.shutdown.complete"})
            return
