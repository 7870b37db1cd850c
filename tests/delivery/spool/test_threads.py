"""Any thread may use a spool, in any context, and an instrumented sqlite3 sees nothing of it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.delivery.spool.support import NOW, bodies, spool


def in_thread(work: object, *arguments: object) -> None:
    failed: list[BaseException] = []

    def target() -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(30)
    assert not failed


def test_a_copied_context_works_from_other_threads(tmp_path: Path) -> None:
    """The SDK suppresses instrumentation in the context of `export()`; other threads run in a copy of it."""
    one = spool(tmp_path / "spool")
    token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, "yes"))
    copied = contextvars.copy_context()
    context.detach(token)
    in_thread(copied.run, one.put, b"one", 1, NOW)
    leased = []
    in_thread(lambda: leased.extend(contextvars.copy_context().run(one.lease).batches))
    assert [batch.body for batch in leased] == [b"one"]
    in_thread(copied.run, one.done, leased[0].ticket)
    assert not one.fill().held


def test_many_threads_share_one_spool(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    out: list[bytes] = []

    def work(number: int) -> None:
        for turn in range(20):
            assert one.put(f"{number}-{turn}".encode(), 1, NOW)
            for batch in one.lease(2).batches:
                out.append(batch.body)
                assert one.done(batch.ticket)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    out += bodies(one)
    assert sorted(out) == sorted(f"{number}-{turn}".encode() for number in range(6) for turn in range(20))


@pytest.fixture
def traced() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    SQLite3Instrumentor().instrument(tracer_provider=provider)
    yield exporter
    SQLite3Instrumentor().uninstrument()
    provider.shutdown()


def test_an_instrumented_sqlite3_makes_no_span_of_ours(tmp_path: Path, traced: InMemorySpanExporter) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "of-the-program.db")
    connection.cursor().execute("SELECT 1")
    connection.close()
    spans = len(traced.get_finished_spans())
    assert spans > 0
    one = spool(tmp_path / "spool")
    one.put(b"one", 1, NOW)
    assert bodies(one) == [b"one"]
    one.rest()
    one.close()
    assert len(traced.get_finished_spans()) == spans
