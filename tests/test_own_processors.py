"""Processors of a user's own at work: no other backend notices, and nothing goes out unprocessed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tests.own

from ajolo_fanout.testing import Harness, OtlpServer, fanout, wait_for

DELAY = 3.0
"""Seconds: `batch.schedule_delay` of every backend here."""

SPANS = 30

FILE = """
schema = 1
[service]
name = "own"
[shutdown]
timeout = "3s"
[defaults]
batch.schedule_delay = "3s"
[backends.datadog]
type = "datadog"
site = "eu"
api_key = "${DD_API_KEY}"
[backends.langfuse]
type = "langfuse"
region = "eu"
public_key = "${LANGFUSE_PUBLIC_KEY}"
secret_key = "${LANGFUSE_SECRET_KEY}"
[backends.tempo]
type = "tempo"
endpoint = "http://tempo.internal:4317"
protocol = "grpc"
[backends.honeycomb]
type = "honeycomb"
region = "us"
api_key = "${HONEYCOMB_API_KEY}"
[backends.own]
type = "otlp"
endpoint = "http://own.internal:4318/v1/traces"
"""
OTHERS = ("datadog", "langfuse", "tempo", "honeycomb")

FAILING = ("raises", "exits", "returns_garbage", "writes_garbage", "interrupts")


@pytest.fixture(autouse=True)
def _released() -> Iterator[None]:
    tests.own.release.clear()
    yield
    tests.own.release.set()


def write(folder: Path, *processors: str, own: str = "", text: str = FILE) -> Path:
    """The file, with processors (tables in TOML) at the backend called `own`."""
    path = folder / "tracing.toml"
    path.write_text(f"{text}{own}\nprocessors = [{', '.join(processors)}]\n", encoding="utf-8")
    return path


def trace_spans(harness: Harness, number: int = SPANS) -> None:
    tracer = harness.provider.get_tracer("tests")
    for index in range(number):
        with tracer.start_as_current_span(f"span {index}") as span:
            span.set_attribute("secret", "hunter2")
            span.set_attribute("note", "a long note")


def arrives_at_the_others(harness: Harness, since: float) -> None:
    """Each of the four gets every span within twice the schedule delay, unasked."""
    wait_for(
        lambda: all(len(harness.spans(name)) == SPANS for name in OTHERS),
        since + 2 * DELAY - time.monotonic(),
        "every span at the four others",
    )


@pytest.mark.parametrize("name", ["sleeps_for_ever", *FAILING])
def test_whatever_one_does_the_four_others_get_every_span_in_time(tmp_path: Path, name: str) -> None:
    """Counts add up at each: the failing spans are lost as `error`, the waiting ones as `shutdown`."""
    with fanout(write(tmp_path, f'{{ type = "tests.own:{name}" }}')) as harness:
        trace_spans(harness)
        arrives_at_the_others(harness, time.monotonic())
        report = harness.fanout.shutdown()
        counts = {name: one.counts for name, one in harness.health().backends.items()}
        assert harness.spans("own") == []
    assert all(counts[other].delivered == counts[other].seen == SPANS for other in OTHERS)
    own = counts["own"]
    reason = "shutdown" if name == "sleeps_for_ever" else "error"
    assert own.lost == {reason: SPANS}
    assert own.seen == SPANS
    assert own.pending == 0
    assert not report.backends["own"].delivered


def test_a_hanging_one_ends_with_the_deadline_of_the_shutdown(tmp_path: Path) -> None:
    """The program leaves in time; what comes while it hangs is refused and counted, never kept for ever."""
    path = write(
        tmp_path,
        '{ type = "tests.own:sleeps_for_ever" }',
        own="batch.max_queue_size = 10\nbatch.max_export_batch_size = 5",
    )
    with fanout(path) as harness:
        trace_spans(harness)
        arrives_at_the_others(harness, time.monotonic())
        before = time.monotonic()
        harness.fanout.shutdown(timeout=1)
        assert time.monotonic() - before < 1 + 4
        counts = harness.health().backends["own"].counts
    assert counts.lost == {"queue_full": SPANS - 10, "shutdown": 10}
    assert counts.pending == 0


def test_its_message_stays_out_of_logs_and_health(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is raised may quote the span: only its type and its place are told, once a minute."""
    with fanout(write(tmp_path, '{ type = "tests.own:raises" }')) as harness:
        trace_spans(harness)
        harness.flush()
        said = harness.health().backends["own"].last_error
    lines = [record.getMessage() for record in caplog.records if "a step failed" in record.getMessage()]
    assert lines
    assert "RuntimeError at " in lines[0]
    assert "own.py:" in said
    assert all("hunter2" not in line for line in [*lines, said])


def test_spans_between_the_bad_ones_arrive(tmp_path: Path) -> None:
    """A match keeps it from the others; only those it fails on are lost, never sent as they were."""
    table = '{ type = "tests.own:raises", match = { name = "span 1*" } }'
    with fanout(write(tmp_path, table)) as harness:
        trace_spans(harness)
        report = harness.flush()
        arrived = {span.name for span in harness.spans("own")}
    failed = {f"span {index}" for index in range(SPANS) if str(index).startswith("1")}
    assert arrived == {f"span {index}" for index in range(SPANS)} - failed
    assert report.backends["own"].lost == {"error": len(failed)}


