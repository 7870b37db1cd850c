"""Sets a MeterProvider before or after the installation, and tells what its reader collects."""

from __future__ import annotations

import json
import sys

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from support import say

from ajolo_fanout import install_from_config


def main(when: str) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    if when == "before":
        metrics.set_meter_provider(provider)
    fanout = install_from_config()
    if when == "after":
        metrics.set_meter_provider(provider)
    for number in range(7):
        trace.get_tracer("program").start_span(f"span {number}").end()
    fanout.flush(20)
    found = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            if scope.scope.name == "ajolo_fanout":
                for metric in scope.metrics:
                    points = [[dict(one.attributes), one.value] for one in metric.data.data_points]
                    found[metric.name] = [metric.unit, type(metric.data).__name__, points]
    say("metrics", json.dumps(found))
    fanout.shutdown()
    provider.shutdown()


main(sys.argv[1])
