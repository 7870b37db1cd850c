"""Additions as bytes: what is appended counts, and no attribute comes twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState
from tests.steps.spans import attributes, make_span, snapshot

from ajolo_fanout.otlp.encode import encode_span
from ajolo_fanout.otlp.extra import extend, extra_bytes
from ajolo_fanout.otlp.rendition import Envelope, Rendition, sampled_context
from ajolo_fanout.otlp.wire import Tally
from ajolo_fanout.steps.additions import ROOT, Addition, added
from ajolo_fanout.steps.draft import Draft

ENVELOPE = Envelope(b"")


def child(*, remote: bool = False, state: TraceState | None = None, **more: Any) -> ReadableSpan:
    """A span with a parent."""
    span = make_span(attributes={"n": 1, "text": "x"}, events=[("e", {"k": 1})], links=[{"l": 1}])
    assert span.context is not None
    context = SpanContext(
        span.context.trace_id, 7, is_remote=False, trace_flags=TraceFlags(1), trace_state=state
    )
    parent = SpanContext(span.context.trace_id, 9, is_remote=remote, trace_flags=TraceFlags(1))
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=parent,
        resource=span.resource,
        attributes=more.get("attributes", span.attributes),
        events=span.events,
        links=span.links,
        start_time=1,
        end_time=2,
        instrumentation_scope=span.instrumentation_scope,
    )


def parsed(span: ReadableSpan | Draft, addition: Addition) -> Span:
    rendition = Rendition(sampled_context(span.context), encode_span(span, Tally()), ENVELOPE)
    made = extend(rendition, span, addition, Tally())
    assert made.size == len(made.span) + len(made.extra)
    assert rendition.extra == b"", "what others share is unchanged"
    return Span.FromString(made.span + made.extra)


STATE = TraceState([("vendor", "x"), ("ot", "th:8")])
ADDITIONS = [
    Addition(parent=ROOT, attributes={"ajolo_fanout.parent_id": "0000000000000009"}),
    Addition(parent=(11, False)),
    Addition(parent=(12, True)),
    Addition(trace_state="ot=th:c,vendor=x"),
    Addition(trace_state=""),
    Addition(attributes={"SampleRate": 10, "ajolo_fanout.kept_by": "errors"}),
    Addition(ROOT, "ot=th:f", {"n": 2, "new": [1.5, 2.5]}),
]


@pytest.mark.parametrize("addition", ADDITIONS)
@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("state", [None, STATE])
def test_appended_bytes_say_what_the_changed_span_would(
    addition: Addition, remote: bool, state: TraceState | None
) -> None:
    """Byte for byte another message, and parsed the same one as that of the SDK's span with the addition."""
    span = child(remote=remote, state=state)
    before = snapshot(span)
    expected = Span.FromString(encode_span(added(span, addition), Tally()))
    assert parsed(span, addition) == expected
    assert snapshot(span) == before


@given(attributes, attributes)
def test_no_key_comes_twice(own: dict[str, Any], more: dict[str, Any]) -> None:
    span = child(attributes=make_span(attributes=own).attributes)
    keys = [one.key for one in parsed(span, Addition(attributes=more)).attributes]
    assert len(keys) == len(set(keys))
    assert set(more) <= set(keys)


def test_a_key_that_the_steps_took_away_or_put_on_counts() -> None:
    span = child(attributes={"SampleRate": 3, "n": 1})
    draft = Draft(span)
    del draft.attributes["SampleRate"]
    draft.attributes["ajolo_fanout.kept_by"] = "me"
    rate, kept = (
        Addition(attributes={"SampleRate": 10}),
        Addition(attributes={"ajolo_fanout.kept_by": "errors"}),
    )
    assert {one.key: one.value.int_value for one in parsed(draft, rate).attributes}["SampleRate"] == 10
    found = [one.value.string_value for one in parsed(draft, kept).attributes if one.key.endswith("kept_by")]
    assert found == ["errors"]


def test_a_root_that_was_remote_is_no_longer_remote() -> None:
    made = parsed(child(remote=True), Addition(parent=ROOT))
    assert made.parent_span_id == b""
    assert made.flags == 0x100
    assert parsed(child(), Addition(parent=(5, True))).flags == 0x300


def test_nothing_is_nothing() -> None:
    assert not Addition()
    assert extra_bytes(Addition(), Tally()) == b""
    assert Addition(trace_state="")


@given(st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_added_keeps_what_the_span_lost(span_id: int, remote: bool) -> None:
    span = child()
    made = added(span, Addition(parent=(span_id, remote)))
    assert made.parent is not None
    assert (made.parent.span_id, made.parent.is_remote) == (span_id, remote)
    assert snapshot(made) == snapshot(span)
    assert (made.dropped_attributes, made.dropped_events, made.dropped_links) == (0, 0, 0)
