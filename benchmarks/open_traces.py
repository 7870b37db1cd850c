"""What open traces cost in memory: 100,000 at a time, in a program whose backends have keep rules.

Each trace has a root that is still running and a model call that has ended. Run: python benchmarks/open_traces.py
[--traces 100000]. Two processes make the same spans, one without us; each prints by how much it grew (Linux).
What we hold of ended spans is bounded by `[sampling] max_bytes` and `max_traces`; besides, each span that is
still running is noted. Exits with 1 where what is held is over its bound, or a span has no fate.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import resident

if TYPE_CHECKING:
    from collections.abc import Sequence

BOUND = 16
FILE = f"""
schema = 1
[service]
name = "benchmark"
[sampling]
max_bytes = "{BOUND}MiB"
max_wait = "1h"
[shutdown]
timeout = "60s"
[defaults.batch]
max_queue_size = 1000000
[backends.one]
type = "file"
path = "spans.jsonl"
sampling.ratio = 0.0
sampling.keep = [{{ name = "errors", match = {{ status = "error" }} }}]
"""
TEXT = "Tell me the weather in Zürich, please, and whether I need an umbrella tomorrow. " * 6


def open_traces(provider: Any, count: int) -> tuple[list[Any], float]:
    """Start so many traces, each with a call that ends; the roots, and by how many MiB the process grew."""
    from opentelemetry.trace import set_span_in_context

    tracer = provider.get_tracer("benchmark")
    gc.collect()
    before = resident()
    roots = []
    for number in range(count):
        root = tracer.start_span("agent.invoke")
        attributes = {"gen_ai.request.model": "gpt-4o", "gen_ai.prompt": f"{number} {TEXT}"}
        tracer.start_span("chat gpt-4o", set_span_in_context(root), attributes=attributes).end()
        roots.append(root)
        if number % 2000 == 0:
            provider.force_flush()  # lets the router keep up, as a real program does by being slower
    provider.force_flush()
    gc.collect()
    return roots, (resident() - before) / 2**20


def without(count: int) -> None:
    """The program alone."""
    from opentelemetry.sdk.trace import TracerProvider

    _, grew = open_traces(TracerProvider(shutdown_on_exit=False), count)
    print(json.dumps({"grew": grew}))


def ours(count: int) -> None:
    """The same with a backend that has keep rules."""
    from ajolo_fanout import install_from_config

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tracing.toml")
        file.write_text(FILE)
        fanout = install_from_config(file, set_global=False)
        roots, grew = open_traces(fanout.provider, count)
        held = fanout.health().held
        for root in roots:
            root.end()
        fanout.shutdown()
        counts = fanout.health().backends["one"].counts
    found = {
        "grew": grew,
        "traces": held.traces,
        "held": held.bytes / 2**20,
        "forced": dict(held.forced),
        "undecided": counts.seen - counts.sampled_out + (2 * count - counts.seen),
    }
    print(json.dumps(found))


def run(count: int) -> int:
    """Both in turn; print, and judge."""

    def child(part: str) -> dict[str, Any]:
        command: Sequence[str] = (sys.executable, __file__, "--traces", str(count), "--part", part)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    alone, with_us = child("without")["grew"], child("ours")
    more = with_us["grew"] - alone
    noted = max(0.0, more - with_us["held"]) / count * 2**20
    print(f"{count:,} open traces, each with a call that has ended, Python {sys.version.split()[0]}")
    print(f"the program alone grew by          {alone:8.1f} MiB")
    print(f"with us by                         {with_us['grew']:8.1f} MiB, {more:+.1f}")
    print(f"held of ended spans, as we count   {with_us['held']:8.1f} MiB of max_bytes {BOUND} MiB")
    print(f"traces held                        {with_us['traces']:8,}     of max_traces 10,000")
    print(f"for each open trace besides        {noted:8.0f} bytes")
    print(f"decided early                      {with_us['forced']}")
    return int(with_us["held"] > BOUND or with_us["undecided"] != 0)


def main() -> None:
    """Parse, then play one of the three parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--part", choices=("without", "ours"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        {"without": without, "ours": ours}[arguments.part](arguments.traces)
    else:
        sys.exit(run(arguments.traces))


if __name__ == "__main__":
    main()
