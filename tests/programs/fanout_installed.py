"""A plugin for somebody else's test-suite: our provider is global before its first test is collected.

A suite that finds an SDK provider takes it and looks at it through an exporter of its own, which it would have put
on a provider of its own. Here it is put on ours.
"""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ajolo_fanout import install_from_config

fanout = install_from_config()
assert trace.get_tracer_provider() is fanout.provider


def pytest_collection_finish() -> None:
    """Give the suite's exporters what is traced."""
    modules = [module for name, module in sys.modules.items() if name.startswith("tests.")]
    found = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, InMemorySpanExporter)
    }
    for exporter in found.values():
        fanout.provider.add_span_processor(SimpleSpanProcessor(exporter))


def pytest_unconfigure() -> None:
    assert trace.get_tracer_provider() is fanout.provider
    fanout.flush(30)
