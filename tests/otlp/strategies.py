"""Hypothesis strategies for spans: made by the SDK, made by hand, and as odd as a program can make them.

`spans()` are such that the stock encoder takes them without dropping anything, `odd_spans()` such that it
need not; `mending.mended` says what of those should arrive.
"""

from __future__ import annotations

from collections import UserDict, UserList
from collections.abc import Mapping
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Any, TypeVar

from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from tests.installed import ANY_VALUE

__all__ = [
    "OddStatus",
    "Shy",
    "contexts",
    "hand_made_spans",
    "keys",
    "make_span",
    "odd_spans",
    "odd_values",
    "parts",
    "record",
    "sdk_spans",
    "spans",
    "texts",
    "values",
]

T = TypeVar("T")


class Hidden:
    """Keeps a strategy out of the `repr` of one that is made from it."""

    def __init__(self, strategy: st.SearchStrategy[Any]) -> None:
        self.strategy = strategy

    def __repr__(self) -> str:
        return "…"


@st.composite
def _drawn(draw: st.DrawFn, hidden: Hidden) -> Any:
    return draw(hidden.strategy)


def short(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """`strategy` with a short `repr`: Hypothesis writes strategies out whole, and warns of long ones."""
    found: st.SearchStrategy[T] = _drawn(Hidden(strategy))
    return found


HUGE = SpanLimits(
    max_span_attributes=4096,
    max_events=4096,
    max_links=4096,
    max_event_attributes=4096,
    max_link_attributes=4096,
)

# Lengths around those where a varint grows are drawn on purpose.
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "openai", "\x00", "🙂"]),
    st.builds(str.__mul__, st.sampled_from("xé日"), st.sampled_from([39, 40, 60, 126, 127, 128, 16_400])),
)
keys = st.one_of(
    st.sampled_from(["gen_ai.system", "gen_ai.usage.input_tokens", "user.id", "k" * 130, "schlüssel"]),
    st.text(min_size=1, max_size=12),
)
integers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 300),
    st.sampled_from([127, 128, 16_383, 16_384, -(2**63), 2**63 - 1]),
)
floats = st.one_of(st.floats(), st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, 5e-324]))
# The stock encoder takes None since it meets it in attributes, which is since the SDK keeps it there. Before, an
# SDK also made text of bytes, and None of bytes that are no text.
nothing = st.none() if ANY_VALUE else st.nothing()
octets = st.binary(max_size=200) if ANY_VALUE else texts.map(str.encode)
scalars = st.one_of(nothing, st.booleans(), texts, integers, floats, octets)
values = short(
    st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(keys, inner, max_size=4),
        ),
        max_leaves=12,
    )
)
attributes = short(st.dictionaries(keys, values, max_size=8))
times = st.integers(0, 2**64 - 1)
counts = st.sampled_from([0, 0, 0, 1, 127, 128, 2**32 - 1])
trace_states = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9_\-*/]{0,10}", fullmatch=True),
        st.from_regex(r"[!-+\--<>-~]{1,12}", fullmatch=True),
    ),
    max_size=3,
    unique_by=lambda pair: pair[0],
).map(TraceState)
contexts = st.builds(
    SpanContext,
    trace_id=st.integers(0, 2**128 - 1),
    span_id=st.integers(0, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.integers(0, 255).map(TraceFlags),
    trace_state=trace_states,
)
valid_contexts = st.builds(
    SpanContext,
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.integers(0, 255).map(TraceFlags),
    trace_state=trace_states,
)
statuses = st.one_of(
    st.sampled_from([Status(), Status(StatusCode.OK), Status(StatusCode.ERROR)]),
    texts.map(lambda text: Status(StatusCode.ERROR, text)),
)
kinds = st.sampled_from(SpanKind)
resources = st.builds(
    Resource, attributes, st.one_of(st.just(""), st.just("https://example.com/schema"), texts)
)
scopes = st.builds(
    InstrumentationScope,
    name=texts,
    version=st.one_of(st.none(), texts),
    schema_url=st.one_of(st.none(), texts),
    attributes=st.one_of(st.none(), attributes),
)


class _Ids(IdGenerator):
    """Ids that Hypothesis drew: the SDK's own come from `random`."""

    def __init__(self, trace_id: int, span_id: int) -> None:
        self._ids = trace_id, span_id

    def generate_trace_id(self) -> int:
        return self._ids[0]

    def generate_span_id(self) -> int:
        return self._ids[1]


@st.composite
def sdk_spans(draw: st.DrawFn) -> ReadableSpan:
    """A span that a TracerProvider started and ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        resource=draw(resources),
        sampler=ALWAYS_ON,
        id_generator=_Ids(draw(st.integers(1, 2**128 - 1)), draw(st.integers(1, 2**64 - 1))),
        span_limits=HUGE,
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(
        draw(texts) or "agents",
        draw(st.one_of(st.none(), texts)),
        schema_url=draw(st.one_of(st.none(), texts)),
        attributes=draw(st.one_of(st.none(), attributes)),
    )
    parent = draw(st.one_of(st.none(), valid_contexts))
    span = tracer.start_span(
        draw(texts),
        context=set_span_in_context(NonRecordingSpan(parent)) if parent else None,
        kind=draw(kinds),
        attributes=draw(st.one_of(st.none(), attributes)),
        links=[Link(context, draw(attributes)) for context in draw(st.lists(valid_contexts, max_size=2))],
        start_time=draw(st.integers(1, 2**63)),
    )
    for _ in range(draw(st.integers(0, 3))):
        span.add_event(draw(texts), draw(st.one_of(st.none(), attributes)), draw(times))
    span.set_status(draw(statuses))
    span.end(draw(st.integers(1, 2**63)))
    provider.shutdown()
    [ended] = exporter.get_finished_spans()
    return ended


def make_span(**given: Any) -> ReadableSpan:
    """A span made by hand: a root with ids 1 and 2 where nothing else is given."""
    defaults: dict[str, Any] = {
        "name": "span",
        "context": SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)),
        "resource": Resource({}),
        "start_time": 1,
        "end_time": 2,
    }
    return ReadableSpan(**{**defaults, **given})


def _bounded(pairs: dict[str, Any]) -> BoundedAttributes:
    return BoundedAttributes(maxlen=2, attributes=pairs)  # drops the oldest and counts them


any_attributes = st.one_of(
    st.none(),
    st.just({}),
    attributes,
    attributes.map(_bounded),
    st.dictionaries(keys, texts, min_size=3, max_size=5).map(_bounded),
    attributes.map(UserDict),
)
events = st.builds(Event, name=texts, attributes=any_attributes, timestamp=times)
links = st.builds(Link, context=contexts, attributes=any_attributes)
parts: Mapping[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "context": contexts,
    "parent": st.one_of(st.none(), contexts),
    "resource": resources,
    "attributes": any_attributes,
    "events": st.lists(events, max_size=3),
    "links": st.lists(links, max_size=3),
    "kind": kinds,
    "status": st.one_of(st.none(), statuses),
    "start_time": st.one_of(st.none(), times),
    "end_time": st.one_of(st.none(), times),
    "instrumentation_scope": st.one_of(st.none(), scopes),
}
hand_made_spans = st.builds(make_span, **parts)


def spans() -> st.SearchStrategy[ReadableSpan]:
    """Spans that the stock encoder takes whole."""
    return st.one_of(sdk_spans(), hand_made_spans)


# What follows is what it doesn't take, or takes by dropping.


class Colour(Enum):
    """An object with its own idea of `str`."""

    RED = "red"


class Level(IntEnum):
    """An int by another name."""

    HIGH = 3


class Shy:
    """An object that doesn't say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("not telling")

    def __repr__(self) -> str:
        return "Shy()"


odd_texts = st.text(st.characters(exclude_categories=()), max_size=12)
odd_keys = st.one_of(keys, odd_texts.filter(bool), st.integers(), st.just(Colour.RED), st.tuples(keys))
odd_values = short(
    st.recursive(
        st.one_of(
            scalars,
            odd_texts,
            st.integers(-(2**80), 2**80),
            st.complex_numbers(),
            st.sampled_from([Colour.RED, Level.HIGH, object, {"a set"}, Shy()]),
            st.binary(max_size=9).map(bytearray),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4).map(UserList),
            st.lists(inner, max_size=4),
            st.dictionaries(odd_keys, inner, max_size=4),
        ),
        max_leaves=12,
    )
)
odd_attributes = short(st.dictionaries(odd_keys, odd_values, max_size=6))
odd_times = st.one_of(st.none(), times, st.integers(-(2**70), 2**70), st.floats(), odd_texts)
odd_counts = st.one_of(counts, st.integers(-5, 2**40), st.none())
odd_contexts = st.one_of(
    contexts,
    st.builds(
        SpanContext,
        trace_id=st.integers(-(2**130), 2**130),
        span_id=st.integers(-(2**70), 2**70),
        is_remote=st.booleans(),
    ),
)


