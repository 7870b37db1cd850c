"""The draft: reads like the span, changes like a dict, and leaves the span alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Status, StatusCode
from tests.installed import ANY_VALUE, needs_any_value
from tests.steps.spans import attributes, context_of, make_span, names, plain, snapshot, spans, values

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.parts import DraftEvent, DraftLink


@given(spans())
def test_a_draft_reads_as_its_span_and_reading_is_no_change(span: Any) -> None:
    draft = Draft(span)
    assert snapshot(draft) == snapshot(span)
    assert (draft.context, draft.parent, draft.trace_state) == (
        span.context,
        span.parent,
        span.context.trace_state,
    )
    assert draft.scope.name == span.instrumentation_scope.name
    assert not draft.changed
    assert not draft.resource_changed
    assert draft.readable() is span
    assert draft.instrumentation_scope is span.instrumentation_scope
    assert draft.sdk_resource() is span.resource


# An SDK before 1.45 has no resource and no scope that holds more.
_held = values if ANY_VALUE else names


def _set_attribute(draft: Draft, data: st.DataObject) -> None:
    draft.attributes[data.draw(names)] = data.draw(values)


def _delete_attributes(draft: Draft, data: st.DataObject) -> None:
    for name in draft.attributes:
        if data.draw(st.booleans()):
            del draft.attributes[name]


def _replace_attributes(draft: Draft, data: st.DataObject) -> None:
    draft.attributes = data.draw(attributes)  # type: ignore[assignment]


def _rename(draft: Draft, data: st.DataObject) -> None:
    draft.name = data.draw(names)


def _set_status(draft: Draft, data: st.DataObject) -> None:
    draft.status_code = data.draw(st.sampled_from(list(StatusCode)))
    if draft.status_code is StatusCode.ERROR:
        draft.status_description = data.draw(names)


def _change_events(draft: Draft, data: st.DataObject) -> None:
    for event in draft.events:
        event.name = data.draw(names)
        event.attributes[data.draw(names)] = data.draw(values)
        event.dropped_attributes += 1
    draft.events.append(DraftEvent(data.draw(names), data.draw(attributes), 1))
    draft.events[0:1] = []


def _change_links(draft: Draft, data: st.DataObject) -> None:
    for link in draft.links:
        link.attributes.clear()
    draft.links.insert(0, DraftLink(context_of(1, 2), data.draw(attributes)))
    del draft.links[-1]


def _change_resource(draft: Draft, data: st.DataObject) -> None:
    draft.resource[data.draw(names)] = data.draw(_held)
    draft.resource.pop("secret.key", None)


def _change_scope(draft: Draft, data: st.DataObject) -> None:
    draft.scope.name = data.draw(names)
    draft.scope.attributes[data.draw(names)] = data.draw(_held)


def _drop(draft: Draft, data: st.DataObject) -> None:
    draft.dropped_attributes += 1
    draft.dropped_events += 2
    draft.dropped_links += 3


_WRITES = [
    _set_attribute,
    _delete_attributes,
    _replace_attributes,
    _rename,
    _set_status,
    _change_events,
    _change_links,
    _change_resource,
    _change_scope,
    _drop,
]


@given(spans(), st.lists(st.sampled_from(_WRITES), max_size=6), st.data())
def test_whatever_is_written_the_span_stays_as_it_was(
    span: Any, writes: list[Any], data: st.DataObject
) -> None:
    before = snapshot(span)
    draft, other = Draft(span), Draft(span)
    for write in writes:
        write(draft, data)
    assert snapshot(span) == before
    assert snapshot(other) == before
    assert not other.changed
    # What an exporter would see is exactly what the draft says.
    assert snapshot(draft.readable()) == snapshot(draft)


@given(spans(), st.sampled_from(_WRITES), st.data())
def test_a_draft_that_says_something_else_says_that_it_changed(
    span: Any, write: Any, data: st.DataObject
) -> None:
    draft = Draft(span)
    write(draft, data)
    if snapshot(draft) != snapshot(span):
        assert draft.changed or draft.resource_changed


@given(spans())
def test_writing_what_is_there_already_changes_nothing(span: Any) -> None:
    draft = Draft(span)
    draft.name = span.name
    draft.status = Status(span.status.status_code, span.status.description)
    draft.events = list(draft.events)
    draft.links = list(draft.links)
    for name, value in span.attributes.items():
        if isinstance(value, (str, bool, int)):
            draft.attributes[name] = value
    assert not draft.changed


def test_true_is_not_one_and_minus_zero_is_not_zero() -> None:
    draft = Draft(make_span(attributes={"a": 1, "b": 0.0}))
    draft.attributes["a"] = True
    assert draft.attributes["a"] is True
    assert draft.changed
    draft = Draft(make_span(attributes={"b": 0.0}))
    draft.attributes["b"] = -0.0
    assert str(draft.attributes["b"]) == "-0.0"
    assert draft.changed


@needs_any_value
def test_a_map_inside_an_attribute_cannot_be_changed_behind_the_spans_back() -> None:
    span = make_span(attributes={"message": {"role": "user", "parts": [{"text": "hi"}]}})
    draft = Draft(span)
    shown: Any = draft.attributes["message"]
    with pytest.raises(TypeError):
        shown["role"] = "system"
    with pytest.raises(TypeError):
        shown["parts"][0]["text"] = "changed"
    for value in draft.attributes.values():
        with pytest.raises(TypeError):
            value["role"] = "system"
    with pytest.raises(TypeError):
        draft.attributes.copy()["message"]["role"] = "system"  # type: ignore[index,call-overload]
    assert plain(span.attributes) == plain(
        {"message": {"role": "user", "parts": [{"text": "hi"}]}},
    )


def test_what_was_assigned_belongs_to_the_draft() -> None:
    draft = Draft(make_span())
    mine = {"role": "user", "list": [1]}
    draft.attributes["message"] = mine
    mine["role"] = "changed"
    mine["list"].append(2)  # type: ignore[attr-defined]
    assert plain(draft.attributes["message"]) == plain({"role": "user", "list": [1]})


@pytest.mark.parametrize("value", [object(), {1: 2}, [object()], {"a": {"b": set()}}])
def test_a_value_that_otlp_has_no_form_for_is_refused_where_it_is_written(value: Any) -> None:
    with pytest.raises(TypeError):
        Draft(make_span()).attributes["x"] = value


@pytest.mark.parametrize("name", ["", 1, None])
def test_a_name_is_a_string_that_is_not_empty(name: Any) -> None:
    with pytest.raises(TypeError, match="at least one character"):
        Draft(make_span()).attributes[name] = 1


@pytest.mark.parametrize("name", ["context", "parent", "kind", "start_time", "end_time", "trace_state"])
def test_ids_and_times_are_for_reading_only(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Draft(make_span()), name, None)


def test_wrong_kinds_of_parts_are_refused() -> None:
    draft = Draft(make_span())
    with pytest.raises(TypeError, match="expected a DraftEvent, not str"):
        draft.events = ["an event"]  # type: ignore[list-item]
    with pytest.raises(TypeError, match="expected a DraftLink"):
        draft.links.append(DraftEvent("e"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a Status"):
        draft.status = "ok"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="a string"):
        draft.name = 3  # type: ignore[assignment]


def test_dropped_counts_begin_at_the_sources() -> None:
    span = make_span(
        attributes={"a": 1, "b": 2, "c": 3},
        events=[("e", {}), ("f", {})],
        limits=SpanLimits(max_attributes=2, max_span_attributes=2, max_events=1),
    )
    draft = Draft(span)
    assert (draft.dropped_attributes, draft.dropped_events, draft.dropped_links) == (1, 1, 0)
    draft.dropped_events += 4
    readable = draft.readable()
    assert (readable.dropped_attributes, readable.dropped_events, readable.dropped_links) == (1, 5, 0)


def test_the_stock_encoder_takes_what_readable_gives() -> None:
    draft = Draft(make_span(events=[("e", {"x": 1})], links=[{"y": 2}]))
    draft.attributes["m"] = {"deep": [1, "a"]}
    draft.attributes["n"] = {"deep": (1, {"er": b"x"})}
    draft.scope.attributes["s"] = 1
    draft.resource["r"] = 1
    encoded = encode_spans([draft.readable()])
    scoped = encoded.resource_spans[0].scope_spans[0]
    assert {one.key for one in scoped.spans[0].attributes} == {"m", "n"}
    assert [one.key for one in scoped.scope.attributes] == ["s"]
    assert "r" in {one.key for one in encoded.resource_spans[0].resource.attributes}


def test_an_event_and_a_link_of_their_own() -> None:
    event = DraftEvent("retry")
    assert event.timestamp > 10**18
    assert not event.changed
    link = DraftLink(context_of(1, 2), {"a": 1})
    assert link.context.span_id == 2
    link.dropped_attributes = 2
    assert link.changed
    draft = Draft(make_span())
    draft.events.append(event)
    assert draft.changed
    assert draft.events[0] is event
    assert "retry" in repr(draft.events)
    assert "changed" in repr(draft)


def test_an_added_event_stands_at_the_end_of_the_span_unless_told_otherwise() -> None:
    span = make_span(events=[("first", {})], start_time=5, end_time=9)
    draft = Draft(span)
    draft.add_event("second", {"a": 1})
    draft.add_event("third", timestamp=7)
    assert [(one.name, one.timestamp) for one in draft.readable().events][1:] == [("second", 9), ("third", 7)]
    assert len(span.events) == 1
    assert draft.changed
