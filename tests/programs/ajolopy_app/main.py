"""Runs the application under what its arguments name, through `install_from_config()`.

`ask FILE QUESTION…`: creates the application, asks each question, writes into FILE, as JSON lines, what the
provider's spans were. `listen PORT`: `app.listen()`. `run PORT`: `ajolopy.run()`. `late`: installs after
`create()`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from ajolopy import AjolopyFactory, run
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from ajolo_fanout import install_from_config


class Recorder(SpanProcessor):
    """Keeps what the program traced, as the provider saw it: what every backend is compared with."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(
            {
                "name": span.name,
                "trace_id": f"{span.context.trace_id:032x}",
                "span_id": f"{span.context.span_id:016x}",
                "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
                "status": span.status.status_code.name.lower(),
                "attributes": dict(span.attributes),
                "events": [{"name": one.name, "attributes": dict(one.attributes)} for one in span.events],
                "otlp": encode_spans([span]).SerializeToString().hex(),  # all of it, by the stock encoder
            }
        )


async def ask(questions: list[str]) -> Recorder:
    fanout = install_from_config()
    before = trace.get_tracer_provider()
    recorder = Recorder()
    fanout.provider.add_span_processor(recorder)
    weather = __import__("weather")
    app = await AjolopyFactory.create(weather.Application)
    print("same-provider", before is trace.get_tracer_provider() is fanout.provider, flush=True)
    agent = app.container.resolve(weather.Weather)
    for question in questions:
        try:
            if question.startswith("stream:"):
                answer = "".join([str(part) async for part in agent.stream(question)])
            else:
                answer = await agent.run(question)
        except Exception as error:  # what an agent raises is part of the scene, and is compared in the spans
            answer = f"{type(error).__name__}"
        print("answer", answer, flush=True)
    await app.aclose()
    return recorder


async def listen(port: int) -> None:
    install_from_config()
    weather = __import__("weather")
    app = await AjolopyFactory.create(weather.Application)
    await app.listen(port, host="127.0.0.1")


async def late() -> None:
    weather = __import__("weather")
    app = await AjolopyFactory.create(weather.Application)
    theirs = trace.get_tracer_provider()
    fanout = install_from_config()
    print("same-provider", theirs is trace.get_tracer_provider() is fanout.provider, flush=True)
    print("answer", await app.container.resolve(weather.Weather).run("How warm is it in Bern?"), flush=True)
    await app.aclose()


def main(way: str, *rest: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
    if way != "late":  # there Ajolopy has set its own logging up before we say anything
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if way == "ask":
        recorder = asyncio.run(ask(list(rest[1:])))
        lines = [json.dumps(span) + "\n" for span in recorder.spans]
        Path(rest[0]).write_text("".join(lines), encoding="utf-8")
    elif way == "listen":
        asyncio.run(listen(int(rest[0])))
    elif way == "late":
        asyncio.run(late())
    elif way == "run":
        install_from_config()
        run(__import__("weather").Application, port=int(rest[0]), host="127.0.0.1")


if __name__ == "__main__":
    main(*sys.argv[1:])