def test_it_runs_on_its_backends_own_thread(tmp_path: Path) -> None:
    tests.own.threads.clear()
    with fanout(write(tmp_path, '{ type = "tests.own:note_thread" }')) as harness:
        trace_spans(harness)
        wait_for(lambda: len(harness.spans("own")) == SPANS, 10 * DELAY, "the spans")
    assert tests.own.threads
    assert not any("router" in name or name == "MainThread" for name in tests.own.threads)


def test_they_run_in_order_among_the_built_in_ones_and_before_redaction(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{ type = "set", attributes = { note = "set before" } }',
        '{ type = "tests.own:Shorten", limit = 5 }',
        '{ type = "tests.own:stamp", text = "ab", times = 2 }',
        '{ type = "rename", attributes = { stamp = "mark" } }',
        own='redaction.drop = ["secret"]',
    )
    with fanout(path) as harness:
        trace_spans(harness, 1)
        assert harness.flush()
        [span] = harness.spans("own")
        [other] = harness.spans("tempo")
        counts = harness.health().backends["own"].counts
    assert span.attributes["note"] == "set b"
    assert span.attributes["mark"] == "abab"
    assert "secret" not in span.attributes
    assert dict(counts.redacted_by) == {"drop": 1}
    assert dict(other.attributes) == {"secret": "hunter2", "note": "a long note"}


def test_one_in_defaults_is_another_for_each_backend(tmp_path: Path) -> None:
    """State of one backend's is not another's, even where both say that they are equal."""
    text = FILE.replace("[defaults]", '[defaults]\nprocessors = [{ type = "tests.own:Counts" }]', 1)
    path = tmp_path / "tracing.toml"
    path.write_text(text, encoding="utf-8")
    with fanout(path) as harness:
        trace_spans(harness, 3)
        assert harness.flush()
        for name in (*OTHERS, "own"):
            assert [span.attributes["number"] for span in harness.spans(name)] == [1, 2, 3]
        assert all(len(shape) == 1 for shape in harness.plan.shapes())


def test_what_a_backend_adds_and_selects_goes_with_it(tmp_path: Path) -> None:
    """A promoted parent, a kept trace's mark and a weight stand on spans that are made late, too."""
    own = (
        'select.exclude = [{ name = "outer" }]\nselect.orphans = "promote"\n'
        'sampling.ratio = 0.0\nsampling.keep = [{ name = "all", match = {} }]'
    )
    with fanout(write(tmp_path, '{ type = "tests.own:upper" }', own=own)) as harness:
        tracer = harness.provider.get_tracer("tests")
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
            pass
        assert harness.flush()
        [span] = harness.spans("own")
    assert span.name == "INNER"
    assert not span.parent_id
    assert span.attributes["ajolo_fanout.kept_by"] == "all"


def test_a_stock_exporter_gets_what_it_made(tmp_path: Path) -> None:
    with fanout(write(tmp_path, '{ type = "tests.own:upper" }', own='exporter = "stock"')) as harness:
        trace_spans(harness, 1)
        harness.flush()
        assert [span.name for span in harness.spans("own")] == ["SPAN 0"]
        assert harness.health().backends["own"].counts.handed_over == 1


def test_the_queue_is_measured_by_what_was_made(tmp_path: Path) -> None:
    """An estimate stands for a span until then; nothing of it is left when the queue is empty."""
    with fanout(write(tmp_path, '{ type = "tests.own:stamp", text = "x", times = 50000 }')) as harness:
        trace_spans(harness)
        assert harness.flush()
        health = harness.health().backends["own"]
    assert (health.queued_spans, health.queued_bytes) == (0, 0)
    assert health.counts.delivered == SPANS


def test_what_it_calls_is_not_traced(tmp_path: Path) -> None:
    """It runs where instrumentation is suppressed, as all that we send does: it can't feed itself."""
    tests.own.instrumented.clear()
    with fanout(write(tmp_path, '{ type = "tests.own:note_instrumentation" }')) as harness:
        trace_spans(harness, 1)
        assert harness.flush()
    assert tests.own.instrumented == [False]


def test_it_works_on_in_a_forked_child(tmp_path: Path) -> None:
    """With threads of the child's own, and counts from zero."""
    with OtlpServer() as server:
        path = tmp_path / "tracing.toml"
        path.write_text(
            'schema = 1\n[service]\nname = "forks"\n[backends.own]\ntype = "otlp"\n'
            f'endpoint = "{server.endpoint}"\nprocessors = [{{ type = "tests.own:upper" }}]\n',
            encoding="utf-8",
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, str(path)],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stdout.split() == ["1", "1"], done.stderr
        assert [span.name for span in server.spans] == ["PARENT", "CHILD"]


FORKS = """
import os, sys
from ajolo_fanout import install_from_config

fanout = install_from_config(sys.argv[1])
tracer = fanout.provider.get_tracer("forks")

def deliver(name):
    with tracer.start_as_current_span(name):
        pass
    assert fanout.flush()
    print(fanout.health().backends["own"].counts.delivered, flush=True)

deliver("parent")
child = os.fork()
if not child:
    deliver("child")
    os._exit(0)
os.waitpid(child, 0)
"""
