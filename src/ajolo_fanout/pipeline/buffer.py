"""The trace buffer: holds ended spans until their trace is finished, or a bound is met.

One serves all backends that need whole traces. It belongs to the router's thread and takes no lock. It only
holds and hands out; what becomes of a trace is decided elsewhere (`traces`). Whatever it hands out early it
counts, by the bound that forced it.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.pipeline.starts import Fragment, Note
from ajolo_fanout.steps.keep import is_local_root

__all__ = ["BOUNDS", "Buffer", "Held", "Trace", "size_of_span"]

BOUNDS = ("max_traces", "max_spans_per_trace", "max_bytes", "max_wait")
"""What may force a decision about an unfinished trace."""

_SPAN_BYTES = 2048
"""What a span takes beside its texts: the objects themselves and their dictionaries, measured and rounded."""
_VALUE_BYTES = 64


class Held:
    """One ended span, with what is known of it.

    Attributes:
        span: The span.
        note: What was noted at its start; None where nothing was.
        made: What was encoded of it for other backends already, by the number of the shape.
    """

    __slots__ = ("made", "note", "span")

    def __init__(self, span: ReadableSpan, note: Note | None, made: dict[int, Any] | None = None) -> None:
        self.span = span
        self.note = note
        self.made = {} if made is None else made


@attrs.define(eq=False)
class Trace:
    """The spans of one fragment that have ended so far, in that order.

    Attributes:
        fragment: Which one.
        born: When the first of them came, in seconds of the buffer's clock.
        held: The spans.
        size: Their bytes, roughly.
    """

    fragment: Fragment
    born: float
    held: list[Held] = attrs.field(factory=list)
    size: int = 0


class Buffer:
    """Unfinished traces, oldest first.

    Attributes:
        awaits_strangers: Whether a trace below a local parent that another provider made is held for as long
            as may be, since a backend repairs orphans: else it is finished when the topmost of ours has ended.
        forced: How many traces were decided unfinished, by the bound that forced it.
    """

    def __init__(self, settings: BufferSettings, *, now: Callable[[], float] = time.monotonic) -> None:
        """An empty buffer.

        Args:
            settings: Its bounds.
            now: Its clock: seconds that never go back.
        """
        self._settings = settings
        self._now = now
        self._traces: collections.OrderedDict[int, Trace] = collections.OrderedDict()
        self._loose: collections.OrderedDict[int, Fragment] = collections.OrderedDict()
        self._size = 0
        self._spans = 0
        self.awaits_strangers = False
        self.forced = dict.fromkeys(BOUNDS, 0)

    @property
    def traces(self) -> int:
        """How many traces are held."""
        return len(self._traces)

    @property
    def spans(self) -> int:
        """How many spans are held."""
        return self._spans

    @property
    def size(self) -> int:
        """How many bytes they take, roughly."""
        return self._size

    def fragment(self, held: Held) -> Fragment:
        """What `held` is a part of.

        Where nothing was noted at its start (a span that began before we were installed), its whole trace is
        taken for one fragment; as many of these are remembered as traces are held.
        """
        if held.note is not None:
            return held.note.fragment
        context = held.span.context
        trace_id = 0 if context is None else context.trace_id
        found = self._loose.get(trace_id)
        if found is None:
            found = self._loose[trace_id] = Fragment(known=False)
            if len(self._loose) > self._settings.max_traces:
                self._loose.popitem(last=False)
        return found

    def add(self, held: Held, fragment: Fragment) -> list[Trace]:
        """Hold a span; what is to be decided now because of it."""
        trace = self._traces.get(id(fragment))
        if trace is None:
            trace = self._traces[id(fragment)] = Trace(fragment, self._now())
        size = _size_of(held)
        trace.held.append(held)
        trace.size += size
        self._size += size
        self._spans += 1
        if is_local_root(held.span) or self._is_top(held):
            self._release(trace)
            return [trace]
        ready = []
        if len(trace.held) >= self._settings.max_spans_per_trace:
            ready.append(self._force(trace, "max_spans_per_trace"))
        while len(self._traces) > self._settings.max_traces:
            ready.append(self._force(self._oldest(), "max_traces"))
        while self._size > self._settings.max_bytes and self._traces:
            ready.append(self._force(self._oldest(), "max_bytes"))
        return ready

    def due(self) -> Iterator[Trace]:
        """What has waited for as long as it may."""
        while self._traces and self.patience() <= 0:
            yield self._force(self._oldest(), "max_wait")

    def patience(self) -> float:
        """Seconds until something is due; only while something is held."""
        return self._oldest().born + float(self._settings.max_wait) - self._now()

    def empty(self) -> Iterator[Trace]:
        """Everything, oldest first: at the end."""
        while self._traces:
            trace = self._oldest()
            self._release(trace)
            yield trace

    def abandon(self) -> int:
        """Give everything up, whatever the router's thread is at; how many spans that were.

        One step in the interpreter: a trace is either handed out before, or given up here.
        """
        given_up, self._traces = self._traces, collections.OrderedDict()
        return sum(len(trace.held) for trace in given_up.values())

    def clear(self) -> None:
        """Forget everything, and count from zero: in a forked child."""
        self._traces.clear()
        self._loose.clear()
        self._size = self._spans = 0
        self.forced = dict.fromkeys(BOUNDS, 0)

    def _is_top(self, held: Held) -> bool:
        """Whether nothing of the trace is above a span here, whose local parent another provider made."""
        return held.note is not None and not held.note.ours and not self.awaits_strangers

    def _oldest(self) -> Trace:
        return next(iter(self._traces.values()))

    def _force(self, trace: Trace, bound: str) -> Trace:
        self.forced[bound] += 1
        self._release(trace)
        return trace

    def _release(self, trace: Trace) -> None:
        del self._traces[id(trace.fragment)]
        self._size -= trace.size
        self._spans -= len(trace.held)


def size_of_span(span: ReadableSpan) -> int:
    """About how many bytes a span takes while it is held. Counting exactly would cost more than holding."""
    size = _SPAN_BYTES + _values_size(span.attributes)
    for event in span.events:
        size += _SPAN_BYTES // 4 + _values_size(event.attributes)
    return size


def _size_of(held: Held) -> int:
    return size_of_span(held.span) + sum([len(made.rendition.span) for made in held.made.values()])


def _values_size(attributes: Any) -> int:
    if not attributes:
        return 0
    try:
        values = attributes.copy().values()  # a copy of the SDK's attributes is a plain dict: far quicker
    except AttributeError:
        values = attributes.values()
    size = 0
    for value in values:
        size += _VALUE_BYTES
        if isinstance(value, (str, bytes)):
            size += len(value)
        elif isinstance(value, (tuple, list)):
            size += sum(
                [_VALUE_BYTES + len(one) if isinstance(one, (str, bytes)) else _VALUE_BYTES for one in value]
            )
        elif isinstance(value, dict):
            size += len(repr(value))
    return size
