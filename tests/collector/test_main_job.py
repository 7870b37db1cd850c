"""The whole main job against real Collectors: one file, five backends, each with its own key and its own rules.

Each backend has a Collector of its own that refuses any other key, on the path that the backend's profile
names: the key in Datadog's and Honeycomb's header, Langfuse's two as Basic, Tempo's tenant. The Agent asks
for nothing. Honeycomb's serves TLS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from tests.install.test_ajolopy import CAPTURE, QUESTIONS, the_scene_is_complete

from ajolo_fanout.config.document import load
from ajolo_fanout.otlp.decode import DecodedSpan, decode_request
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.replay.otlp_json import readable
from ajolo_fanout.replay.rerun import replayed, rerun
from ajolo_fanout.testing import BasicAuth, BearerToken, OtelCollector, make_tls, recorded_spans
from ajolo_fanout.testing.verify import differences, expect

from .support import Write, all_of, opened

CONTENT = ("gen_ai.prompt", "gen_ai.completion")

FILE = """
[service]
name = "weather"
[defaults]
batch.schedule_delay = "60s"

[backends.datadog]
type = "datadog"
endpoint = "{datadog}"
api_key = "{dd_key}"
redaction.content = "drop"

[backends.datadog_agent]
type = "datadog_agent"
endpoint = "{datadog_agent}"
[[backends.datadog_agent.processors]]
type = "set"
attributes = {{ "agent.route" = "host" }}

[backends.tempo]
type = "tempo"
endpoint = "{tempo}"
protocol = "grpc"
tenant = "{tenant}"

[backends.langfuse]
type = "langfuse"
endpoint = "{langfuse}"
public_key = "pk-lf-1"
secret_key = "{lf_key}"
select.include = [{{ name = "chat *" }}]

[backends.honeycomb]
type = "honeycomb"
endpoint = "{honeycomb}"
api_key = "{hc_key}"
tls.ca_file = "{ca_file}"
redaction.drop = ["exception.stacktrace"]
"""

RIGHT = {"dd_key": "dd-s3cret-1", "tenant": "agents", "lf_key": "sk-lf-s3cret-1", "hc_key": "hc-s3cret-1"}
WRONG = {"dd_key": "dd-wr0ng-1", "tenant": "others", "lf_key": "sk-lf-wr0ng-1", "hc_key": "hc-wr0ng-1"}


@attrs.frozen
class Scene:
    """Five Collectors, and what a file says of them."""

    collectors: Mapping[str, OtelCollector]
    ca_file: Path

    def text(self, keys: Mapping[str, str]) -> str:
        """The file with these keys in it."""
        ends = {
            name: one.grpc_endpoint if name == "tempo" else one.http_endpoint
            for name, one in self.collectors.items()
        }
        return FILE.format(**ends, **keys, ca_file=self.ca_file)


@pytest.fixture
def scene(start: Callable[..., OtelCollector], tmp_path: Path) -> Scene:
    tls = make_tls(tmp_path)
    collectors = {
        "datadog": start(auth=BearerToken(RIGHT["dd_key"], header="dd-api-key", scheme="")),
        "datadog_agent": start(),
        "tempo": start(auth=BearerToken(RIGHT["tenant"], header="x-scope-orgid", scheme="")),
        "langfuse": start(auth=BasicAuth("pk-lf-1", RIGHT["lf_key"]), path="/api/public/otel/v1/traces"),
        "honeycomb": start(auth=BearerToken(RIGHT["hc_key"], header="x-honeycomb-team", scheme=""), tls=tls),
    }
    return Scene(collectors, tls.ca_file)


def each_got_what_the_file_says(plan: Plan, scene: Scene, spans: list[ReadableSpan]) -> None:
    """Every span, field by field; and, whatever the steps say, the content is where it should be and nowhere else."""
    for backend in plan.backends:
        expected = expect(backend, spans)
        arrived = all_of(scene.collectors[backend.name], len(expected.spans))
        assert differences(expected, arrived) == [], backend.name
        assert expected.spans, backend.name
    seen = {name: one.spans for name, one in scene.collectors.items()}
    assert not any(named(span, CONTENT) for span in seen["datadog"])
    assert all(any(named(span, CONTENT) for span in seen[name]) for name in seen.keys() - {"datadog"})
    assert {span.attributes["agent.route"] for span in seen["datadog_agent"]} == {"host"}
    assert all(span.name.startswith("chat ") and span.is_root for span in seen["langfuse"])
    stacks = {
        name: any(named_in_events(span, "exception.stacktrace") for span in some)
        for name, some in seen.items()
    }
    assert not stacks["honeycomb"]
    assert stacks["datadog_agent"]
    assert stacks["tempo"]


def named(span: DecodedSpan, names: tuple[str, ...]) -> bool:
    return any(name in span.attributes for name in names)


def named_in_events(span: DecodedSpan, name: str) -> bool:
    return any(name in event.attributes for event in span.events)


def test_recorded_traces_reach_five_collectors_as_the_file_says(scene: Scene, write: Write) -> None:
    spans = recorded_spans()
    with opened(write(scene.text(RIGHT))) as handle:
        made = replayed(handle.provider, spans)
        rerun(handle.provider, spans)
        assert handle.flush(60), handle.health()
        each_got_what_the_file_says(handle.plan, scene, made)


def test_live_traces_of_ajolopy_reach_five_collectors_as_the_file_says(
    scene: Scene, write: Write, ajolopy: Path, folder: Path, run: Any
) -> None:
    """A real agent in a process of its own, on CPython 3.14, by nothing but `install_from_config()`."""
    path = write(scene.text(RIGHT))
    file = folder / "spans.jsonl"
    program = run(
        "ajolopy_app/main.py", "ask", str(file), *QUESTIONS, config=path, env=CAPTURE, python=ajolopy
    )
    assert program.end() == 0, program
    made = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    the_scene_is_complete(made, capture=True)
    decoded = [one for each in made for one in decode_request(bytes.fromhex(each["otlp"]))]
    # The stock encoder leaves the sampled flag out; what was handed to a span processor was sampled.
    spans = [readable(attrs.evolve(one, flags=one.flags | 1)) for one in decoded]
    each_got_what_the_file_says(resolve(load(path), {}), scene, spans)


def test_a_wrong_key_is_refused_by_each_and_shown_by_none(scene: Scene, write: Write) -> None:
    """Only who has no key gets spans; for the others health says what to look at, and never the key."""
    spans = recorded_spans("ok")
    with opened(write(scene.text(WRONG))) as handle:
        rerun(handle.provider, spans)
        handle.flush(60)
        health = handle.health()
    for name, collector in scene.collectors.items():
        counts = health.backends[name].counts
        if name == "datadog_agent":
            assert counts.delivered == len(all_of(collector, len(spans))) == len(spans)
        else:
            assert counts.delivered == 0
            assert counts.lost.keys() == {"rejected"}, health
            collector.stop()
            assert collector.spans == []
    hints = {"datadog": "api_key", "tempo": "tenant", "langfuse": "public_key", "honeycomb": "api_key"}
    assert [name for name, hint in hints.items() if f"`{hint}`" not in health.backends[name].last_error] == []
    assert not any(key in str(health) for name, key in WRONG.items() if name != "tenant")
