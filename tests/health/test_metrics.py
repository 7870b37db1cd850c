"""The counters as OpenTelemetry metrics: the conventions' names, the ledger's numbers, any MeterProvider."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tests.delivery.hostile import refused

from ajolo_fanout import Fanout
from ajolo_fanout.config.document import load
from ajolo_fanout.health import Counts, metrics
from ajolo_fanout.health.metrics import component_of, observe
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing import Answer, OtlpServer, wait_for

MORE = ("ajolo_fanout.state", "ajolo_fanout.fate", "ajolo_fanout.reason", "error.type")
PROGRAMS = Path(__file__).parents[1] / "programs"
EXPORTED = "otel.sdk.exporter.span.exported"
INFLIGHT = "otel.sdk.exporter.span.inflight"
PROCESSED = "otel.sdk.processor.span.processed"
SIZE = "otel.sdk.processor.span.queue.size"
CAPACITY = "otel.sdk.processor.span.queue.capacity"
STATE = "ajolo_fanout.backend.state"
SPOOLED = "ajolo_fanout.spool.span.count"
SPOOL_SIZE = "ajolo_fanout.spool.size"
SEEN = "ajolo_fanout.span.seen"
SETTLED = "ajolo_fanout.span.settled"
REPLAYED = "ajolo_fanout.span.replayed"
REDACTED = "ajolo_fanout.value.redacted"
REPAIRED = "ajolo_fanout.value.repaired"
REQUESTS = "ajolo_fanout.request.sent"
REQUEST_SIZE = "ajolo_fanout.request.size"
NEVER_RECORDED = "ajolo_fanout.trace.never_recorded"
NAMES = {"tempo", "again", "short"}
"""What backends are called here, and in other tests, too."""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Fanout]]:
    made: list[Fanout] = []

    def build(endpoint: str, name: str = "tempo", more: str = "") -> Fanout:
        file = tmp_path / f"{name}.toml"
        file.write_text(
            'schema = 1\n[service]\nname = "program"\n'
            f'[backends.{name}]\ntype = "otlp"\nendpoint = "{endpoint}"\nbatch.schedule_delay = "20ms"\n{more}'
        )
        made.append(Fanout(resolve(load(file), {})))
        return made[-1]

    yield build
    for one in made:
        one.shutdown(0)
    # Its threads end a moment later, and until then it is measured: in the next test, too.
    alive = [weakref.ref(one) for one in made]
    made.clear()
    del one
    with contextlib.suppress(TimeoutError):  # what shows a failed test holds it
        wait_for(lambda: gc.collect() is not None and not any(one() for one in alive), 5, "their end")


def _measured() -> list[str]:
    """The names of all backends that are measured now."""
    sources = [one.source() for one in metrics._known]
    return [one.health.name for source in sources if source is not None for one in source.measured()]


class Nothing:
    """A source without backends."""

    def measured(self) -> tuple[()]:
        return ()


@pytest.fixture
def collect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, Any]]]:
    """By instrument and then by backend (and error type, state, fate or reason): what a reader gets."""
    # Installations of other tests are seen as long as they exist; those with our names would hide ours.
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: gc.collect() is not None and not NAMES & set(_measured()), 20, "their end")
    strangers: set[str] = set()
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    nothing = Nothing()
    observe(nothing, provider)  # which takes what those have counted that are gone by now for the past
    monkeypatch.setattr(metrics, "_past", Counter())  # and what the others have counted after that

    def read() -> dict[str, Any]:
        found: dict[str, Any] = {}
        data = reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                for point in metric.data.data_points:
                    attributes = dict(point.attributes or {})
                    name = attributes["otel.component.name"]
                    if name in strangers:
                        continue
                    more = [str(attributes[one]) for one in MORE if one in attributes]
                    key = " ".join([name, *more])
                    found.setdefault(metric.name, {})[key] = point.value
        return found

    strangers.update(read().get(EXPORTED, ()))
    yield read
    provider.shutdown()


def spans(fanout: Fanout, count: int) -> None:
    for number in range(count):
        fanout.provider.get_tracer("test").start_span(f"span {number}").end()


@pytest.mark.parametrize("when", ["before", "after"])
def test_whatever_meter_provider_is_set_gets_them(when: str, tmp_path: Path) -> None:
    """Before the installation or after it; the conventions' names, units and attributes."""
    with OtlpServer() as server:
        file = tmp_path / "tracing.toml"
        file.write_text(
            'schema = 1\n[service]\nname = "program"\n'
            f'[backends.tempo]\ntype = "otlp"\nendpoint = "{server.endpoint}"\n'
        )
        file.chmod(0o600)
        environ = {**os.environ, "AJOLO_FANOUT_CONFIG": str(file), "PYTHONPATH": str(PROGRAMS)}
        command = [sys.executable, str(PROGRAMS / "measured.py"), when]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        port = server.port
    [line] = [line for line in done.stdout.splitlines() if line.startswith("metrics ")]
    found = json.loads(line.partition(" ")[2])
    exporter = {
        "otel.component.name": "tempo",
        "otel.component.type": "otlp_http_span_exporter",
        "server.address": "127.0.0.1",
        "server.port": port,
    }
    backend = {"otel.component.name": "tempo"}
    processor = {**backend, "otel.component.type": "batching_span_processor"}
    [[_, size]] = found[REQUEST_SIZE].pop()
    assert size > 0
    assert found == {
        EXPORTED: ["{span}", "Sum", [[exporter, 7]]],
        INFLIGHT: ["{span}", "Sum", [[exporter, 0]]],
        PROCESSED: ["{span}", "Sum", [[processor, 7]]],
        SIZE: ["{span}", "Sum", [[processor, 0]]],
        CAPACITY: ["{span}", "Sum", [[processor, 2048]]],
        STATE: [
            "1",
            "Sum",
            [
                [{**exporter, "ajolo_fanout.state": state}, int(state == "ok")]
                for state in ("starting", "ok", "retrying", "failing", "stopped")
            ],
        ],
        SEEN: ["{span}", "Sum", [[backend, 7]]],
        SETTLED: [
            "{span}",
            "Sum",
            [
                [{**backend, "ajolo_fanout.fate": fate}, 7 if fate == "delivered" else 0]
                for fate in ("filtered", "sampled_out", "delivered", "handed_over", "spooled")
            ],
        ],
        REPLAYED: ["{span}", "Sum", [[backend, 0]]],
        REPAIRED: ["{value}", "Sum", [[backend, 0]]],
        REQUESTS: ["{request}", "Sum", [[backend, 1]]],
        REQUEST_SIZE: ["By", "Sum"],
        NEVER_RECORDED: ["{trace}", "Sum", [[backend, 0]]],
    }


