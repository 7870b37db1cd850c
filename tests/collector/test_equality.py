"""Span for span: what a real Collector received is what the program made, every field of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from tests.installed import ANY_VALUE
from tests.otlp import strategies as our

from ajolo_fanout.otlp.decode import DecodedSpan
from ajolo_fanout.replay.rerun import replayed
from ajolo_fanout.testing import OtelCollector, fanout, recorded_spans

from .support import PROTOCOLS, Write, all_of, at, made, opened, put, wrong

GENERATED = 1_000
KNOBS: dict[str, Any] = {
    "batch__max_queue_size": 2 * GENERATED,
    "timeout": "60s",
    "sampling__parent": "ignore",  # a generated context is as often unsampled as not
}


@pytest.fixture(scope="module")
def generated() -> list[ReadableSpan]:
    """A thousand spans: some that an SDK made, the others put together from what the encoder's own tests draw.

    To draw takes Hypothesis milliseconds, so that each part is used in several spans.
    """
    drawn: list[tuple[ReadableSpan, dict[str, Any]]] = []

    @settings(
        max_examples=min(settings().max_examples, GENERATED),
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(our.sdk_spans(), st.fixed_dictionaries(dict(our.parts)))
    def draw(span: ReadableSpan, parts: dict[str, Any]) -> None:
        drawn.append((span, parts))

    draw()
    spans = [span for span, _ in drawn[: GENERATED // 2]]
    pick = random.Random(1)
    while len(spans) < GENERATED:
        spans.append(our.make_span(**{name: pick.choice(drawn)[1][name] for name in our.parts}))
    return spans


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_recorded_traces_arrive_equal(protocol: str, otel_collector: OtelCollector, write: Write) -> None:
    """Fourteen recorded agent runs, with their own ids and times."""
    text = at(otel_collector, protocol, compression="gzip")
    endpoint = otel_collector.grpc_endpoint if protocol == "grpc" else otel_collector.http_endpoint
    spans = recorded_spans()
    with fanout(write(f'[service]\nname = "weather"\n[backends.one]\n{text}'), {"one": endpoint}) as harness:
        expected = made(replayed(harness.provider, spans))
        harness.replay(spans)
        assert harness.flush(60), harness.health()
        assert wrong(expected, all_of(otel_collector, len(expected))) == []
    assert len(expected) == len(spans) > 50


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_thousand_generated_spans_arrive_equal(
    protocol: str, generated: list[ReadableSpan], otel_collector: OtelCollector, write: Write
) -> None:
    """Every field that OTLP has for a span, and every type of value: see `the_scene_is_complete`."""
    provider = TracerProvider(shutdown_on_exit=False)
    with opened(write(f"[backends.one]\n{at(otel_collector, protocol, **KNOBS)}"), provider) as handle:
        put(provider, generated)
        assert handle.flush(60), handle.health()
        assert handle.health().backends["one"].counts.delivered == GENERATED
        expected = made(generated, **handle.plan.resource)
    assert wrong(expected, all_of(otel_collector, GENERATED)) == []
    the_scene_is_complete(expected)


def the_scene_is_complete(spans: list[DecodedSpan]) -> None:
    """What is compared holds at least one of everything that it is to prove something of."""
    events = [event for span in spans for event in span.events]
    links = [link for span in spans for link in span.links]
    have = {
        "a parent": any(span.parent_id for span in spans),
        "a remote parent": any(span.flags & 0x300 == 0x300 for span in spans),
        "a trace state": any(span.trace_state for span in spans),
        "dropped attributes": any(span.dropped_attributes for span in spans),
        "an event with attributes": any(event.attributes for event in events),
        "an event with dropped attributes": any(event.dropped_attributes for event in events),
        "a link with attributes": any(link.attributes for link in links),
        "a link with dropped attributes": any(link.dropped_attributes for link in links),
        "a status with words": any(span.status and span.status.message for span in spans),
        "attributes of a scope": any(span.scope.attributes for span in spans),
        "a scope's schema": any(span.scope.schema_url for span in spans),
        "a resource's schema": any(span.resource_schema_url for span in spans),
        "a resource's attributes": any(span.resource for span in spans),
    }
    assert [what for what, there in have.items() if not there] == []
    assert {span.kind for span in spans} == {"internal", "server", "client", "producer", "consumer"}
    tables = [one.attributes for some in (spans, events, links) for one in some]
    tables += [span.resource for span in spans]
    types = {type(value) for table in tables for value in table.values()}
    assert types == {bool, str, int, float, bytes, list, dict, *[type(None)] * ANY_VALUE}
