"""What a span gets at its start from where it starts, and what is noted of it."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import set_span_in_context
from tests.pipeline.lanes import Taker
from tests.pipeline.rig import attributes_of, messages, remote, rigged

from ajolo_fanout.pipeline.context import context, exclude, only, routing_in
from ajolo_fanout.pipeline.starts import Starts

NAMES = ("session.id", "user.id", "tenant")


def _seen(span: Any) -> dict[str, Any]:
    assert isinstance(span, ReadableSpan)
    return dict(span.attributes or {})


def test_every_span_gets_the_values_from_code_else_baggage_else_its_parent() -> None:
    taker = Taker("one")
    with rigged(taker, attributes=NAMES, follow=False) as rig:
        with_baggage = baggage.set_baggage("user.id", "from baggage", baggage.set_baggage("tenant", "acme"))
        root = rig.tracer.start_span("root", with_baggage, attributes={"tenant": "its own", "other": 1})
        assert _seen(root) == {"tenant": "its own", "other": 1, "user.id": "from baggage"}
        bare = set_span_in_context(root, Context())
        assert _seen(rig.tracer.start_span("child", bare)) == {"tenant": "its own", "user.id": "from baggage"}
        with context(**{"user.id": "from code", "session.id": 7, "unlisted": 1}):
            one = rig.tracer.start_span("child", set_span_in_context(root))
            assert _seen(one) == {"tenant": "its own", "user.id": "from code", "session.id": 7}
            with context(**{"session.id": 8}):
                assert _seen(rig.tracer.start_span("inner"))["session.id"] == 8
                assert _seen(rig.tracer.start_span("inner"))["user.id"] == "from code"
        assert _seen(rig.tracer.start_span("outside")) == {}
        one.end()
    assert attributes_of(messages(taker)[0])["user.id"] == "from code"


def test_nothing_of_it_is_added_to_outgoing_headers() -> None:
    headers: dict[str, str] = {}
    with (
        rigged(Taker("one"), attributes=NAMES) as rig,
        context(**{"user.id": "SECRET"}),
        only("one"),
        rig.tracer.start_as_current_span("root"),
    ):
        inject(headers)
    assert "traceparent" in headers
    assert "SECRET" not in str(headers)
    assert set(headers) <= {"traceparent", "tracestate"}


def test_a_remote_parent_has_no_attributes_to_inherit() -> None:
    with rigged(Taker("one"), attributes=NAMES) as rig:
        assert _seen(rig.tracer.start_span("service", remote())) == {}


def test_nested_routing_forbids_what_either_forbids() -> None:
    with only("a", "b"), exclude("b"):
        routing = routing_in(None)
        assert [routing.allows(name) for name in "abc"] == [True, False, False]
        with only("b", "c"):
            assert not any(routing_in(None).allows(name) for name in "abc")
    assert routing_in(None).allows("c")


def test_a_span_that_never_ends_leaves_nothing_behind() -> None:
    with rigged(Taker("one")) as rig:
        kept = rig.tracer.start_span("kept")
        for _ in range(100):
            rig.tracer.start_span("forgotten")
        gc.collect()
        assert rig.starts.noted == 1
        assert rig.starts.alive(kept.get_span_context().span_id) is not None
        del kept
        gc.collect()
        assert rig.starts.noted == 0


def test_a_span_is_known_until_the_router_has_it() -> None:
    """Ended and forgotten by the program, it is still on its way."""
    starts = Starts(follow=True)
    provider = TracerProvider(shutdown_on_exit=False)
    span = provider.get_tracer("t").start_span("x")
    assert isinstance(span, ReadableSpan)
    starts.begin(span, None)  # type: ignore[arg-type]
    span_id = span.context.span_id
    ended = ReadableSpan("x", span.context)
    assert starts.end(ended) is not None
    del span
    gc.collect()
    found = starts.alive(span_id)
    assert found is not None
    assert found[0] is ended
    starts.arrived(ended)
    assert starts.alive(span_id) is None
    assert starts.end(ended) is None


def test_whoever_follows_nothing_notes_nothing() -> None:
    starts = Starts()
    span: Any = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("x")
    starts.begin(span, None)
    assert starts.noted == 0


def test_nothing_is_raised_into_a_program_over_what_a_span_starts_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts = Starts(("user.id",), follow=True)
    odd: Any = object()
    starts.begin(odd, None)
    starts.begin(odd, None)
    assert len(caplog.records) == 1
