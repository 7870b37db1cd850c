"""Spans that have started and not ended: how many, and, where the file asks for it, which."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.util import BoundedList

from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.processor import FanoutSpanProcessor, Handle
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.steps.counter import Counter

__all__ = ["MOST", "UNFINISHED", "OpenSpans", "WatchingSpanProcessor"]

_log = logging.getLogger("ajolo_fanout.pipeline")

MOST = 10_000
"""How many open spans are known at a time; what starts beyond is counted, and no more. And how many of those that the
program dates back are counted."""

UNFINISHED = "ajolo_fanout.unfinished"
"""The attribute, true, of a span that was sent without having ended."""


class _Ref(weakref.ref[Span]):
    """A weak reference to a span that knows its id."""

    __slots__ = ("span_id",)

    span_id: int


class OpenSpans:
    """Counts spans that start and end, on the program's threads; without a lock, and raising nothing.

    Counting is one step in C for each. Knowing the spans themselves takes a weak reference each, which is why
    only a file that wants them sent gets that.

    What started before us, or in the parent of a forked child, and ends here isn't ours to count. Its time of
    start says so; that of a span which the program dates back says so wrongly, and so the ids of these are kept.
    """

    def __init__(self, *, known: bool = False) -> None:
        """None yet.

        Args:
            known: Whether to know which they are, and not only how many.
        """
        self._known = known
        self._started = Counter()
        self._ended = Counter()
        self._gone = Counter()
        self.reset()

    def reset(self) -> None:
        """In a forked child: what the parent started is the parent's to end."""
        self._started.reset()
        self._ended.reset()
        self._gone.reset()
        self._began = time.time_ns()  # the clock that the SDK takes a span's start from
        self._dated_back: set[int] = set()
        self._asking = threading.Lock()
        self._told = 0
        self._refs: dict[int, _Ref] = {}
        self._sent: set[int] = set()
        self._forget = _forgetter(self._refs, self._gone)

    @property
    def count(self) -> int:
        """How many have started and not ended, those whose objects are gone included."""
        started = self._started.value  # read first: what ends meanwhile can only make the answer too small
        return max(0, started - self._ended.value)

    def newly_gone(self) -> int:
        """How many more will never end, for nothing holds them any more; 0 unless they are known.

        And 0 while another asks, who is told: nobody waits here, for a signal handler may have interrupted that one.
        """
        if not self._asking.acquire(blocking=False):
            return 0
        try:
            gone = self._gone.value
            new, self._told = gone - self._told, gone
        finally:
            self._asking.release()
        return new

    def starts(self, span: Span) -> None:
        """A span starts."""
        try:
            later = span.start_time > self._began  # type: ignore[operator]
        except TypeError:  # whatever the program gave as its start
            later = False
        if later:
            self._started.add()
        elif len(self._dated_back) < MOST:
            self._dated_back.add(span.context.span_id)
            self._started.add()
        if self._known and len(self._refs) < MOST:
            ref = _Ref(span, self._forget)
            ref.span_id = span.context.span_id
            self._refs[ref.span_id] = ref

    def ends(self, span: ReadableSpan) -> bool:
        """A span ends; False where it was sent already, unfinished."""
        context = span.context if self._known else None
        try:
            later = span.start_time > self._began  # type: ignore[operator]
        except TypeError:  # made by hand, without one
            later = False
        if later or self._was_dated_back(span):
            self._ended.add()
        if context is None:
            return True
        return self._refs.pop(context.span_id, None) is not None or context.span_id not in self._sent

    def _was_dated_back(self, span: ReadableSpan) -> bool:
        context = span.context
        if context is None or context.span_id not in self._dated_back:
            return False
        self._dated_back.discard(context.span_id)
        return True

    def unfinished(
        self, put: Callable[[ReadableSpan], object], make_room: Callable[[], object], room: int
    ) -> int:
        """Put what is open, as it is now and marked; how many that were.

        Whatever ends at the same moment goes once: as it ended, or unfinished.

        Args:
            put: Takes one.
            make_room: Called before the first, and again after each `room`: they may be more than a queue holds.
            room: How many may be put at a time.
        """
        now = time.time_ns()
        number = 0
        for index, (span_id, ref) in enumerate(list(self._refs.items())):
            if index % room == 0:
                make_room()
            self._sent.add(span_id)
            span = ref()
            if self._refs.pop(span_id, None) is None or span is None:
                self._sent.discard(span_id)  # it has ended, or is gone, since the list was made
            else:
                put(_as_it_is(span, now))
                number += 1
        return number


class WatchingSpanProcessor(FanoutSpanProcessor):
    """The span processor on the provider, with an eye on what doesn't end.

    Attributes:
        at_start: Called at every start of a span until it returns True; for what can only be done in the
            program's main thread, and needn't be done before it traces.
    """

    def __init__(self, inbox: Inbox, handle: Handle, starts: Starts, open_spans: OpenSpans) -> None:
        """A processor.

        Args:
            inbox: Where ended spans go.
            handle: Whose `flush` and `shutdown` the provider's calls end in; neither raises.
            starts: Who looks at spans when they start.
            open_spans: Who counts them.
        """
        super().__init__(inbox, handle, starts)
        self._open_spans = open_spans
        self._failed = False
        self.at_start: Callable[[], bool] | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span starts; nothing is raised."""
        try:
            self._open_spans.starts(span)
            if self.at_start is not None and self.at_start():
                self.at_start = None
        except Exception:  # the program's thread: a span of a kind that we can't hold starts all the same
            if not self._failed:
                self._failed = True
                _log.exception("a span that starts can't be followed; this is said once")
        FanoutSpanProcessor.on_start(self, span, parent_context)  # super() would cost as much as the counting

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, unless it was sent unfinished. One that is refused is counted there; nothing is raised."""
        if self._open_spans.ends(span):
            FanoutSpanProcessor.on_end(self, span)

    def send_unfinished(self, make_room: Callable[[], object], room: int) -> int:
        """Take what is still open; how many that were. See `OpenSpans.unfinished()`."""
        return self._open_spans.unfinished(super().on_end, make_room, room)


def _as_it_is(span: Span, now: int) -> ReadableSpan:
    """A copy of an open span with what it holds now. Its collections are copied under their own locks."""
    attributes = BoundedAttributes(attributes={**(span.attributes or {}), UNFINISHED: True}, immutable=False)
    attributes.dropped = span.dropped_attributes
    events, links = BoundedList.from_seq(None, span.events), BoundedList.from_seq(None, span.links)
    events.dropped, links.dropped = span.dropped_events, span.dropped_links
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=now,
        instrumentation_scope=span.instrumentation_scope,
    )


def _forgetter(refs: dict[int, _Ref], gone: Counter) -> Callable[[_Ref], None]:
    """What is called when an open span's object is gone; it holds on to nothing but what it changes."""

    def forget(ref: _Ref) -> None:
        if refs.get(ref.span_id) is ref:  # not another one of the same id
            del refs[ref.span_id]
            gone.add()

    return forget
