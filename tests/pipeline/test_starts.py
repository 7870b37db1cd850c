"""What a span gets at its start from where it starts, and what is noted of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import set_span_in_context
from tests.pipeline.lanes import Taker
from tests.pipeline.rig import Rig, attributes_of, messages, remote, rigged

from ajolo_fanout.pipeline.context import ANYWHERE, context, exclude, only, routing_in
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


# Wherever a program goes on from there.


def _user(rig: Rig) -> object:
    with rig.tracer.start_as_current_span("x") as span:
        return _seen(span).get("user.id")


def test_coroutines_and_tasks_have_it_and_are_kept_apart() -> None:
    """Also a task that goes on after the block in which it was started."""

    async def work(rig: Rig, user: str, go: asyncio.Event) -> list[object]:
        with context(**{"user.id": user}):
            before = _user(rig)
            later = asyncio.create_task(after(rig, go))
        return [before, _user(rig), await later]

    async def after(rig: Rig, go: asyncio.Event) -> object:
        await go.wait()
        return _user(rig)

    async def both(rig: Rig) -> list[list[object]]:
        go = asyncio.Event()
        started = [asyncio.create_task(work(rig, user, go)) for user in ("one", "two")]
        await asyncio.sleep(0)
        go.set()
        return list(await asyncio.gather(*started))

    with rigged(Taker("one"), attributes=NAMES) as rig:
        assert asyncio.run(both(rig)) == [["one", None, "one"], ["two", None, "two"]]


def test_a_thread_has_it_where_its_context_is_carried_there_and_only_there() -> None:
    with rigged(Taker("one"), attributes=NAMES) as rig, ThreadPoolExecutor(1) as pool:
        with context(**{"user.id": "one"}):
            carried = contextvars.copy_context()
            assert pool.submit(_user, rig).result() is None
            assert pool.submit(carried.run, _user, rig).result() == "one"
        assert pool.submit(carried.run, _user, rig).result() == "one"
        assert pool.submit(_user, rig).result() is None


def test_a_generator_has_it_and_leaves_nothing_behind_however_it_ends() -> None:
    def stream(rig: Rig) -> Iterator[object]:
        with context(**{"user.id": "one"}), only("one"):
            yield _user(rig)
            yield _user(rig)

    with rigged(Taker("one"), attributes=NAMES) as rig:
        assert list(stream(rig)) == ["one", "one"]
        broken_off = stream(rig)
        assert next(broken_off) == "one"
        broken_off.close()
        assert _user(rig) is None
        assert routing_in(None) is ANYWHERE


def test_an_async_generator_that_another_task_closes_leaves_nothing_behind_and_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a web server does with a stream whose client has gone away."""

    async def stream(rig: Rig) -> AsyncIterator[object]:
        with context(**{"user.id": "one"}), only("one"):
            while True:
                yield _user(rig)

    async def serve(rig: Rig) -> tuple[object, object]:
        chunks = stream(rig)
        first = await asyncio.create_task(anext(chunks))
        await asyncio.create_task(chunks.aclose())
        return first, _user(rig)

    with rigged(Taker("one"), attributes=NAMES) as rig:
        assert asyncio.run(serve(rig)) == ("one", None)
    assert caplog.records == []


@given(
    st.recursive(
        st.just(()),
        lambda inner: st.lists(st.tuples(st.sampled_from(NAMES), st.integers(), inner), max_size=3).map(
            tuple
        ),
    )
)
def test_nested_contexts_give_what_the_innermost_says_and_nothing_outside(blocks: Any) -> None:
    def enter(blocks: Any, around: dict[str, Any]) -> None:
        for name, value, inside in blocks:
            with context(**{name: value}):
                now = {**around, name: value}
                assert _seen(rig.tracer.start_span("x")) == now
                enter(inside, now)
                assert _seen(rig.tracer.start_span("x")) == now
        assert _seen(rig.tracer.start_span("x")) == around

    with rigged(Taker("one"), attributes=NAMES) as rig:
        enter(blocks, {})
