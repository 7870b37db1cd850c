"""FastAPI with its instrumentation: an endless answer that the client breaks off, and one that nobody closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from support import mark

from ajolo_fanout import install_from_config

install_from_config()
app = FastAPI()
tracer = trace.get_tracer("program")
abandoned: list[AsyncIterator[bytes]] = []


async def numbers() -> AsyncIterator[bytes]:
    with tracer.start_as_current_span("stream"):
        try:
            while True:
                yield b"again and again\n" * 64
                await asyncio.sleep(0.01)
        finally:
            mark("closed")


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(numbers())


@app.get("/abandoned")
async def abandon() -> str:
    """A generator that is begun, held on to, and never closed, as a buggy handler does it."""
    abandoned.append(numbers())
    await abandoned[-1].__anext__()
    return "done"


FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"])
