"""Spans for the tests of the steps: made by the real SDK, and by Hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ajolo_fanout.steps.notes import NOTES

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
RESOURCE = Resource({"service.name": "agent", "service.version": "1", "secret.key": "s3cret"})


class Ids(IdGenerator):
    """Ids that look random and are the same each time, as Hypothesis wants them."""

    def __init__(self) -> None:
        self._random = Random(20261124)

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) | 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) | 1


class Collect(SpanProcessor):
    """Keeps what ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def context_of(trace_id: int, span_id: int) -> SpanContext:
    """A local, sampled context."""
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=SAMPLED)


def make_span(
    name: str = "chat gpt-4o",
    attributes: Mapping[str, Any] | None = None,
    *,
    events: Sequence[tuple[str, Mapping[str, Any]]] = (),
    links: Sequence[Mapping[str, Any]] = (),
    resource: Resource = RESOURCE,
    scope: str = "tests",
    version: str = "1.0",
    scope_attributes: Mapping[str, Any] | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    status: Status | None = None,
    limits: SpanLimits | None = None,
    start_time: int | None = None,
    end_time: int | None = None,
    ids: IdGenerator | None = None,
) -> ReadableSpan:
    """One ended span of a real provider."""
    collect = Collect()
    provider = TracerProvider(
        resource=resource, shutdown_on_exit=False, span_limits=limits, id_generator=ids or Ids()
    )
    provider.add_span_processor(collect)
    tracer = provider.get_tracer(scope, version, attributes=scope_attributes)
    targets = [Link(context_of(7 + n, 9 + n), one) for n, one in enumerate(links)]
    span = tracer.start_span(name, attributes=attributes, kind=kind, links=targets, start_time=start_time)
    for event, values in events:
        span.add_event(event, values)
    if status is not None:
        span.set_status(status)
    span.end(end_time)
    return collect.spans[0]


def without_notes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Attributes less what the steps note on a span about themselves."""
    return {name: value for name, value in (attributes or {}).items() if name not in NOTES}


def snapshot(span: Any) -> Any:
    """Everything that a span (or a draft) says, as plain values that can be compared."""
    return (
        span.name,
        span.kind,
        span.start_time,
        span.end_time,
        (span.status.status_code, span.status.description),
        plain(span.attributes),
        [(one.name, one.timestamp, plain(one.attributes), one.dropped_attributes) for one in span.events],
        [(one.context, plain(one.attributes), one.dropped_attributes) for one in span.links],
        plain(span.resource.attributes if isinstance(span.resource, Resource) else span.resource),
        span.instrumentation_scope.name,
        span.instrumentation_scope.version,
        plain(span.instrumentation_scope.attributes),
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
    )


def plain(value: Any) -> Any:
    """Maps to dicts and arrays to tuples, with the type beside each value, because True equals 1."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(plain(inner) for inner in value)
    return (type(value).__name__, repr(value))


names = st.text(min_size=1, max_size=12)
scalars = st.one_of(
    st.text(max_size=20),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=8),
    st.none(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
attributes = st.dictionaries(names, values, max_size=6)


@st.composite
def spans(draw: st.DrawFn) -> ReadableSpan:
    """Ended spans with everything that a span can have."""
    status = draw(
        st.sampled_from(
            [None, Status(StatusCode.OK), Status(StatusCode.ERROR, "failed"), Status(StatusCode.ERROR)]
        )
    )
    return make_span(
        draw(names),
        draw(attributes),
        events=draw(st.lists(st.tuples(names, attributes), max_size=3)),
        links=draw(st.lists(attributes, max_size=2)),
        scope=draw(names),
        scope_attributes=draw(attributes),
        kind=draw(st.sampled_from(list(SpanKind))),
        status=status,
    )
