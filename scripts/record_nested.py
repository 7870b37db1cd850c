"""Record agents that ask one another, under real Ajolopy, for `examples/recorded/nested_agents.json`.

A planner asks a guide, the guide asks the weather agent: three levels, each with model calls of its own. The
model is in this file, the answers are the same each time. It needs Ajolopy, and with it CPython 3.14::

    python3.14 -m venv .venv && .venv/bin/pip install 'ajolopy[otel]==0.1.8'
    .venv/bin/python scripts/record_nested.py examples/recorded
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from ajolopy import Agent, AjolopyFactory, Module, Tool
from ajolopy.providers import LLMProvider, Response, ToolCall, register_provider, register_route
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from record_traces import document

NAME = "nested_agents"


class ScriptedLLM(LLMProvider):
    """Uses the first tool that it is offered, once, and then answers with what that said."""

    GEN_AI_SYSTEM = "openai"

    async def complete(self, *, messages: list[Any], tools: Any = None, **_: Any) -> Response:
        """One model call, with its tokens."""
        heard = [message.content for message in messages if message.role == "tool"]
        if tools and not heard:
            name, arguments = _first(tools)
            call = ToolCall(id="call_1", name=name, arguments=arguments)
            return Response(
                text="", tool_calls=[call], tokens_in=31, tokens_out=12, finish_reason="tool_calls"
            )
        text = f"Answer: {'; '.join(heard)}"
        return Response(
            text=text, tokens_in=57, tokens_out=9, finish_reason="stop", cache_read_input_tokens=20
        )

    async def stream(self, **_: Any) -> Any:
        """Nobody streams here."""
        raise NotImplementedError

    async def embed(self, *, text: Any, **_: Any) -> list[list[float]]:
        """A vector for each text."""
        return [[1.0, 0.0]] * (1 if isinstance(text, str) else len(text))

    def count_tokens(self, *, text: str, **_: Any) -> int:
        """About four characters a token."""
        return len(text) // 4

    def supports_prompt_caching(self) -> bool:
        """So that the cost of cached input is among the attributes."""
        return True

    def supports_tool_calling(self) -> bool:
        """Agents without tools would not nest."""
        return True


def _first(tools: Any) -> tuple[str, dict[str, str]]:
    text = json.dumps(tools, default=str)
    for name, arguments in (
        ("ask_guide", {"question": "What is it like in Zürich?"}),
        ("ask_weather", {"question": "How warm is it in Zürich?"}),
        ("get_weather", {"city": "Zürich"}),
    ):
        if name in text:
            return name, arguments
    raise LookupError(f"no tool of ours in {text}")


register_provider("scripted", ScriptedLLM)
register_route("gpt-4o*", "scripted")  # models whose prices Ajolopy knows, so that it writes the cost


@Agent(model="gpt-4o-mini", system="You tell the weather.", temperature=0.2, max_tokens=200)
class WeatherAgent:
    """The innermost."""

    @Tool
    async def get_weather(self, city: str) -> dict[str, Any]:
        """The weather in a city."""
        await asyncio.sleep(0.003)
        return {"city": city, "celsius": 21}


@Agent(model="gpt-4o", system="You know your way about cities.", temperature=0.2, max_tokens=200)
class GuideAgent:
    """In the middle."""

    @Tool
    async def ask_weather(self, question: str) -> str:
        """Ask somebody who knows the weather."""
        return str(await WeatherAgent().run(question))


@Agent(model="gpt-4o", system="You plan journeys.", temperature=0.2, max_tokens=200)
class PlannerAgent:
    """The outermost."""

    @Tool
    async def ask_guide(self, question: str) -> str:
        """Ask somebody who knows a city."""
        return str(await GuideAgent().run(question))


@Module(agents=[PlannerAgent, GuideAgent, WeatherAgent])
class Application:
    """All three."""


class Recorder(SpanProcessor):
    """Keeps what ended, in that order."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


async def record() -> list[ReadableSpan]:
    """The spans of one question."""
    recorder = Recorder()
    provider = TracerProvider(resource=Resource.create({"service.name": "travel-app"}))
    provider.add_span_processor(recorder)
    trace.set_tracer_provider(provider)
    app = await AjolopyFactory.create(Application)
    await app.container.resolve(PlannerAgent).run("What shall I wear in Zürich?")
    await app.aclose()
    return recorder.spans


def plain(span: ReadableSpan) -> dict[str, Any]:
    """A span as `record_traces.document` takes it."""
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in span.attributes.items()
        },
        "events": [
            {"name": event.name, "timestamp": event.timestamp, "attributes": dict(event.attributes)}
            for event in span.events
        ],
        "links": len(span.links),
        "status": {"code": span.status.status_code.name, "description": span.status.description},
        "scope": {"name": scope.name, "version": scope.version, "schema_url": scope.schema_url},
        "resource": dict(span.resource.attributes),
    }


def main() -> None:
    """Record, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where nested_agents.json goes")
    folder = parser.parse_args().folder
    spans = [plain(span) for span in asyncio.run(record())]
    text = json.dumps(document(spans), ensure_ascii=False, indent=1)
    (folder / f"{NAME}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(spans)} spans")


if __name__ == "__main__":
    main()
