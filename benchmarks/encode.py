"""What it costs to encode, join and compress spans: ours and the stock encoder's, side by side in one run.

    python benchmarks/encode.py [--seconds 0.5]

Times depend on the machine; the ratios, taken in alternating rounds of the same run, hardly do.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AnyValue

from ajolo_fanout.otlp.compress import compress
from ajolo_fanout.otlp.encode import Tally, encode_span
from ajolo_fanout.otlp.envelopes import Envelopes
from ajolo_fanout.otlp.rendition import Rendition, sampled_context
from ajolo_fanout.otlp.request import requests

ROUNDS = 5
KINDS = ("chat", "tool", "failed", "messages")
LABELS = {
    "chat": "chat span, 15 attributes",
    "tool": "tool span",
    "failed": "span with an exception event",
    "messages": "chat span, 200 message attributes",
}
PROSE = "The quick brown fox answers the customer's question about an invoice from last month. "


def make_spans(copies: int) -> dict[str, list[ReadableSpan]]:
    """`copies` spans of each kind in `KINDS`, ended by the SDK, no two with the same ids or numbers."""
    exporter = InMemorySpanExporter()
    resource = Resource({"service.name": "agent", "service.version": "1.4.2", "host.name": "web-1"})
    provider = TracerProvider(
        resource=resource, span_limits=SpanLimits(max_span_attributes=2048), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("agents", "0.1.8")
    made: dict[str, list[ReadableSpan]] = {}
    makers: dict[str, Callable[..., None]] = {
        "chat": _chat,
        "tool": _tool,
        "failed": _failed,
        "messages": _messages,
    }
    for kind, make in makers.items():
        for number in range(copies):
            with tracer.start_as_current_span("agent.invoke"):
                make(tracer, number)
        made[kind] = [span for span in exporter.get_finished_spans() if span.parent is not None]
        exporter.clear()
    provider.shutdown()
    return made


def _chat_attributes(number: int) -> dict[str, AnyValue]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": f"chatcmpl-{number:020d}",
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.usage.input_tokens": 1200 + number * 7,
        "gen_ai.usage.output_tokens": 90 + number * 3,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.cost_usd": 0.00123 * (number + 1),
        "gen_ai.request.stream": False,
        "session.id": f"session-{number % 40}",
        "user.id": f"user-{number % 17}",
        "gen_ai.input.messages": json.dumps([{"role": "user", "content": PROSE * 5 + str(number)}]),
    }


def _chat(tracer: Tracer, number: int) -> None:
    with tracer.start_as_current_span(
        "chat gpt-4o", kind=SpanKind.CLIENT, attributes=_chat_attributes(number)
    ):
        pass


def _tool(tracer: Tracer, number: int) -> None:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search_orders",
        "gen_ai.tool.call.id": f"call_{number:024d}",
        "gen_ai.tool.call.arguments": json.dumps({"customer": number, "limit": 10}),
        "gen_ai.tool.call.result": json.dumps({"orders": [number, number + 1], "note": PROSE}),
        "session.id": f"session-{number % 40}",
    }
    with tracer.start_as_current_span("execute_tool search_orders", attributes=attributes):
        pass


def _failed(tracer: Tracer, number: int) -> None:
    span = tracer.start_span("execute_tool search_orders", attributes={"gen_ai.tool.name": "search_orders"})
    try:
        {"order 1": 1}[f"no order {number}"]
    except KeyError as error:
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, str(error)))
    span.end()


def _messages(tracer: Tracer, number: int) -> None:
    attributes = _chat_attributes(number)
    for index in range(100):
        attributes[f"gen_ai.prompt.{index}.role"] = "user" if index % 2 else "assistant"
        attributes[f"gen_ai.prompt.{index}.content"] = f"{number} {PROSE}"
    with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=attributes):
        pass


def compare(ours: Callable[[], object], stock: Callable[[], object], seconds: float) -> tuple[float, float]:
    """The least CPU seconds one call of each takes, measured in alternating rounds."""
    pairs = [(_cost(ours, seconds), _cost(stock, seconds)) for _ in range(ROUNDS)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def _cost(call: Callable[[], object], seconds: float) -> float:
    budget, calls, started = seconds / ROUNDS, 0, time.process_time()
    while (spent := time.process_time() - started) < budget or not calls:
        call()
        calls += 1
    return spent / calls


def _row(label: str, ours: float, stock: float, unit: str = "µs") -> None:
    scale = 1e6 if unit == "µs" else 1e3
    print(f"{label:44} {ours * scale:9.1f} {unit} {stock * scale:9.1f} {unit} {ours / stock:8.2f}")


def _encode_all(spans: Sequence[ReadableSpan]) -> list[Rendition]:
    tally, envelopes = Tally(), Envelopes()
    return [
        Rendition(sampled_context(span.context), encode_span(span, tally), envelopes.of(span, tally))
        for span in spans
    ]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU seconds per measurement")
    seconds = parser.parse_args().seconds
    spans = make_spans(512)
    print(f"{'':44} {'ours':>12} {'stock':>12} {'ratio':>8}")
    for kind in KINDS:
        some = spans[kind][:100]
        tally = Tally()
        ours, stock = compare(
            lambda some=some, tally=tally: [encode_span(span, tally) for span in some],  # type: ignore[misc]
            lambda some=some: encode_spans(some).SerializeToString(),  # type: ignore[misc]
            seconds,
        )
        _row(f"encode {LABELS[kind]}", ours / len(some), stock / len(some))
    chats = spans["chat"]
    renditions = _encode_all(chats)
    message = encode_spans(chats)
    body = message.SerializeToString()
    [request] = requests(renditions, 64 * 1024**2)
    assert len(request.body) == len(body)
    _row(
        "join 512 chat spans | serialise the message",
        *compare(lambda: list(requests(renditions, 64 * 1024**2)), message.SerializeToString, seconds),
        unit="ms",
    )
    _row(
        "split 512 chat spans into 64 KiB | serialise",
        *compare(lambda: list(requests(renditions, 64 * 1024)), message.SerializeToString, seconds),
        unit="ms",
    )
    _row(
        "spans to request body, all of it",
        *compare(
            lambda: list(requests(_encode_all(chats), 64 * 1024**2)),
            lambda: encode_spans(chats).SerializeToString(),
            seconds,
        ),
        unit="ms",
    )
    _row(
        f"gzip {len(body) / 1024:.0f} KiB | gzip as stock (level 9)",
        *compare(lambda: compress(body, "gzip"), lambda: gzip.compress(body), seconds),
        unit="ms",
    )
    print(
        f"gzip'd size: ours {len(compress(body, 'gzip')):,} bytes, stock {len(gzip.compress(body)):,} bytes"
    )


if __name__ == "__main__":
    main()
