"""What a backend can't take is kept on disk, sent when it can, and counted for what it is."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.delivery.hostile import Hostile, hang_on_answer, refused
from tests.delivery.support import KEY, PROTOCOLS, Rig, backend, one_batch, rendition, rigged, spooled

from ajolo_fanout.config.document import parse
from ajolo_fanout.delivery.outlet import shutdown_all
from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.fanout import Fanout
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing.collector_run import free_ports
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for
from ajolo_fanout.values import Duration, Size

MODES = ("on_failure", "always")


def on_disk(folder: Path) -> int:
    """Spans in the spool."""
    found = survey(folder)
    assert not found.message, found.message
    return sum(one.fill.held.spans for one in found.listings)


def adds_up(rig: Rig) -> bool:
    counts = rig.counts
    others = counts.delivered + counts.spooled + counts.pending + counts.lost_total
    return bool(counts.seen == others and counts.pending >= 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", MODES)
def test_an_outage_is_spooled_and_the_next_program_sends_it_without_a_span_of_its_own(
    protocol: str, mode: str, folder: Path
) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with rigged(spooled(backend(url, protocol), folder, mode)) as rig:
        for _ in range(3):
            rig.offer(50)
            assert rig.flush(), "the disk has it: nothing is pending"
        assert rig.shutdown()
        assert (rig.counts.spooled, rig.counts.lost_total, rig.counts.pending) == (150, 0, 0)
    assert on_disk(folder) == 150
    with (
        OtlpServer(protocol, port=port) as server,
        rigged(spooled(backend(url, protocol), folder, mode)) as rig,
    ):
        names = [span.name for span in server.wait_for_spans(150, 30)]
        assert len(names) == len(set(names)) == 150
        wait_for(lambda: rig.counts.replayed == 150, 30, "the count")
        wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
        assert rig.counts.seen == 0
        assert rig.ledger.state == "ok"
        assert len(server.requests) <= 2, "one trial; then what waits is joined to full requests"


@pytest.mark.parametrize("mode", MODES)
def test_the_same_program_sends_it_once_the_backend_is_back(mode: str, folder: Path) -> None:
    with (
        OtlpServer(answer=[Answer(status=503)] * 2) as server,
        rigged(spooled(backend(server.endpoint), folder, mode)) as rig,
    ):
        rig.offer(20)
        wait_for(lambda: rig.counts.spooled == 20, 30, "the spool")
        server.wait_for_spans(20, 30)
        wait_for(lambda: rig.counts.replayed == 20, 30, "the count")
        rig.offer(5)
        assert rig.flush()
        # They may still find the backend marked as down, and go after those that waited.
        wait_for(lambda: rig.counts.delivered + rig.counts.replayed == 25, 30, "the rest")
        assert rig.counts.delivered + rig.counts.spooled == 25
        assert adds_up(rig)
        wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")


def test_always_writes_before_the_first_send_and_takes_out_what_was_delivered(folder: Path) -> None:
    seen_on_disk: list[int] = []

    def answer(request: ReceivedRequest) -> Answer:
        seen_on_disk.append(on_disk(folder))
        return Answer()

    with (
        OtlpServer(answer=answer) as server,
        rigged(spooled(backend(server.endpoint, batch=one_batch(30)), folder, "always")) as rig,
    ):
        rig.offer(30)
        assert rig.flush()
        assert seen_on_disk == [30]
        assert (rig.counts.delivered, rig.counts.spooled, rig.counts.replayed) == (30, 0, 0)
        assert on_disk(folder) == 0


def test_what_is_written_ahead_is_pending_until_its_first_send_is_decided(folder: Path) -> None:
    with (
        OtlpServer(answer=Answer(hang=True)) as server,
        rigged(spooled(backend(server.endpoint, timeout=60, batch=one_batch(10)), folder, "always")) as rig,
    ):
        rig.offer(10)
        server.wait_for_requests(1, 30)
        assert on_disk(folder) == 10
        assert (rig.counts.pending, rig.counts.spooled) == (10, 0)
        assert rig.outlet.health().queued_spans == 10
        server.release()
        assert rig.flush()
        assert rig.counts.delivered == 10


@pytest.mark.usefixtures("time_for_the_disk")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_unsent_at_the_deadline_of_a_shutdown_goes_to_the_disk(
    protocol: str, mode: str, folder: Path
) -> None:
    """A backend that hangs, 2,000 spans in the queue."""
    with Hostile(hang_on_answer) as server:
        with rigged(spooled(backend(server.url, protocol, timeout=60), folder, mode)) as rig:
            rig.offer(2000, 200)
            started = time.monotonic()
            assert rig.shutdown(8), rig.ledger.health()
            assert time.monotonic() - started < 8 + 3
            assert (rig.counts.spooled, rig.counts.lost_total, rig.counts.pending) == (2000, 0, 0)
        assert on_disk(folder) == 2000


@pytest.mark.usefixtures("time_for_the_disk")
def test_several_that_hang_all_have_their_time_for_the_disk(folder: Path) -> None:
    """Cut off side by side, not one after another."""
    with Hostile(hang_on_answer) as server:
        plans = [spooled(backend(server.url, name=f"b{n}", timeout=60), folder) for n in range(4)]
        with rigged(*plans) as rigs:
            for rig in rigs:
                rig.offer(600)
            started = time.monotonic()
            assert shutdown_all([rig.outlet for rig in rigs], started + 8)
            assert time.monotonic() - started < 8 + 3
            assert [rig.counts.spooled for rig in rigs] == [600] * 4


def test_a_flush_may_be_given_all_the_time_there_is() -> None:
    with OtlpServer(answer=[Answer(status=503)]) as server, rigged(backend(server.endpoint)) as rig:
        rig.offer(5)
        assert rig.outlet.flush(math.inf)
        assert rig.counts.delivered == 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_partial_success_left_out_is_counted_in_the_spool_too(protocol: str, folder: Path) -> None:
    """Every span that was left to the spool is replayed, on disk, or given up there with its reason."""
    script = [Answer(status=503), Answer(rejected=4, message="quota")]
    with (
        OtlpServer(protocol, answer=script) as server,
        rigged(spooled(backend(server.endpoint, protocol, batch=one_batch(10)), folder)) as rig,
    ):
        rig.offer(10)
        wait_for(lambda: rig.counts.replayed == 6, 30, "the second answer")
        wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
        [listing] = survey(folder).listings
        assert {reason: one.spans for reason, one in listing.fill.lost.items()} == {"rejected": 4}
        assert rig.counts.spooled == 10
        assert "quota" in rig.ledger.health().last_error


def test_of_several_spans_the_one_that_is_too_large_for_good_is_counted_in_the_spool(folder: Path) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        return Answer(status=413 if b"monster" in request.body else 200)

    with refused() as url, rigged(spooled(backend(url), folder)) as rig:
        rig.ledger.seen(4)
        rig.outlet.offer_all([rendition(name=name) for name in ("a", "b", "monster", "c")])
        wait_for(lambda: rig.counts.spooled == 4, 30, "the spool")
    with OtlpServer(answer=answer) as server, rigged(spooled(backend(server.endpoint), folder)) as rig:
        wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
        [listing] = survey(folder).listings
        assert {reason: one.spans for reason, one in listing.fill.lost.items()} == {"too_large": 1}
        assert rig.counts.replayed == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_refused_at_its_first_send_is_counted_once(protocol: str, folder: Path) -> None:
    """Written ahead, it never became `spooled`: the ledger has its fate, and the spool none."""
    answer = Answer(status=400, code="INVALID_ARGUMENT", message="no such field")
    with (
        OtlpServer(protocol, answer=answer) as server,
        rigged(spooled(backend(server.endpoint, protocol), folder, "always")) as rig,
    ):
        rig.offer(10)
        assert rig.flush()
        assert (rig.counts.spooled, dict(rig.counts.lost)) == (0, {"rejected": 10})
        wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
        [listing] = survey(folder).listings
        assert listing.fill.lost == {}


def test_of_a_batch_that_is_taken_in_part_only_the_rest_is_kept(folder: Path) -> None:
    """Three requests in a batch; the second finds the backend down."""
    with OtlpServer(answer=[Answer(), Answer(status=503)]) as server:
        made = backend(server.endpoint, max_request_bytes=25_000, batch=one_batch(6))
        with rigged(spooled(made, folder, "always")) as rig:
            rig.offer(6, 10_000)
            names = [span.name for span in server.wait_for_spans(6, 30)]
            assert len(set(names)) == len(names) == 6, "nothing twice"
            wait_for(lambda: on_disk(folder) == 0, 30, "the empty spool")
            assert rig.counts.delivered == 2
            assert (rig.counts.spooled, rig.counts.replayed) == (4, 4)


@pytest.mark.parametrize("status", [403, 504])
def test_what_never_gets_through_from_memory_doesn_t_keep_the_disk_s_back(status: int, folder: Path) -> None:
    """A batch that is more than the whole spool, and that a gateway never takes."""
    down = threading.Event()
    down.set()

    def answer(request: ReceivedRequest) -> Answer:
        if down.is_set():
            return Answer(status=503)
        return Answer(status=status if b"monster" in request.body else 200)

    with (
        OtlpServer(answer=answer) as server,
        rigged(spooled(backend(server.endpoint), folder, max_bytes=Size(65536))) as rig,
    ):
        rig.offer(1)
        wait_for(lambda: rig.counts.spooled == 1, 30, "the spool")
        rig.ledger.seen(1)
        rig.outlet.offer_all([rendition(name="monster" + os.urandom(100_000).hex())])
        wait_for(lambda: rig.outlet.health().retry_spans == 1, 30, "the one in memory")
        for spooled_by_then in range(6, 52, 5):
            rig.offer(5)
            wait_for(lambda n=spooled_by_then: rig.counts.spooled == n, 30, "a batch of its own on disk")
        down.clear()
        server.wait_for_spans(51, 60)
        wait_for(lambda: rig.counts.replayed == 51, 30, "the count")
        assert rig.outlet.health().retry_spans == 1
        server.answer = None
        server.wait_for_spans(52, 60)


def test_shutdown_sends_from_the_disk_what_a_backend_takes_again(folder: Path) -> None:
    """A short program: one 503, and its spans don't wait for its next run."""
    with OtlpServer(answer=[Answer(status=503)]) as server:
        with rigged(spooled(backend(server.endpoint), folder)) as rig:
            rig.offer(10)
            assert rig.shutdown()
            assert (rig.counts.spooled, rig.counts.replayed) == (10, 10)
        assert len(server.spans) == 10
    assert on_disk(folder) == 0


