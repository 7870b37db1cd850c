"""The handle: flush, shutdown, health, and that the counts add up at any moment."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ajolo_fanout import Fanout, Health, Report
from ajolo_fanout.health.fates import Counts
from ajolo_fanout.testing import OtlpServer, wait_for

FILE = Callable[..., Path]
SLACK = 8.0
"""Seconds in which a deadline may be told late on a busy machine; the request that hangs would have ten."""


def spans(fanout: Fanout, count: int = 1) -> None:
    tracer = fanout.provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(f"span {number}").end()


def adds_up(counts: Counts) -> bool:
    """The identity of the third promise, from the numbers themselves."""
    settled = counts.filtered + counts.sampled_out + counts.delivered + counts.handed_over + counts.spooled
    return counts.seen == settled + counts.pending + sum(counts.lost.values()) and counts.pending >= 0


def two_backends(server: OtlpServer, other: OtlpServer) -> dict[str, str]:
    more = f'[backends.other]\ntype = "otlp"\nendpoint = "{other.endpoint}"\nbatch.schedule_delay = "60s"\n'
    return {"extra": more}


def test_flush_delivers_what_has_ended_and_reports_it(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    spans(fanout, 3)
    report = fanout.flush()
    assert isinstance(report, Report)
    assert report
    assert report.backends["here"].delivered == 3
    assert len(server.spans) == 3
    assert fanout.flush().backends["here"].delivered == 0, (
        "a report is about what came since the previous one"
    )


def test_processors_are_the_sdks_own_by_name(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    assert type(fanout.processors["here"]) is BatchSpanProcessor
    with pytest.raises(TypeError):
        fanout.processors["here"] = None


def test_a_flush_that_cannot_finish_is_falsy_on_time_and_names_what_is_pending(
    make: Any, hanging: OtlpServer
) -> None:
    fanout = make(hanging.endpoint)
    spans(fanout, 2)
    before = time.monotonic()
    report = fanout.flush(0.3)
    assert time.monotonic() - before < 0.3 + SLACK
    assert not report
    assert report.backends["here"].pending == 2


@pytest.mark.parametrize("call", ["flush", "shutdown"])
def test_a_time_limit_of_the_programs_own_passes_and_what_was_asked_for_goes_on(
    call: str, make: Any, hanging: OtlpServer
) -> None:
    """An alarm, or the soft limit of Celery: its handler raises in the main thread, which waits here."""

    class TimeLimitError(Exception):
        pass

    def limit(_number: int, _frame: object) -> None:
        nonlocal limited
        if limited:
            limited = False  # once for each call, however long it takes to get out of it
            raise TimeLimitError

    def tell() -> None:
        hanging.wait_for_requests(1, 60)
        while not over.wait(0.3):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    limited, over = False, threading.Event()
    fanout = make(hanging.endpoint)
    spans(fanout, 2)
    before = signal.signal(signal.SIGUSR1, limit)
    watch = threading.Thread(target=tell)
    watch.start()
    try:
        for _ in range(1 if call == "shutdown" else 3):  # what the first began is under way for long
            with pytest.raises(TimeLimitError):  # noqa: PT012 - the signal may come before the call
                limited = True
                getattr(fanout, call)(100)
    finally:
        over.set()
        watch.join()
        signal.signal(signal.SIGUSR1, before)
    hanging.answer = None
    hanging.release()
    hanging.wait_for_spans(2, 60)
    assert fanout.stopped is (call == "shutdown")
    assert fanout.health().backends["here"].counts.seen == 2


def test_backends_are_flushed_side_by_side(make: Any, server: OtlpServer, hanging: OtlpServer) -> None:
    fanout = make(hanging.endpoint, **two_backends(server, server))
    spans(fanout)
    report = fanout.flush(5)
    assert [report.backends[name].delivered for name in ("here", "other")] == [0, 1]
    assert report.backends["here"].pending == 1


def test_shutdown_ends_by_its_deadline_and_counts_what_it_could_not_send(
    make: Any, hanging: OtlpServer
) -> None:
    fanout = make(hanging.endpoint)
    spans(fanout, 5)
    before = time.monotonic()
    report = fanout.shutdown(0.5)
    assert time.monotonic() - before < 0.5 + SLACK
    assert not report
    assert report.backends["here"].lost == {"shutdown": 5}
    assert report.backends["here"].pending == 0
    assert adds_up(fanout.health().backends["here"].counts)


def test_shutdown_without_a_timeout_takes_that_of_the_file(make: Any, hanging: OtlpServer) -> None:
    fanout = make(hanging.endpoint, '[shutdown]\ntimeout = "400ms"')
    spans(fanout)
    before = time.monotonic()
    fanout.shutdown()
    assert 0.3 < time.monotonic() - before < 5, "which it takes where the file says nothing"


def test_twice_is_harmless_and_says_nothing_new(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    spans(fanout)
    assert fanout.shutdown().backends["here"].delivered == 1
    again = fanout.shutdown()
    assert again
    assert again.backends["here"].delivered == 0
    assert fanout.flush()
    assert fanout.health().backends["here"].state == "stopped"


def test_shutdowns_from_many_threads_are_one(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    spans(fanout, 100)
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda: reports.append(fanout.shutdown())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {report.backends["here"].delivered for report in reports} <= {0, 100}
    assert any(report.backends["here"].delivered for report in reports)
    assert len(server.spans) == 100


def test_a_span_that_ends_after_the_shutdown_reaches_nobody_and_raises_nothing(
    make: Any, server: OtlpServer
) -> None:
    fanout = make(server.endpoint)
    span = fanout.provider.get_tracer("test").start_span("late")
    fanout.shutdown()
    span.end()
    spans(fanout)
    assert not server.spans
    counts = fanout.health().backends["here"].counts
    assert adds_up(counts)
    assert counts.lost == {"shutdown": 2}
    assert not fanout.flush(), "they are lost, and said to be"


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_more_open_spans_than_a_queue_takes_are_all_sent_also_beside_a_backend_that_hangs(
    protocol: Any, make: Any, hanging: OtlpServer
) -> None:
    with OtlpServer(protocol) as good:
        other = f'[backends.other]\ntype = "otlp"\nendpoint = "{good.endpoint}"\nprotocol = "{protocol}"\n'
        queue = 'batch.max_queue_size = 1000\nbatch.schedule_delay = "60s"\n'
        fanout = make(hanging.endpoint, f'{other}{queue}[shutdown]\nopen_spans = "send"', backend=queue[:28])
        tracer = fanout.provider.get_tracer("test")
        opened = [tracer.start_span(f"open {number}") for number in range(4000)]
        report = fanout.shutdown(8)
        assert dict(report.backends["other"].lost) == {}
        assert len(good.spans) == len(opened) == 4000
        assert all(span.attributes["ajolo_fanout.unfinished"] for span in good.spans)
        assert adds_up(fanout.health().backends["here"].counts)
        hanging.release()


def test_as_a_context_manager_it_delivers_on_leaving_also_by_an_exception(
    make: Any, server: OtlpServer
) -> None:
    fanout = make(server.endpoint)

    def program() -> None:
        with fanout:
            spans(fanout)
            raise LookupError

    with pytest.raises(LookupError):
        program()
    assert fanout.stopped
    assert len(server.spans) == 1


def test_the_providers_flush_and_shutdown_go_the_same_way(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    spans(fanout)
    assert fanout.provider.force_flush() is True
    assert len(server.spans) == 1
    spans(fanout)
    fanout.provider.shutdown()
    assert len(server.spans) == 2
    assert fanout.stopped


def test_the_providers_flush_and_shutdown_take_at_most_the_files_timeout(
    make: Any, hanging: OtlpServer
) -> None:
    fanout = make(hanging.endpoint, '[shutdown]\ntimeout = "300ms"')
    spans(fanout)
    before = time.monotonic()
    assert fanout.provider.force_flush() is False, "the SDK's own default would be thirty seconds"
    fanout.provider.shutdown()
    assert time.monotonic() - before < 2 * 0.3 + SLACK


def test_what_others_put_on_the_provider_is_not_stopped_by_ours(make: Any, server: OtlpServer) -> None:
    class Theirs(SpanProcessor):
        stopped = False
        ended = 0

        def on_end(self, span: ReadableSpan) -> None:
            self.ended += 1

        def shutdown(self) -> None:
            self.stopped = True

    theirs = Theirs()
    fanout = make(server.endpoint)
    fanout.provider.add_span_processor(theirs)
    fanout.shutdown()
    spans(fanout)
    assert (theirs.stopped, theirs.ended) == (False, 1)


def test_health_counts_spans_that_still_wait_in_the_inbox(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint)
    spans(fanout, 50)
    counts = fanout.health().backends["here"].counts
    assert (counts.seen, counts.pending) == (50, 50)
    fanout.flush()
    counts = fanout.health().backends["here"].counts
    assert (counts.seen, counts.pending, counts.delivered) == (50, 0, 50)


@pytest.mark.parametrize("backend", ["", "batch.max_queue_size = 4\nsampling.ratio = 0.5"])
def test_the_counts_add_up_at_any_moment(backend: str, make: Any, server: OtlpServer) -> None:
    """While four threads make spans, some of which are refused, every look at the counts is consistent."""
    fanout = make(server.endpoint, backend=backend)
    ended = [0, 0, 0, 0]
    go_on = True

    def work(number: int) -> None:
        while go_on:
            spans(fanout)
            ended[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        health = fanout.health()
        assert isinstance(health, Health)
        counts = health.backends["here"].counts
        assert adds_up(counts), counts
    go_on = False
    for thread in threads:
        thread.join()
    fanout.shutdown()
    counts = fanout.health().backends["here"].counts
    assert adds_up(counts)
    assert counts.pending == 0
    assert counts.seen + counts.never_recorded == sum(ended), "every span was counted once, whatever its fate"
    assert counts.delivered == len(server.spans)


def test_what_the_inbox_refuses_is_counted_to_the_span_at_every_backend(
    make: Any, server: OtlpServer, hanging: OtlpServer
) -> None:
    fanout = make(server.endpoint, backend="batch.max_queue_size = 8")
    spans(fanout, 5000)
    fanout.flush()
    counts = fanout.health().backends["here"].counts
    assert counts.seen == 5000
    assert adds_up(counts)
    lost = counts.lost
    assert lost.get("inbox_full", 0) + lost.get("queue_full", 0) == 5000 - len(server.spans)
    assert lost.get("inbox_full", 0) > 0


def test_calls_that_end_at_the_same_time_hide_no_loss_from_one_another(
    make: Any, hanging: OtlpServer
) -> None:
    """A library flushes in its own thread, or many do, and whoever shuts down still learns what was lost in it."""
    fanout = make(hanging.endpoint)
    spans(fanout, 10)
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda: reports.append(fanout.flush(60))) for _ in range(8)]
    for thread in threads:
        thread.start()
    hanging.wait_for_requests(1, 60)
    report = fanout.shutdown(1)
    for thread in threads:
        thread.join()
    assert report.backends["here"].lost == {"shutdown": 10}
    assert "unsent at the deadline" in report.backends["here"].error
    assert not all(reports), "who flushed meanwhile learns it, too"
    assert fanout.shutdown(), "what was lost before the previous report is old"


def test_losses_are_reported_once(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint, backend="batch.max_queue_size = 8")
    spans(fanout, 5000)
    assert sum(fanout.flush().backends["here"].lost.values()) == 5000 - len(server.spans)
    assert fanout.flush(), "what was lost before the previous report is old"


def test_it_leaves_no_thread_behind(make: Any, server: OtlpServer) -> None:
    before = set(threading.enumerate())
    fanout = make(server.endpoint)
    spans(fanout)
    assert set(threading.enumerate()) - before  # of which an earlier test's may be ending just now
    fanout.shutdown()

    def ours() -> set[threading.Thread]:
        # A server's threads are its own.
        return {one for one in set(threading.enumerate()) - before if "server" not in one.name.lower()}

    wait_for(lambda: not ours(), 10, "our threads to end")


def test_no_secret_in_what_it_shows_of_itself(make: Any, server: OtlpServer) -> None:
    fanout = make(server.endpoint, backend='headers = { authorization = "Bearer MARKED-SECRET" }')
    spans(fanout)
    fanout.flush()
    shown = [
        repr(fanout),
        str(fanout.plan),
        repr(fanout.plan),
        str(fanout.health()),
        str(fanout.plan.to_dict()),
    ]
    assert not any("MARKED-SECRET" in text for text in shown)
