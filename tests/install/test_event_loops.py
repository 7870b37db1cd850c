"""In an event loop nothing of ours waits in its place: `aflush()`, and the end of an invocation."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from ajolo_fanout import Fanout
from ajolo_fanout.testing import OtlpServer, wait_for

HANGS_FOR = 0.5


def trace(fanout: Fanout, name: str = "span") -> None:
    fanout.provider.get_tracer("test").start_span(name).end()


def ours() -> int:
    """How many threads of ours there are."""
    return sum(thread.name.startswith("ajolo") for thread in threading.enumerate())


async def turns(meanwhile: Coroutine[Any, Any, object]) -> int:
    """How many turns the loop takes while something is waited for."""
    task = asyncio.ensure_future(meanwhile)
    count = 0
    while not task.done():
        await asyncio.sleep(0)
        count += 1
    await task
    return count


def test_aflush_delivers_what_has_ended(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    trace(fanout)
    report = asyncio.run(fanout.aflush(20))
    assert report
    assert report.backends["here"].delivered == len(server.spans) == 1


@pytest.mark.parametrize("age", ["new", "old"])
def test_aflush_knows_the_loop_that_it_is_in(
    age: str, make: Any, server: OtlpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a trio in the program that can't be asked whether it is in one of its tasks, too (0.22)."""
    trio = pytest.importorskip("trio")
    if age == "old":
        monkeypatch.delattr(trio.lowlevel, "in_trio_task", raising=False)
    fanout = make(server.endpoint)
    for count, run in enumerate(
        (lambda: asyncio.run(fanout.aflush(20)), partial(trio.run, fanout.aflush, 20)), 1
    ):
        trace(fanout)
        report = run()
        assert report, report
        assert len(server.spans) == count


def test_while_aflush_waits_for_a_hung_backend_the_loop_turns_as_when_it_idles(
    make: Any, hanging: OtlpServer
) -> None:
    fanout = make(hanging.endpoint)
    trace(fanout)

    async def compare() -> tuple[int, int]:
        idle = busy = 0
        for _ in range(3):  # side by side, so that what else the machine does falls on both
            idle += await turns(asyncio.sleep(HANGS_FOR))
            busy += await turns(fanout.aflush(HANGS_FOR))
        return idle, busy

    idle, busy = asyncio.run(compare())
    assert busy > idle / 5, f"{busy} turns beside a flush, {idle} without"


def test_overlapping_aflushes_join(make: Any, hanging: OtlpServer) -> None:
    """A hundred requests that each flush at their end don't pile up threads, nor time."""
    fanout = make(hanging.endpoint)
    trace(fanout)
    before = ours()

    async def many() -> int:
        flushes = [asyncio.ensure_future(fanout.aflush(1.0)) for _ in range(100)]
        await asyncio.sleep(0.2)
        threads = ours()
        assert not any(await asyncio.gather(*flushes))
        return threads

    started = time.monotonic()
    assert asyncio.run(many()) - before <= 4
    assert time.monotonic() - started < 1.0 + 5.0


def test_aflushes_that_wait_for_a_hung_backend_keep_none_from_the_others(
    make: Any, server: OtlpServer, hanging: OtlpServer
) -> None:
    other = f'[backends.other]\ntype = "otlp"\nendpoint = "{server.endpoint}"\nbatch.schedule_delay = "60s"\n'
    fanout = make(hanging.endpoint, other)
    trace(fanout, "first")

    async def ask() -> None:
        waiting = [asyncio.ensure_future(fanout.aflush(90)) for _ in range(8)]
        await asyncio.to_thread(server.wait_for_spans, 1, 20)
        await asyncio.to_thread(hanging.wait_for_requests, 1, 20)
        trace(fanout, "second")
        waiting.append(asyncio.ensure_future(fanout.aflush(90)))
        await asyncio.to_thread(server.wait_for_spans, 2, 20)
        hanging.answer = None
        hanging.release()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(ask())
    assert sorted(span.name for span in hanging.spans) == ["first", "second"]