def test_losses_are_counted_by_their_reason(make: Any, collect: Any) -> None:
    with OtlpServer(answer=Answer(status=400)) as server:
        fanout = make(server.endpoint)
        spans(fanout, 5)
        assert not fanout.flush(20)
        found = collect()
    assert found[EXPORTED] == {"tempo": 0, "tempo rejected": 5}
    assert found[PROCESSED] == {"tempo": 5}
    assert found[CAPACITY] == {"tempo": 2048}
    assert found[SETTLED]["tempo lost rejected"] == 5


def test_what_became_of_every_span_adds_up_to_what_was_seen(make: Any, collect: Any) -> None:
    """Each counter that `health()` has, under a name of its own: none is known to callers of Python alone."""
    more = """
select.exclude = [{ name = "left out" }]
[backends.tempo.redaction]
drop = ["secret"]
mask = ["half"]
"""
    with OtlpServer() as server:
        fanout = make(server.endpoint, more=more)
        spans(fanout, 3)
        tracer = fanout.provider.get_tracer("test")
        tracer.start_span("left out").end()
        tracer.start_span("told", attributes={"secret": "a", "half": "b"}).end()
        assert fanout.flush(20)
        found = collect()
        counts = fanout.health().backends["tempo"].counts
    settled = {key.removeprefix("tempo "): number for key, number in found[SETTLED].items()}
    assert settled == {"filtered": 1, "sampled_out": 0, "delivered": 4, "handed_over": 0, "spooled": 0}
    assert found[SEEN] == {"tempo": 5} == {"tempo": sum(settled.values())}
    assert found[REDACTED] == {"tempo drop": 1, "tempo mask": 1}
    with_reasons = {"filtered", "sampled_out", "delivered", "handed_over", "spooled", "lost", "redacted_by"}
    told = {SEEN: "seen", REPLAYED: "replayed", REPAIRED: "repaired", REQUESTS: "requests"}
    told |= {REQUEST_SIZE: "bytes", NEVER_RECORDED: "never_recorded"}
    for instrument, field in told.items():
        assert found[instrument] == {"tempo": getattr(counts, field)}
    assert with_reasons | set(told.values()) == {field.name for field in attrs.fields(Counts)}


def test_what_waits_to_be_sent_again_is_in_flight(make: Any, collect: Any) -> None:
    with refused() as url:
        fanout = make(url)
        spans(fanout, 5)
        wait_for(lambda: fanout.health().backends["tempo"].retry_spans == 5, 20, "the retry store")
        assert collect()[INFLIGHT] == {"tempo": 5}


def test_what_is_on_disk_is_seen_for_backends_that_have_a_spool(
    make: Any, collect: Any, tmp_path: Path
) -> None:
    with refused() as url:
        fanout = make(url, more=f'spool = "on_failure"\n[spool]\ndirectory = "{tmp_path / "spool"}"\n')
        spans(fanout, 5)
        wait_for(lambda: fanout.health().backends["tempo"].counts.spooled == 5, 20, "the spool")
        found = collect()
    assert found[SPOOLED] == {"tempo": 5}
    assert found[SETTLED]["tempo spooled"] == found[SEEN]["tempo"] == 5
    assert found[SPOOL_SIZE]["tempo"] > 0
    assert found[STATE]["tempo retrying"] == 1
    assert sum(found[STATE].values()) == 1


