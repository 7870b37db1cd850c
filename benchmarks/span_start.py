"""What the start and the end of a span cost the program's thread, by what the file asks of us there.

Run: python benchmarks/span_start.py. A real provider starts a child span and ends it; ours is the only span
processor, with nothing to do at the start, with `[context] attributes`, and with a backend that needs whole
traces. Prints microseconds of the calling thread's CPU per span (the median of the rounds), and what each
adds to a provider whose span processor does nothing.
"""

from __future__ import annotations

import statistics
import time

from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import set_span_in_context

from ajolo_fanout.pipeline.context import context
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.processor import FanoutSpanProcessor
from ajolo_fanout.pipeline.router import Router
from ajolo_fanout.pipeline.starts import Starts
from common import NoHandle

SPANS = 2000
ROUNDS = 31
NAMES = ("session.id", "user.id", "tenant")


class Nothing(SpanProcessor):
    """The floor: two calls that do nothing."""

    def on_start(self, span: Span, parent_context: object = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing."""


def measure(processor: SpanProcessor, *, surrounded: bool = False) -> float:
    """Microseconds of this thread's CPU for the start and the end of one span."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("benchmark")
    where = set_span_in_context(tracer.start_span("root"))
    if surrounded:
        where = baggage.set_baggage("tenant", "acme", where)
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(SPANS):
            tracer.start_span("span", where).end()
        rounds.append((time.thread_time() - started) / SPANS * 1e6)
        processor.force_flush()
    return statistics.median(rounds)


def ours(attributes: tuple[str, ...] = (), *, follow: bool = False, surrounded: bool = False) -> float:
    """The same with our span processor."""
    inbox = Inbox(SPANS * ROUNDS * 2)
    router = Router(inbox, [])
    router.start()
    processor = FanoutSpanProcessor(inbox, NoHandle(), Starts(attributes, follow=follow))
    with context(**{"session.id": "s-1", "user.id": "u-1"}):
        found = measure(processor, surrounded=surrounded)
    router.stop(time.monotonic() + 10)
    return found


def main() -> None:
    """Measure and print."""
    floor = measure(Nothing())
    print(f"{'a processor that does nothing':48} {floor:6.2f} µs a span")
    for what, found in (
        ("ours, with nothing to do at the start", ours()),
        ("[context] with three names, none of them found", ours(("a", "b", "c"))),
        ("[context] with three names, all of them found", ours(NAMES, surrounded=True)),
        ("a backend that needs whole traces", ours(follow=True)),
        ("both", ours(NAMES, follow=True, surrounded=True)),
    ):
        print(f"{what:48} {found:6.2f} µs, {found - floor:+.2f}")


if __name__ == "__main__":
    main()
