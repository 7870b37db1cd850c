"""The comparison behind the demo: it must see every way in which what arrived isn't what the file says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pytest

from ajolo_fanout.otlp.decode import DecodedSpan, DecodedStatus
from ajolo_fanout.profiles.catalog import data_folder
from ajolo_fanout.replay.rerun import replayed
from ajolo_fanout.testing import fanout, recorded_spans
from ajolo_fanout.testing.verify import Expectation, differences, expect

Change = Callable[[list[DecodedSpan]], Sequence[DecodedSpan]]


@pytest.fixture(scope="module")
def datadog() -> tuple[Expectation, list[DecodedSpan]]:
    """What the example's Datadog is to get of every recording, and what it got."""
    with fanout(data_folder("examples") / "tracing.toml", environ={}) as harness:
        spans = recorded_spans()
        expectation = expect(harness.plan["datadog"], replayed(harness.provider, spans))
        harness.replay(spans)
        assert harness.flush()
        return expectation, harness.spans("datadog")


def test_what_really_arrived_is_what_was_expected(datadog: tuple[Expectation, list[DecodedSpan]]) -> None:
    expectation, arrived = datadog
    assert differences(expectation, arrived) == []
    assert 0 < len(arrived) < 67
    assert expectation.sampled_out == 67 - len(arrived)
    assert expectation.redacted > 0


def with_attribute(name: str, value: object) -> Change:
    """The first span with one attribute more or changed."""
    return lambda spans: [attrs.evolve(spans[0], attributes={**spans[0].attributes, name: value}), *spans[1:]]


def without_attribute(spans: list[DecodedSpan]) -> list[DecodedSpan]:
    kept = {name: value for name, value in spans[0].attributes.items() if name != "gen_ai.request.model"}
    return [attrs.evolve(spans[0], attributes=kept), *spans[1:]]


def evolved(**changes: object) -> Change:
    """The first span with some fields changed."""
    return lambda spans: [attrs.evolve(spans[0], **changes), *spans[1:]]  # type: ignore[arg-type]


def event_attribute(spans: list[DecodedSpan]) -> list[DecodedSpan]:
    """The first span with events, with an attribute more on its first event."""
    at = next(number for number, span in enumerate(spans) if span.events)
    first, *others = spans[at].events
    leaking = attrs.evolve(first, attributes={**first.attributes, "gen_ai.prompt": "a recipe"})
    return [*spans[:at], attrs.evolve(spans[at], events=(leaking, *others)), *spans[at + 1 :]]


def without_events(spans: list[DecodedSpan]) -> list[DecodedSpan]:
    return [attrs.evolve(span, events=()) for span in spans]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda spans: spans[1:], "didn't arrive"),
        (lambda spans: [*spans, spans[0]], "arrived 2 times"),
        (evolved(span_id="f" * 16), "is not for this backend"),
        (with_attribute("gen_ai.prompt", "a recipe"), "gen_ai.prompt arrived, but should not have"),
        (with_attribute("gen_ai.request.max_tokens", 200.0), "gen_ai.request.max_tokens has another value"),
        (with_attribute("ajolopy.streaming", 0), "ajolopy.streaming has another value"),
        (without_attribute, "gen_ai.request.model is missing"),
        (evolved(parent_id=""), "its parent_id is another"),
        (evolved(name="chat"), "its name is another"),
        (evolved(kind="client"), "its kind is another"),
        (evolved(start_time=1), "its start_time is another"),
        (evolved(end_time=1), "its end_time is another"),
        (evolved(status=DecodedStatus("error", "a recipe")), "its status is another"),
        (evolved(resource={}), "resource attribute service.name is missing"),
        (without_events, "its events are others"),
        (event_attribute, "event 1's attribute gen_ai.prompt arrived, but should not have"),
    ],
)
def test_every_difference_is_seen_and_no_value_is_shown(
    datadog: tuple[Expectation, list[DecodedSpan]], change: Change, told: str
) -> None:
    expectation, arrived = datadog
    found = differences(expectation, change(list(arrived)))
    assert any(told in sentence for sentence in found), found
    assert not any("recipe" in sentence for sentence in found)
