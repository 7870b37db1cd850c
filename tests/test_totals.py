"""Tokens and cost at each backend are the sum of the model calls, once: flat agents, nested ones, late spans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import fanout, recorded_runs, recorded_spans

FILE = """
schema = 1
[service]
name = "totals"
[defaults]
processors = [{ type = "dialect", usage = "leaf" }]
[backends.datadog]
type = "datadog"
site = "eu"
api_key = "${DD_API_KEY}"
[backends.datadog_agent]
type = "datadog_agent"
sampling.keep = [{ name = "all" }]
[backends.langfuse]
type = "langfuse"
region = "eu"
public_key = "${LANGFUSE_PUBLIC_KEY}"
secret_key = "${LANGFUSE_SECRET_KEY}"
processors = [{ type = "dialect", to = "langfuse", usage = "leaf" }]
[backends.tempo]
type = "tempo"
endpoint = "http://tempo.internal:4317"
protocol = "grpc"
[backends.honeycomb]
type = "honeycomb"
region = "us"
api_key = "${HONEYCOMB_API_KEY}"
[backends.phoenix]
type = "otlp"
endpoint = "http://phoenix.internal:6006/v1/traces"
processors = [{ type = "dialect", to = "openinference", usage = "leaf" }]
"""

Attributes = Mapping[str, Any]


def number(attributes: Attributes, *names: str) -> float:
    """The first of these that is there; whoever adds up reads one of them on each span."""
    return float(next((attributes[name] for name in names if name in attributes), 0))


def in_langfuse(attributes: Attributes) -> tuple[float, float, float]:
    cost = json.loads(attributes.get("langfuse.observation.cost_details", "{}"))
    return (
        number(attributes, "gen_ai.usage.input_tokens"),
        number(attributes, "gen_ai.usage.output_tokens"),
        float(cost.get("total", number(attributes, "gen_ai.usage.cost"))),
    )


def in_phoenix(attributes: Attributes) -> tuple[float, float, float]:
    return (
        number(attributes, "llm.token_count.prompt"),
        number(attributes, "llm.token_count.completion"),
        number(attributes, "llm.cost.total"),
    )


def in_gen_ai(attributes: Attributes) -> tuple[float, float, float]:
    """Somebody who takes Ajolopy's total of an agent for a cost, too, which doubles it unless it is gone."""
    return (
        number(attributes, "gen_ai.usage.input_tokens"),
        number(attributes, "gen_ai.usage.output_tokens"),
        number(attributes, "gen_ai.cost_usd") + number(attributes, "ajolopy.cost_usd.total"),
    )


READ = {"langfuse": in_langfuse, "phoenix": in_phoenix}


@pytest.mark.parametrize("last", ["roots", "calls"])
@pytest.mark.parametrize("run", recorded_runs())
def test_every_backends_totals_are_those_of_the_model_calls(tmp_path: Path, run: str, last: str) -> None:
    """As recorded, and with every call ending after the agents above it, which have their sums by then."""
    path = tmp_path / "tracing.toml"
    path.write_text(FILE, encoding="utf-8")
    spans = recorded_spans(run)
    calls = [dict(span.attributes or {}) for span in spans if span.name.startswith("chat ")]
    wanted = tuple(map(sum, zip(*map(in_gen_ai, calls), strict=True)))
    with fanout(path) as harness:
        harness.replay(spans if last == "roots" else spans[::-1])
        assert harness.flush()
        for name in harness.backends:
            got = harness.spans(name)
            assert len(got) == len(spans)
            read = READ.get(name, in_gen_ai)
            sums = tuple(map(sum, zip(*(read(span.attributes) for span in got), strict=True)))
            assert sums == pytest.approx(wanted), name
    assert wanted[2] > 0 or run == "all_down"
