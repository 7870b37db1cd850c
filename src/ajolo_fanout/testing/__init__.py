"""For tests of programs and of their `tracing.toml`: servers, fakes, recordings, a file's own plan at work.

Imports neither pytest nor testcontainers; the fixtures (`otlp_server`, `otlp_grpc_server`, `otel_collector`,
`otel_collector_factory`, `fanout_tls`, `fanout_harness`, `fanout_fakes`) are a plugin that pytest finds by
itself. Names are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ajolo_fanout.replay.otlp_json import read_spans
    from ajolo_fanout.replay.recorded import recorded_runs, recorded_spans
    from ajolo_fanout.testing.collector import BasicAuth, BearerToken, CollectorUnavailable, OtelCollector
    from ajolo_fanout.testing.conformance import ProcessorConformance, odd_spans
    from ajolo_fanout.testing.fakes import FakeBackend
    from ajolo_fanout.testing.harness import Harness, fanout
    from ajolo_fanout.testing.installed import Installed, fake_backends
    from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for
    from ajolo_fanout.testing.tls import Tls, make_tls

__all__ = [
    "Answer",
    "BasicAuth",
    "BearerToken",
    "CollectorUnavailable",
    "FakeBackend",
    "Harness",
    "Installed",
    "OtelCollector",
    "OtlpServer",
    "ProcessorConformance",
    "ReceivedRequest",
    "Tls",
    "fake_backends",
    "fanout",
    "make_tls",
    "odd_spans",
    "read_spans",
    "recorded_runs",
    "recorded_spans",
    "wait_for",
]

_HOMES = {
    "BasicAuth": "ajolo_fanout.testing.collector",
    "BearerToken": "ajolo_fanout.testing.collector",
    "CollectorUnavailable": "ajolo_fanout.testing.collector",
    "OtelCollector": "ajolo_fanout.testing.collector",
    "ProcessorConformance": "ajolo_fanout.testing.conformance",
    "odd_spans": "ajolo_fanout.testing.conformance",
    "FakeBackend": "ajolo_fanout.testing.fakes",
    "Harness": "ajolo_fanout.testing.harness",
    "fanout": "ajolo_fanout.testing.harness",
    "Installed": "ajolo_fanout.testing.installed",
    "fake_backends": "ajolo_fanout.testing.installed",
    "read_spans": "ajolo_fanout.replay.otlp_json",
    "recorded_runs": "ajolo_fanout.replay.recorded",
    "recorded_spans": "ajolo_fanout.replay.recorded",
    "Answer": "ajolo_fanout.testing.server",
    "OtlpServer": "ajolo_fanout.testing.server",
    "ReceivedRequest": "ajolo_fanout.testing.server",
    "wait_for": "ajolo_fanout.testing.server",
    "Tls": "ajolo_fanout.testing.tls",
    "make_tls": "ajolo_fanout.testing.tls",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
