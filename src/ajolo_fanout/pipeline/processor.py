"""The one span processor on the provider: it puts ended spans into the inbox."""

from __future__ import annotations

from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.starts import Starts

__all__ = ["FanoutSpanProcessor", "Handle"]


class Handle(Protocol):
    """What the provider's flush and shutdown are passed on to."""

    def flush(self, timeout: float | None = None) -> object:
        """Send what has ended; truthy if nothing was lost and nothing is left."""

    def shutdown(self, timeout: float | None = None) -> object:
        """Send what has ended, then stop."""


class FanoutSpanProcessor(SpanProcessor):
    """What the program's threads meet of us: `[context]` at a span's start, one append at its end."""

    def __init__(self, inbox: Inbox, handle: Handle, starts: Starts | None = None) -> None:
        """A processor.

        Args:
            inbox: Where ended spans go.
            handle: Whose `flush` and `shutdown` the provider's calls end in; neither raises.
            starts: Who looks at spans when they start; nobody has to where it is None.
        """
        self._inbox = inbox
        self._handle = handle
        self._starts = Starts() if starts is None else starts

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span starts; nothing is raised."""
        self._starts.begin(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span. One that is refused is counted there; nothing is raised."""
        starts = self._starts
        note = starts.end(span) if starts.noting else None
        if note is None:
            self._inbox.put(span)
        elif not self._inbox.put((span, note)):
            starts.arrived(span)  # it never will, and nobody is to wait for it

    def turn_to(self, inbox: Inbox, starts: Starts) -> None:
        """From now on, what ends goes into `inbox`, and `starts` looks at what starts."""
        self._inbox, self._starts = inbox, starts

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush every backend; whether all was delivered by then."""
        return bool(self._handle.flush(timeout_millis / 1000))

    def shutdown(self) -> None:
        """Flush and stop; the file's `[shutdown] timeout` bounds it."""
        self._handle.shutdown()