def test_a_shutdown_that_is_cut_short_leaves_the_event_loop_alone(make: Any, hanging: OtlpServer) -> None:
    """Another thread's longer one is under way, and a backend hangs: what the loop's thread asks is answered."""
    fanout = make(hanging.endpoint)
    trace(fanout)

    async def ask() -> float:
        longer = asyncio.ensure_future(asyncio.to_thread(fanout.shutdown, 90))
        while not fanout.stopped:  # noqa: ASYNC110 - no event of ours
            await asyncio.sleep(0.01)
        shorter = asyncio.ensure_future(asyncio.to_thread(fanout.shutdown, 6))
        slowest = 0.0
        while not shorter.done():
            started = time.monotonic()
            fanout.health()
            await fanout.aflush(0.1)
            slowest = max(slowest, time.monotonic() - started)
        await asyncio.gather(longer, shorter)
        return slowest

    assert asyncio.run(ask()) < 5, "the loop's thread waited for the shutdown"
    assert fanout.health().backends["here"].counts.lost == {"shutdown": 1}


def test_a_cancelled_aflush_leaves_at_once_and_what_it_was_to_send_is_sent(
    make: Any, hanging: OtlpServer
) -> None:
    fanout = make(hanging.endpoint)
    trace(fanout)

    async def cancel() -> float:
        task = asyncio.ensure_future(fanout.aflush(30))
        await asyncio.to_thread(hanging.wait_for_requests, 1, 20)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    assert asyncio.run(cancel()) < 10
    hanging.release()
    hanging.wait_for_spans(1, 20)
    assert fanout.flush(20)


# -- invocations ---------------------------------------------------------------------------------------------


def handlers(fanout: Fanout) -> dict[str, Callable[[], object]]:
    """One handler of each kind, decorated, and called the way its runtime would, up to its end."""
    invocation = fanout.invocation(deadline=20)

    @invocation
    def sync(event: str) -> str:
        trace(fanout, event)
        return event

    @invocation
    async def waiting(event: str) -> str:
        trace(fanout, event)
        await asyncio.sleep(0)
        return event

    @invocation
    def streaming(event: str) -> Iterator[str]:
        trace(fanout, "before")
        yield event
        trace(fanout, event)

    @invocation
    async def streaming_in_a_loop(event: str) -> AsyncIterator[str]:
        trace(fanout, "before")
        yield event
        trace(fanout, event)

    async def consume() -> str:
        return "".join([part async for part in streaming_in_a_loop("e")])

    return {
        "sync": lambda: sync("e"),
        "async": lambda: asyncio.run(waiting("e")),
        "streaming": lambda: "".join(streaming("e")),
        "async streaming": lambda: asyncio.run(consume()),
    }


