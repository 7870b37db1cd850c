"""What the end of a span costs the program's thread: ours beside the SDK's BatchSpanProcessor.

Run: python benchmarks/span_end.py. The threads behind them work meanwhile; the queues are made large enough
that nothing is refused, and are emptied between the rounds. Prints microseconds of the calling thread's CPU
per span (the median of the rounds) and the ratio of the two.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.processor import FanoutSpanProcessor
from ajolo_fanout.pipeline.router import Router
from common import NoHandle

SPANS = 5000
ROUNDS = 21


class Nowhere(SpanExporter):
    """Takes everything."""

    def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take it."""
        return SpanExportResult.SUCCESS


class Nothing(SpanProcessor):
    """The floor: a call that does nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing."""


def ended_span() -> ReadableSpan:
    """One sampled span of the SDK."""
    kept: list[ReadableSpan] = []

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            kept.append(span)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Keep())
    provider.get_tracer("benchmark").start_span("span", attributes={"n": 1}).end()
    return kept[0]


def measure(on_end: Callable[[ReadableSpan], None], span: ReadableSpan, empty: Callable[[], object]) -> float:
    """Microseconds of this thread's CPU per call."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(SPANS):
            on_end(span)
        rounds.append((time.thread_time() - started) / SPANS * 1e6)
        empty()
    return statistics.median(rounds)


def main() -> None:
    """Measure and print."""
    span = ended_span()
    floor = measure(Nothing().on_end, span, lambda: None)
    batch = BatchSpanProcessor(Nowhere(), max_queue_size=SPANS * 2, max_export_batch_size=512)
    stock = measure(batch.on_end, span, batch.force_flush)
    batch.shutdown()
    inbox = Inbox(SPANS * 2)
    router = Router(inbox, [])
    router.start()
    ours = measure(
        FanoutSpanProcessor(inbox, NoHandle()).on_end, span, lambda: router.drain(time.monotonic() + 10)
    )
    router.stop(time.monotonic() + 10)
    print(f"a processor that does nothing        {floor:6.3f} µs")
    print(f"the SDK's BatchSpanProcessor.on_end  {stock:6.3f} µs")
    print(f"FanoutSpanProcessor.on_end           {ours:6.3f} µs   {ours / stock:.2f} of the SDK's")
    print(f"refused {inbox.refused}")


if __name__ == "__main__":
    main()
