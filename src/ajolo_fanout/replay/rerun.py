"""Recorded spans through a provider, as if the program that made them ran again: same ids, same times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, set_span_in_context

__all__ = ["replayed", "rerun"]

ProviderOf = Callable[[ReadableSpan], TracerProvider]


def rerun(provider: TracerProvider | ProviderOf, spans: Iterable[ReadableSpan]) -> None:
    """Start and end every span of `spans` on `provider` again, in the order in which they started and ended.

    Everything that the provider does happens: its sampler decides, its resource and its limits apply, its
    span processors see each start and end. A parent that isn't among `spans` is taken as recorded.

    Args:
        provider: Nobody else may start spans on the recorded scopes meanwhile: their ids are given. A
            function where not all spans belong on the same one.
        spans: In the order in which they ended, as `recorded_spans()` gives them.
    """
    recorded = list(spans)
    ids = _GivenIds()
    with _nameless_scopes():
        _rerun(provider, recorded, ids)


def _rerun(provider: TracerProvider | ProviderOf, recorded: list[ReadableSpan], ids: _GivenIds) -> None:
    home: ProviderOf = (lambda _: provider) if isinstance(provider, TracerProvider) else provider
    tracers = {id(span): _tracer(home(span), span) for span in recorded}
    before = {tracer: tracer.id_generator for tracer in tracers.values()}
    for tracer in before:
        tracer.id_generator = ids
    try:
        running: dict[object, Span] = {}
        for span in _in_order_of_starting(recorded):
            running[_key(span.context)] = _start(tracers[id(span)], ids, span, running)
    finally:
        for tracer, generator in before.items():
            tracer.id_generator = generator
    for span in recorded:
        running[_key(span.context)].end(span.end_time or span.start_time)


def replayed(provider: TracerProvider, spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    """What `rerun()` would have `provider` hand to its span processors, which get nothing of it.

    A twin with the same sampler and resource runs them; its limits are none.
    """
    none = SpanLimits.UNSET
    twin = TracerProvider(
        sampler=provider.sampler,
        resource=provider.resource,
        shutdown_on_exit=False,
        span_limits=SpanLimits(
            none,
            none,
            none,
            none,
            max_event_attributes=none,
            max_link_attributes=none,
            max_attribute_length=none,
        ),
    )
    keeper = _Keeper()
    twin.add_span_processor(keeper)
    rerun(twin, spans)
    return keeper.ended


def _in_order_of_starting(recorded: list[ReadableSpan]) -> list[ReadableSpan]:
    """By their starts, but no child before its parent, whatever the clocks said."""
    # Of two that started in the same nanosecond, the one that ended later is the parent.
    numbered = sorted(enumerate(recorded), key=lambda pair: (pair[1].start_time or 0, -pair[0]))
    waiting = {_key(span.context): span for _, span in numbered}
    ordered: list[ReadableSpan] = []
    for _, span in numbered:
        line = []
        at: ReadableSpan | None = waiting.pop(_key(span.context), None)
        while at is not None:
            line.append(at)
            at = None if at.parent is None else waiting.pop(_key(at.parent), None)
        ordered += reversed(line)
    return ordered


class _Keeper(SpanProcessor):
    """Keeps what ended, in that order."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


@contextmanager
def _nameless_scopes() -> Iterator[None]:
    """A recording may hold spans of a scope without a name, and the SDK complains of each such tracer."""
    log = logging.getLogger("opentelemetry.sdk.trace")

    def others(record: logging.LogRecord) -> bool:
        return "missing module name" not in str(record.msg)

    log.addFilter(others)
    try:
        yield
    finally:
        log.removeFilter(others)


def _tracer(provider: TracerProvider, span: ReadableSpan) -> Tracer:
    scope = span.instrumentation_scope
    tracer = provider.get_tracer(
        scope.name if scope else "",
        (scope.version if scope else None) or None,
        (scope.schema_url if scope else None) or None,
        scope.attributes if scope else None,
    )
    if not isinstance(tracer, Tracer):
        raise RuntimeError("this provider records nothing: is OTEL_SDK_DISABLED set?")  # noqa: TRY004 - no type error
    return tracer


def _start(tracer: Tracer, ids: _GivenIds, span: ReadableSpan, running: Mapping[object, Span]) -> Span:
    ids.trace_id, ids.span_id = span.context.trace_id, span.context.span_id
    context = Context()
    if span.parent is not None:
        parent = running.get(_key(span.parent)) or NonRecordingSpan(span.parent)
        context = set_span_in_context(parent, context)
    again = tracer.start_span(
        span.name,
        context=context,
        kind=span.kind,
        attributes=span.attributes,
        links=span.links,
        start_time=span.start_time,
    )
    for event in span.events:
        again.add_event(event.name, event.attributes, event.timestamp)
    again.set_status(span.status)
    return again


def _key(context: SpanContext) -> object:
    return context.trace_id, context.span_id


class _GivenIds(IdGenerator):
    """Gives out the ids that were laid in beforehand; a root takes both, a child the span's alone."""

    def __init__(self) -> None:
        random = RandomIdGenerator()
        self.trace_id = random.generate_trace_id()
        self.span_id = random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id
