"""Span processors on the provider that are not ours: named, and warned of where a span would arrive twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from tests.health.conftest import attached, spans

from ajolo_fanout.health import notices
from ajolo_fanout.testing import OtlpServer, wait_for


class Idle(SpanProcessor):
    """Somebody's own."""


def exporting_to(endpoint: str) -> BatchSpanProcessor:
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


def test_a_processor_that_is_added_later_is_named_while_the_program_runs(
    make: Any, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to flush or ask for that."""
    monkeypatch.setattr(notices, "_PAUSE", 0.1)
    fanout = make()
    spans(fanout)
    fanout.provider.add_span_processor(Idle())

    def named() -> bool:
        spans(fanout)
        return bool(said("another span processor was added"))

    wait_for(named, 20, "the line")
    fanout.flush(20)
    fanout.health()
    [line] = said("another span processor was added")
    assert "Idle" in line


@pytest.mark.parametrize("when", ["before", "later"])
def test_one_that_sends_to_a_backend_s_host_is_warned_of_with_the_switch(
    when: str, said: Any, tmp_path: Path, server: OtlpServer
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    twice = exporting_to(server.endpoint + "/v1/traces")
    if when == "before":
        provider.add_span_processor(twice)
    fanout = attached(tmp_path, server, provider)
    if when == "later":
        provider.add_span_processor(twice)
        fanout.health()
    [line] = said("arrives there twice")
    assert "the host of the backend tempo" in line
    assert "OTEL_TRACES_EXPORTER=none" in line
    fanout.health()
    assert len(said("arrives there twice")) == 1
    fanout.shutdown(5)
    provider.shutdown()


def test_one_that_sends_elsewhere_is_only_named(said: Any, tmp_path: Path, server: OtlpServer) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    fanout = attached(tmp_path, server, provider)
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    elsewhere = exporting_to("http://127.0.0.1:9/v1/traces")
    provider.add_span_processor(elsewhere)
    fanout.health()
    assert said("arrives there twice") == []
    assert len(said("another span processor was added")) == 2
    fanout.shutdown(5)
    elsewhere.shutdown()