class OddStatus:
    """A status that wasn't checked by the SDK's constructor."""

    def __init__(self, status_code: Any, description: Any) -> None:
        self.status_code = status_code
        self.description = description


def record(**fields: Any) -> SimpleNamespace:
    """What has the attributes of a span, an event or a link, of whatever types."""
    return SimpleNamespace(**fields)


odd_statuses = st.builds(OddStatus, st.one_of(st.sampled_from(StatusCode), st.integers(-3, 9)), odd_texts)
odd_spans = st.builds(
    record,
    name=st.one_of(odd_texts, st.none(), st.integers()),
    context=st.one_of(st.none(), odd_contexts),
    parent=st.one_of(st.none(), odd_contexts),
    kind=st.one_of(kinds, st.integers(-2, 9), st.none(), st.just([])),
    start_time=odd_times,
    end_time=odd_times,
    attributes=st.one_of(st.none(), odd_attributes),
    events=st.lists(
        st.builds(
            record,
            name=odd_texts,
            timestamp=odd_times,
            attributes=odd_attributes,
            dropped_attributes=odd_counts,
        ),
        max_size=2,
    ),
    links=st.lists(
        st.builds(record, context=odd_contexts, attributes=odd_attributes, dropped_attributes=odd_counts),
        max_size=2,
    ),
    status=st.one_of(st.none(), statuses, odd_statuses),
    dropped_attributes=odd_counts,
    dropped_events=odd_counts,
    dropped_links=odd_counts,
    resource=st.builds(record, attributes=odd_attributes, schema_url=odd_texts),
    instrumentation_scope=st.one_of(
        st.none(),
        st.builds(
            record,
            name=odd_texts,
            version=st.one_of(st.none(), odd_texts),
            schema_url=odd_texts,
            attributes=odd_attributes,
        ),
    ),
)