def test_what_the_queue_refuses_is_an_error_of_the_processor(make: Any, collect: Any) -> None:
    more = "batch.max_queue_size = 10\nbatch.max_export_batch_size = 10\n"
    with OtlpServer(answer=Answer(hang=True)) as server:
        fanout = make(server.endpoint, more=more)
        spans(fanout, 40)
        # All that are too many: the router may come by while they end.
        wait_for(lambda: fanout.health().backends["tempo"].counts.lost_total == 30, 20, "the full queue")
        found = collect()
        assert found[PROCESSED]["tempo queue_full"] == 30
        assert found[SIZE]["tempo"] <= found[CAPACITY]["tempo"] == 10
        assert "tempo queue_full" not in found[EXPORTED], "they never came as far"
        server.release()


def test_two_installations_with_backends_of_one_name_are_summed(make: Any, collect: Any) -> None:
    with OtlpServer() as server:
        for _ in range(2):
            fanout = make(server.endpoint)
            spans(fanout, 3)
            assert fanout.flush(20)
        assert collect()[EXPORTED] == {"tempo": 6}


def test_an_installation_that_is_gone_is_measured_no_more(collect: Any, tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text(
        'schema = 1\n[service]\nname = "a"\n[backends.short]\ntype = "otlp"\nendpoint = "http://[::1]:1"\n'
    )
    fanout = Fanout(resolve(load(file), {}))
    assert "short" in collect()[EXPORTED]
    fanout.shutdown(0)
    del fanout
    wait_for(lambda: gc.collect() is not None and not collect(), 20, "the end of its threads")


def test_an_installation_in_another_ones_place_counts_on_from_there(make: Any, collect: Any) -> None:
    """A sum never goes back; state and capacity are those of what is at work."""
    with OtlpServer() as server:
        first = make(server.endpoint, "again")
        spans(first, 3)
        assert first.shutdown(20)
        first.detach()
        second = make(server.endpoint, "again")
        spans(second, 2)
        assert second.flush(20)
        found = collect()
    assert found[EXPORTED]["again"] == found[PROCESSED]["again"] == 5
    assert found[CAPACITY]["again"] == 2048
    assert (found[STATE]["again ok"], found[STATE]["again stopped"]) == (1, 0)
    del first
    gc.collect()
    assert collect()[EXPORTED]["again"] == 5


@pytest.mark.parametrize("read", [True, False], ids=["read before", "never read"])
def test_a_sum_never_goes_back_when_a_handle_is_gone(read: bool, collect: Any, tmp_path: Path) -> None:
    """One that was shut down, and that nobody holds any more; what is no sum is gone with it."""

    def work(number: int) -> Fanout:
        fanout = Fanout(resolve(load(file), {}))
        spans(fanout, number)
        assert fanout.shutdown(20)
        return fanout

    with OtlpServer() as server:
        file = tmp_path / "short.toml"
        file.write_text(
            'schema = 1\n[service]\nname = "program"\n'
            f'[backends.short]\ntype = "otlp"\nendpoint = "{server.endpoint}"\n'
        )
        fanout = work(5)
        if read:
            assert collect()[EXPORTED] == {"short": 5}
        del fanout
        wait_for(lambda: gc.collect() is not None and STATE not in collect(), 20, "the end of its threads")
        found = collect()
        assert found[EXPORTED] == found[PROCESSED] == {"short": 5}
        another = work(2)
        assert collect()[EXPORTED] == {"short": 7}
        assert another.stopped


def test_of_handles_that_are_gone_only_the_sums_are_kept_whether_or_not_anybody_reads() -> None:
    provider = MeterProvider(shutdown_on_exit=False)
    for _ in range(50):
        observe(Nothing(), provider)
    assert len([one for one in metrics._known if one.source() is None]) <= 1


def test_a_collection_in_the_middle_of_a_shutdown_raises_nothing(make: Any, collect: Any) -> None:
    with OtlpServer() as server:
        fanout = make(server.endpoint)
        spans(fanout, 3)
        fanout.shutdown(20)
        assert collect()[EXPORTED] == {"tempo": 3}


@pytest.mark.parametrize(
    ("kind", "protocol", "url", "expected"),
    [
        (
            "otlp",
            "grpc",
            "https://a.example",
            ("otlp_grpc_span_exporter", {"server.address": "a.example", "server.port": 443}),
        ),
        (
            "otlp",
            "grpc",
            "unix:///run/x.sock",
            ("otlp_grpc_span_exporter", {"server.address": "/run/x.sock"}),
        ),
        ("console", "", "console:", ("console_span_exporter", {})),
        ("file", "", "file:///x", ("file_span_exporter", {})),
    ],
)
def test_a_component_is_named_for_what_it_is(
    kind: str, protocol: str, url: str, expected: tuple[str, dict[str, object]]
) -> None:
    assert component_of(kind, protocol, url) == expected
