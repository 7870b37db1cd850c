"""CPU per span that tracing adds: one and five stock exporters, one and five of our backends, in one run.

Each configuration runs in a process of its own and sends to a sink in another process, so that only the
client's CPU is counted (all its threads, from the first span to the end of the flush). The CPU of the same
program without any exporter is subtracted. Configurations take turns for several rounds, and the smallest of
each are compared: what else the machine does can only add to them. The figures that count are the ratios.

    python benchmarks/fanout.py [--spans 4000] [--rounds 5] [--compression none|gzip]
"""

from __future__ import annotations

import argparse
import json
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import resident

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = "Tell me the weather in Zürich, please, and whether I need an umbrella tomorrow. " * 12
CONFIGURATIONS = ("nothing", "stock x1", "stock x5", "ours x1", "ours x5", "ours x5, two shapes")


class Sink(BaseHTTPRequestHandler):
    """Takes everything, says 200 with an empty body."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the request, answer at once; a stalled backend reads and never answers."""
        self.rfile.read(int(self.headers["content-length"]))
        if self.path.startswith("/stalled"):
            threading.Event().wait()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Server(socketserver.ThreadingTCPServer):
    """One thread a connection."""

    allow_reuse_address = True
    daemon_threads = True


def serve() -> None:
    """The sink's process: print the port, serve until the parent goes."""
    with Server(("127.0.0.1", 0), Sink) as server:
        print(server.server_address[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


def make_spans(provider: Any, count: int) -> None:
    """Agent traces of four spans: an invocation, two model calls with content, a tool."""
    tracer = provider.get_tracer("ajolopy.agent")
    for number in range(count // 4):
        with tracer.start_as_current_span("agent.invoke WeatherAgent") as root:
            root.set_attribute("ajolopy.agent.name", "WeatherAgent")
            root.set_attribute("ajolopy.cost_usd.total", 0.00042)
            chat(tracer, number)
            with tracer.start_as_current_span("execute_tool get_weather") as tool:
                tool.set_attribute("gen_ai.tool.name", "get_weather")
                tool.set_attribute("gen_ai.tool.call.id", f"call_{number}")
                tool.set_attribute("ajolopy.tool.iteration", 1)
            chat(tracer, number)


def chat(tracer: Any, number: int) -> None:
    """One model call, as an instrumented agent records it."""
    with tracer.start_as_current_span("chat gpt-4o") as span:
        span.set_attributes(
            {
                "gen_ai.system": "openai",
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.request.temperature": 0.2,
                "gen_ai.request.max_tokens": 200,
                "gen_ai.usage.input_tokens": 31 + number % 100,
                "gen_ai.usage.output_tokens": 12,
                "gen_ai.cost_usd": 0.00021,
                "gen_ai.response.finish_reasons": ("stop",),
                "gen_ai.prompt": PROMPT,
                "gen_ai.completion": "It is 21 °C and sunny; leave the umbrella at home.",
                "session.id": f"session-{number % 50}",
                "user.id": f"user-{number % 20}",
                "ajolopy.streaming": False,
            }
        )


def stock(port: int, backends: int, compression: str) -> tuple[Any, Callable[[], None]]:
    """A provider as the OpenTelemetry documentation sets it up, once per backend."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    for number in range(backends):
        exporter = OTLPSpanExporter(
            endpoint=f"http://127.0.0.1:{port}/b{number}/v1/traces",
            compression=Compression.Gzip if compression == "gzip" else Compression.NoCompression,
        )
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=200_000))

    def finish() -> None:
        provider.force_flush()
        provider.shutdown()

    return provider, finish


def ours(port: int, backends: int, compression: str, shapes: int) -> tuple[Any, Callable[[], None]]:
    """The same through a tracing.toml."""
    from ajolo_fanout import install_from_config

    tables = [
        'schema = 1\n[service]\nname = "bench"\n[shutdown]\ntimeout = "60s"',
        f'[defaults]\ncompression = "{compression}"',
        'batch.max_queue_size = 200000\nbatch.max_queue_bytes = "4GiB"',
    ]
    for number in range(backends):
        redaction = 'redaction.content = "drop"\n' if number % shapes else ""
        endpoint = f"http://127.0.0.1:{port}/b{number}/v1/traces"
        tables.append(f'[backends.b{number}]\ntype = "otlp"\nendpoint = "{endpoint}"\n{redaction}')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tracing.toml")
        file.write_text("\n".join(tables))
        fanout = install_from_config(file, set_global=False)

    def finish() -> None:
        report = fanout.shutdown()
        if not report:
            raise SystemExit(f"spans were lost, the figures mean nothing: {report}")

    return fanout.provider, finish


def measure(configuration: str, port: int, spans: int, compression: str) -> None:
    """One configuration in this process: print its CPU seconds."""
    from opentelemetry.sdk.trace import TracerProvider

    backends = 5 if "x5" in configuration else 1
    if configuration == "nothing":
        provider, finish = TracerProvider(shutdown_on_exit=False), lambda: None
    elif configuration.startswith("stock"):
        provider, finish = stock(port, backends, compression)
    else:
        provider, finish = ours(port, backends, compression, 2 if "two shapes" in configuration else 1)
    make_spans(provider, 400)  # imports, caches, connections: not what is measured
    time.sleep(0.2)
    before = time.process_time()
    make_spans(provider, spans)
    finish()
    print(json.dumps({"cpu": time.process_time() - before}))


def measure_memory(port: int) -> None:
    """A stalled backend and 2,000 spans of 200 KB: print by how much the process grew, and its bound."""
    from ajolo_fanout import install_from_config

    bound = 64
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tracing.toml")
        file.write_text(
            'schema = 1\n[service]\nname = "bench"\n[backends.stalled]\ntype = "otlp"\n'
            f'endpoint = "http://127.0.0.1:{port}/stalled"\nbatch.max_queue_bytes = "{bound}MiB"\n'
        )
        fanout = install_from_config(file, set_global=False)
    tracer = fanout.provider.get_tracer("bench")
    before = resident()
    peak = before
    for number in range(2000):
        with tracer.start_as_current_span("large") as span:
            span.set_attribute("gen_ai.prompt", str(number) + "x" * 200_000)
        if number % 20 == 0:
            fanout.flush(0.02)  # lets the router keep up: what waits in the inbox is bounded by count
            peak = max(peak, resident())
    lost = fanout.health().backends["stalled"].counts.lost
    fanout.shutdown(0)
    print(json.dumps({"grew": (peak - before) / 2**20, "bound": bound, "lost": dict(lost)}))


def run(arguments: argparse.Namespace) -> None:
    """All configurations in turn; print the smallest figures and ratios."""
    sink = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    port = sink.stdout.readline().strip()
    command = [sys.executable, __file__, "--port", port, "--spans", str(arguments.spans)]
    command += ["--compression", arguments.compression]
    cpu: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    try:
        for _ in range(arguments.rounds):
            for name in CONFIGURATIONS:
                done = subprocess.run(
                    [*command, "--measure", name],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    sys.exit(done.stderr)
                cpu[name].append(json.loads(done.stdout.splitlines()[-1])["cpu"])
        stalled = subprocess.run(
            [*command, "--measure", "stalled"], capture_output=True, text=True, check=True
        )
    finally:
        sink.kill()
        sink.communicate()
    base = min(cpu["nothing"])
    added = {name: (min(cpu[name]) - base) / arguments.spans * 1e6 for name in CONFIGURATIONS[1:]}
    how = f"{arguments.spans} spans, {arguments.rounds} rounds, compression {arguments.compression}"
    print(f"{how}, Python {sys.version.split()[0]}")
    print(f"{'':24}{'added CPU per span':>20}{'of one stock exporter':>24}")
    for name, micros in added.items():
        print(f"{name:24}{micros:17.1f} µs{micros / added['stock x1']:24.2f}")
    memory = json.loads(stalled.stdout.splitlines()[-1])
    print(
        f"a stalled backend and 2,000 spans of 200 KB: grew by {memory['grew']:.0f} MiB, "
        f"max_queue_bytes {memory['bound']} MiB, ratio {memory['grew'] / memory['bound']:.2f}; "
        f"lost {memory['lost']}"
    )


def main() -> None:
    """Parse, then play one of the three parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compression", choices=("none", "gzip"), default="none")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
    elif arguments.measure == "stalled":
        measure_memory(arguments.port)
    elif arguments.measure:
        measure(arguments.measure, arguments.port, arguments.spans, arguments.compression)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