@pytest.mark.parametrize("kind", ["sync", "async", "streaming", "async streaming"])
def test_what_a_handler_traced_has_left_when_it_is_done(kind: str, make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    call = handlers(fanout)[kind]
    for times in (1, 2):
        assert call() == "e"
        names = [span.name for span in server.spans]
        assert names.count("e") == times
        assert names.count("before") == (times if "streaming" in kind else 0)


def test_a_stream_whose_reader_leaves_early_is_closed_then_flushed(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)

    @fanout.invocation(deadline=20)
    async def streaming() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
        finally:
            trace(fanout, "closed")

    async def leave_early() -> None:
        stream = streaming()
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        assert [span.name for span in server.spans] == ["closed"], (
            "when the stream is closed, not when the loop is"
        )

    asyncio.run(leave_early())


@pytest.mark.parametrize("kind", ["generator function", "function that returns one"])
def test_what_is_sent_or_thrown_into_a_stream_reaches_its_handler(
    kind: str, make: Any, server: OtlpServer
) -> None:
    """As without us; `contextlib.asynccontextmanager` throws what its block raises."""
    fanout = make(server.endpoint)

    async def echo(event: str) -> AsyncGenerator[str, str]:
        said = event
        while said != "end":
            try:
                said = yield said
            except KeyError as error:
                trace(fanout, said)
                said = f"caught {error}"

    def returning(event: str) -> AsyncGenerator[str, str]:
        return echo(event)

    decorated = fanout.invocation(deadline=20)(echo if kind == "generator function" else returning)

    async def talk() -> list[str]:
        stream = decorated("a")
        got = [await anext(stream), await stream.asend("b"), await stream.athrow(KeyError("c"))]
        with pytest.raises(StopAsyncIteration):
            await stream.asend("end")
        return got

    async def throw() -> None:
        stream = decorated("a")
        await anext(stream)
        await stream.athrow(ValueError("not the handler's"))

    assert asyncio.run(talk()) == ["a", "b", "caught 'c'"]
    assert [span.name for span in server.spans] == ["b"]
    with pytest.raises(ValueError, match="not the handler's"):
        asyncio.run(throw())


def test_what_is_unsent_at_the_deadline_is_counted_and_left_to_the_next_invocation(
    make: Any, hanging: OtlpServer
) -> None:
    fanout = make(hanging.endpoint)

    @fanout.invocation(deadline=lambda _event, left: left)
    def handler(event: str, left: float) -> str:
        trace(fanout, event)
        return event

    started = time.monotonic()
    assert handler("first", 0.3) == "first"
    assert time.monotonic() - started < 0.3 + 5.0
    assert fanout.health().carried_over["here"] == 1
    hanging.answer = None
    hanging.release()
    assert handler("second", 20.0) == "second"
    assert sorted(span.name for span in hanging.spans) == ["first", "second"]
    counts = fanout.health().backends["here"].counts
    assert (counts.seen, counts.delivered, counts.pending) == (2, 2, 0)


def failing(event: str) -> float:
    """A deadline that can't be told."""
    return 1 / 0 if event else 0.0


@pytest.mark.parametrize(
    ("deadline", "why"),
    [
        (timedelta(seconds=20), "neither a number of seconds nor a function, but a timedelta"),
        ("soon", "neither a number of seconds nor a function, but a str"),
        (math.nan, "neither a number of seconds nor a function, but NaN"),
        (failing, "the function for the deadline failed with ZeroDivisionError"),
        (lambda _: math.nan, "the function for the deadline failed with ValueError"),
        (lambda _: timedelta(seconds=20), "the function for the deadline failed with TypeError"),
    ],
    ids=["timedelta", "text", "NaN", "failing", "function of NaN", "function of a timedelta"],
)
def test_a_deadline_that_is_none_costs_no_handler_its_result_and_is_told_once_a_minute(
    deadline: Any, why: str, make: Any, server: OtlpServer, caplog: pytest.LogCaptureFixture
) -> None:
    fanout = make(server.endpoint)

    @fanout.invocation(deadline=deadline)
    def handler(event: str) -> str:
        trace(fanout, event)
        return event

    assert [handler("e") for _ in range(5)] == ["e"] * 5
    assert [span.name for span in server.spans] == ["e"] * 5

    def told() -> list[str]:
        return [one.getMessage() for one in list(caplog.records) if "deadline" in one.getMessage()]

    [line] = told()
    assert why in line
    assert line.endswith("[shutdown] timeout is taken")
    fanout.shutdown(20)
    if callable(deadline):
        wait_for(lambda: len(told()) == 2, 20, "the rest")
        assert told()[1].endswith("(4 invocations since the last such line)")


@pytest.mark.parametrize("timeout", [timedelta(seconds=1), "soon", math.nan, object()])
def test_a_timeout_that_is_none_raises_nothing(
    timeout: Any, make: Any, server: OtlpServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The file's is taken in its place."""
    fanout = make(server.endpoint)
    for call in (fanout.flush, lambda given: asyncio.run(fanout.aflush(given)), fanout.shutdown):
        trace(fanout, "a")
        assert call(timeout).backends["here"].delivered == 1
    [line] = [one.getMessage() for one in caplog.records if "reading seconds" in one.getMessage()]
    assert f"from a {type(timeout).__name__} failed with" in line


def test_what_a_handler_raises_passes_through_after_what_it_traced_has_left(
    make: Any, server: OtlpServer
) -> None:
    fanout = make(server.endpoint)

    @fanout.invocation(deadline=20)
    async def handler() -> None:
        trace(fanout, "then it broke")
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        asyncio.run(handler())
    assert [span.name for span in server.spans] == ["then it broke"]