def test_two_programs_share_a_spool_and_each_span_is_sent_once(folder: Path) -> None:
    """Two outlets stand for them: what one left, either sends, and never both."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with rigged(spooled(backend(url), folder)) as rig:
        for _ in range(20):
            rig.offer(10)
            rig.flush()
        rig.shutdown()
    batch = {"max_export_batch_size": 20}
    with (
        OtlpServer(port=port, answer=Answer(delay=0.01)) as server,
        rigged(*[spooled(backend(url, batch=batch), folder) for _ in range(3)]) as rigs,
    ):
        names = [span.name for span in server.wait_for_spans(200, 60)]
        wait_for(lambda: sum(rig.counts.replayed for rig in rigs) == 200, 30, "the counts")
        assert len(names) == len(set(names)) == 200


FILE = """
schema = 1
service.name = "svc"
shutdown.timeout = "20s"

[spool]
directory = "{folder}"

[backends.one]
type = "otlp"
endpoint = "{url}"
spool = "{mode}"
batch.schedule_delay = "50ms"
"""


@pytest.mark.parametrize("mode", MODES)
def test_a_file_with_a_spool_works_from_end_to_end(mode: str, folder: Path) -> None:
    [port] = free_ports(1)
    text = FILE.format(folder=folder, url=f"http://127.0.0.1:{port}", mode=mode)
    plan = resolve(parse(text, "tracing.toml"), {})
    with Fanout(plan) as first:
        for number in range(30):
            first.provider.get_tracer("t").start_span(f"span {number}").end()
        report = first.shutdown()
        assert report, str(report)
        assert report.backends["one"].spooled == 30
    assert on_disk(folder) == 30
    with OtlpServer(port=port) as server, Fanout(plan) as second:
        names = {span.name for span in server.wait_for_spans(30, 30)}
        assert names == {f"span {number}" for number in range(30)}
        wait_for(lambda: second.health().backends["one"].counts.replayed == 30, 30, "the count")


def test_the_health_shows_what_is_on_disk(folder: Path) -> None:
    with refused() as url, rigged(spooled(backend(url), folder)) as rig:
        rig.offer(25)
        wait_for(lambda: rig.outlet.health().spool_spans == 25, 30, "the fill")
        assert rig.outlet.health().spool_bytes > 0
    with refused() as url, rigged(spooled(backend(url), folder)) as rig:
        wait_for(lambda: rig.outlet.health().spool_spans == 25, 30, "what was there before")


def test_no_key_is_ever_on_disk(folder: Path) -> None:
    with refused() as url, rigged(spooled(backend(url), folder, "always")) as rig:
        rig.offer(5)
        wait_for(lambda: rig.counts.spooled == 5, 30, "the spool")
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # SQLite takes its journal away when it is done with it
            assert KEY.encode() not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0


@pytest.fixture
def traced() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    instrumentors: list[Any] = [URLLib3Instrumentor(), SQLite3Instrumentor()]
    for one in instrumentors:
        one.instrument(tracer_provider=provider)
    yield memory
    for one in instrumentors:
        one.uninstrument()


def test_what_is_sent_from_the_disk_at_the_start_is_never_traced(
    folder: Path, traced: InMemorySpanExporter
) -> None:
    """Before any span of the program, and so before the SDK has ever called an exporter."""
    with refused() as url, rigged(spooled(backend(url), folder)) as rig:
        rig.offer(3)
        assert rig.shutdown()
    with OtlpServer() as server, rigged(spooled(backend(server.endpoint), folder)) as rig:
        server.wait_for_spans(3, 30)
        wait_for(lambda: rig.counts.replayed == 3, 30, "the count")
    assert traced.get_finished_spans() == ()


def test_many_small_batches_are_joined_to_full_requests_when_they_drain(folder: Path) -> None:
    batch = {"max_export_batch_size": 50, "schedule_delay": Duration(0.01)}
    with OtlpServer(answer=Answer(status=503)) as server:
        with rigged(spooled(backend(server.endpoint, batch=batch), folder)) as rig:
            for _ in range(40):
                rig.offer(5)
                wait_for(lambda: rig.outlet.health().queued_spans == 0, 30, "a batch of its own")
            asked = len(server.requests)
            server.answer = None
            server.wait_for_spans(200, 60)  # the pause between two trials has grown
        sizes = [len(request.spans()) for request in server.requests[asked:]]
        assert max(sizes) <= 50 + 5
        assert len(sizes) <= 8, sizes
