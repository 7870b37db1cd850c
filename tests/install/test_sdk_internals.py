"""The SDK's private parts that we read are still where they were: these fail on the day they move."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ajolo_fanout import sdk_internals


class Counting(SpanProcessor):
    def __init__(self) -> None:
        self.ended = 0
        self.stopped = False

    def on_end(self, span: ReadableSpan) -> None:
        self.ended += 1

    def shutdown(self) -> None:
        self.stopped = True


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_span_attributes=7))


def test_span_processors_are_found_in_order(provider: TracerProvider) -> None:
    assert sdk_internals.span_processors(provider) == ()
    first, second = Counting(), Counting()
    provider.add_span_processor(first)
    provider.add_span_processor(second)
    assert sdk_internals.span_processors(provider) == (first, second)


def test_span_limits_are_found(provider: TracerProvider) -> None:
    limits = sdk_internals.span_limits(provider)
    assert limits is not None
    assert limits.max_span_attributes == 7


def test_limits_are_given_to_tracers_that_exist(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("test")
    assert sdk_internals.set_span_limits(provider, SpanLimits(max_span_attributes=2))
    span = tracer.start_span("after", attributes={"a": 1, "b": 2, "c": 3})
    assert isinstance(span, ReadableSpan)
    assert list(span.attributes or {}) == ["b", "c"]


def test_whether_a_span_has_events_or_links_is_known_without_copying_them(provider: TracerProvider) -> None:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    context = tracer.start_span("other").get_span_context()
    tracer.start_span("neither").end()
    span = tracer.start_span("event")
    span.add_event("event")
    span.end()
    tracer.start_span("link", links=[trace.Link(context)]).end()
    assert [sdk_internals.has_parts(one) for one in exporter.get_finished_spans()] == [False, True, True]


def test_within_it_no_global_provider_was_ever_set_and_afterwards_it_is_as_before() -> None:
    """Early tracers included; twice, one inside the other."""
    early = trace.get_tracer("got before any was set")
    exporters = [InMemorySpanExporter() for _ in range(2)]
    before = trace.get_tracer_provider()
    with sdk_internals.no_global_provider():
        for exporter in exporters:
            with sdk_internals.no_global_provider():
                assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
                provider = TracerProvider(shutdown_on_exit=False)
                provider.add_span_processor(SimpleSpanProcessor(exporter))
                trace.set_tracer_provider(provider)
                assert trace.get_tracer_provider() is provider
                early.start_span("span").end()
        early.start_span("nobody's").end()
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert trace.get_tracer_provider() is before
    assert [len(exporter.get_finished_spans()) for exporter in exporters] == [1, 1]


def test_a_place_that_has_moved_is_an_error_in_tests_of_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trace, "_TRACER_PROVIDER_SET_ONCE")
    with pytest.raises(RuntimeError, match="no known place"), sdk_internals.no_global_provider():
        pass


def test_a_processor_is_taken_off_without_being_stopped(provider: TracerProvider) -> None:
    ours, theirs = Counting(), Counting()
    provider.add_span_processor(ours)
    provider.add_span_processor(theirs)
    tracer = provider.get_tracer("test")
    assert sdk_internals.remove_span_processor(provider, ours)
    tracer.start_span("after").end()
    assert (ours.ended, ours.stopped, theirs.ended) == (0, False, 1)
    assert not sdk_internals.remove_span_processor(provider, ours), "it is there no more"


def test_a_resource_is_laid_over_that_of_tracers_which_exist(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("test")
    if not sdk_internals.set_resource(provider, Resource({"service.instance.id": "mine"})):
        # Then the SDK doesn't change a provider's resource in a forked child either: nothing to put back.
        assert not hasattr(provider, "_handle_fork")
        return
    span = tracer.start_span("after")
    assert isinstance(span, ReadableSpan)
    assert span.resource.attributes["service.instance.id"] == "mine"


def test_processors_are_described_with_their_exporter() -> None:
    exporter = InMemorySpanExporter()
    batch = BatchSpanProcessor(exporter)
    batch.shutdown()
    name = "opentelemetry.sdk.trace.export.in_memory_span_exporter.InMemorySpanExporter"
    assert sdk_internals.describe_processor(batch) == f"BatchSpanProcessor ({name})"
    assert sdk_internals.describe_processor(SimpleSpanProcessor(exporter)) == f"SimpleSpanProcessor ({name})"
    assert sdk_internals.describe_processor(Counting()) == "Counting"


def test_what_has_changed_beyond_recognition_is_unknown_and_never_an_error() -> None:
    class Odd(TracerProvider):
        def __init__(self) -> None:  # none of the SDK's private parts
            pass

    odd = Odd()
    assert sdk_internals.span_processors(odd) is None
    assert sdk_internals.span_limits(odd) is None
    assert sdk_internals.set_span_limits(odd, SpanLimits()) is False
    assert sdk_internals.remove_span_processor(odd, Counting()) is False


def test_a_queue_is_taken_oldest_first_and_nothing_of_it_is_exported() -> None:
    exporter = InMemorySpanExporter()
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=60_000)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for name in ("one", "two", "three"):
        provider.get_tracer("test").start_span(name).end()
    assert [span.name for span in sdk_internals.take_queue(processor)] == ["one", "two", "three"]
    provider.shutdown()
    assert exporter.get_finished_spans() == ()
