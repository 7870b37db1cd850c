"""An asyncio program: thousands of tasks that trace at once, or streams that nobody closes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from opentelemetry import trace
from support import say

from ajolo_fanout import install_from_config

TASKS = 5000

fanout = install_from_config()
tracer = trace.get_tracer("program")


async def task(number: int) -> None:
    with tracer.start_as_current_span(f"task {number}"):
        await asyncio.sleep(0)
        with tracer.start_as_current_span("step"):
            await asyncio.sleep(0)


async def tasks() -> None:
    await asyncio.gather(*(task(number) for number in range(TASKS)))
    say("flushed", bool(await fanout.aflush()))


async def stream() -> AsyncIterator[int]:
    with tracer.start_as_current_span("stream"):
        for number in range(1000):
            yield number


async def open_streams() -> None:
    """Streams whose readers have left, and which are held on to: their spans are open at the end."""
    held.extend(stream() for _ in range(3))
    for one in held:
        await one.__anext__()
    say("open", fanout.health().open_spans)
    report = await fanout.aflush()
    say("open-in-report", report.open_spans)
    sys.stdout.flush()
    fanout.shutdown()
    say("open-at-end", fanout.health().open_spans)


held: list[AsyncIterator[int]] = []

if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]]())
