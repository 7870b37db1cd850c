"""Datadog's own test agent as the Datadog Agent: both protocols, its snapshots, its partial success.

The snapshots in `snapshots/` are OTLP JSON as the agent writes it. After a change that is meant, delete the file and
run once with `SNAPSHOT_CI=0`: the agent writes what it got.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.systems.serving import serving
from tests.venvs import command

from ajolo_fanout import Fanout, install_from_config
from ajolo_fanout.replay.rerun import rerun
from ajolo_fanout.testing import recorded_spans
from ajolo_fanout.testing.collector_run import free_ports

SNAPSHOTS = Path(__file__).parent / "snapshots"
RUNS = ("two_tools-capture", "tool_raises", "fallback", "nested_agents")


@attrs.frozen
class Agent:
    """Its three ports: Datadog's own, OTLP over HTTP, OTLP over gRPC."""

    own: int
    http: int
    grpc: int

    def endpoint(self, protocol: str) -> str:
        return f"http://127.0.0.1:{self.grpc if protocol == 'grpc' else self.http}"

    def compare(self, token: str, snapshot: str) -> str:
        """What the agent has to say against what came under `token`; empty when it is as in the snapshot.

        Where the snapshot is absent and `SNAPSHOT_CI=0` is set, the agent writes it.
        """
        query = {"test_session_token": token, "file": str(SNAPSHOTS / snapshot)}
        status, text = self._get(self.own, f"/test/session/snapshot?{urllib.parse.urlencode(query)}")
        return "" if status == 200 else text

    def spans(self, token: str) -> list[dict[str, Any]]:
        """What came under `token`, as the agent decoded it."""
        documents = json.loads(self._get(self.http, f"/test/session/traces?test_session_token={token}")[1])
        return [
            span
            for document in documents
            for resource in document.get("resource_spans", ())
            for scope in resource["scope_spans"]
            for span in scope["spans"]
        ]

    def _get(self, port: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    program = command("datadog_agent", "ddapm-test-agent")
    one = Agent(*free_ports(3))
    arguments = ["--host", "127.0.0.1", "--port", one.own, "--otlp-http-port", one.http]
    arguments += ["--otlp-grpc-port", one.grpc, "--disable-llmobs-data-forwarding"]
    ports = (one.own, one.http, one.grpc)
    env = {"SNAPSHOT_CI": os.environ.get("SNAPSHOT_CI", "1")}
    log = tmp_path_factory.mktemp("agent") / "log"
    with serving([program, *map(str, arguments)], ports, log, env=env):
        yield one


@pytest.fixture
def installed(agent: Agent, tmp_path: Path) -> Iterator[Callable[..., Fanout]]:
    """Installs a file of Datadog Agents, one a session: `installed(over_http="http/protobuf", …)`."""
    handles: list[Fanout] = []

    def install(**protocols: str) -> Fanout:
        lines = ["schema = 1", "[service]", 'name = "weather"', 'version = "1.0"']
        lines += ["[resource]", '"service.instance.id" = "one"']  # else a new one in each process
        for token, protocol in protocols.items():
            lines += [f"[backends.{token}]", 'type = "datadog_agent"', f'protocol = "{protocol}"']
            lines += [f'endpoint = "{agent.endpoint(protocol)}"', 'batch.schedule_delay = "60s"']
            lines += [f'headers = {{ X-Datadog-Test-Session-Token = "{token}" }}']
        path = tmp_path / "tracing.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        handles.append(install_from_config(path, set_global=False))
        return handles[-1]

    yield install
    for one in handles:
        one.shutdown(0)


@pytest.mark.parametrize("run", RUNS)
def test_two_destinations_get_the_same_and_what_the_snapshot_says(
    run: str, agent: Agent, installed: Callable[..., Fanout]
) -> None:
    """HTTP and gRPC are held against one snapshot by the agent's own comparison."""
    tokens = {f"http_{run}": "http/protobuf", f"grpc_{run}": "grpc"}
    fanout = installed(**tokens)
    rerun(fanout.provider, recorded_spans(run))
    assert fanout.flush(30), fanout.health()
    for token in tokens:
        assert len(agent.spans(token)) == len(recorded_spans(run))
        assert agent.compare(token, run) == ""


def test_the_snapshots_hold_the_ids_times_and_content_of_the_recordings() -> None:
    """The comparison leaves times out; that what is checked in is right shows here, without the agent."""
    for run in RUNS:
        document = json.loads((SNAPSHOTS / f"{run}_otlp_traces.json").read_text(encoding="utf-8"))
        found = [
            (
                span["name"],
                span["startTimeUnixNano"],
                span["endTimeUnixNano"],
                len(span.get("attributes", ())),
            )
            for resource in document["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        recorded = [
            (span.name, str(span.start_time), str(span.end_time), len(span.attributes or {}))
            for span in recorded_spans(run)
        ]
        assert sorted(found) == sorted(recorded), run


def test_the_comparison_tells_a_single_attribute(agent: Agent, installed: Callable[..., Fanout]) -> None:
    """A snapshot that fits everything would prove nothing."""
    fanout = installed(altered="http/protobuf")
    first, *others = recorded_spans("tool_raises")
    changed = type(first)(
        name=first.name,
        context=first.context,
        parent=first.parent,
        resource=first.resource,
        attributes={**(first.attributes or {}), "extra": "one"},
        events=first.events,
        kind=first.kind,
        status=first.status,
        start_time=first.start_time,
        end_time=first.end_time,
        instrumentation_scope=first.instrumentation_scope,
    )
    rerun(fanout.provider, [changed, *others])
    assert fanout.flush(30), fanout.health()
    said = agent.compare("altered", "tool_raises")
    assert "do not match the snapshot" in said
    assert '+                  "key": "extra",' in said


def test_grpc_says_ok_and_rejects_all_and_delivery_says_so(
    agent: Agent, installed: Callable[..., Fanout]
) -> None:
    """The agent's gRPC front takes a request that its HTTP side refuses: status OK, every span rejected."""
    fanout = installed(partial="grpc")
    make_large(fanout)
    report = fanout.flush(30)
    assert not report, "status OK was taken for success"
    assert (report.backends["partial"].delivered, dict(report.backends["partial"].lost)) == (
        0,
        {"rejected": 2},
    )
    assert "took 0 of 2 spans" in report.backends["partial"].error
    assert "HTTP 413" in report.backends["partial"].error
    assert agent.spans("partial") == []


def test_http_refuses_what_is_too_large_and_gets_it_in_halves(
    agent: Agent, installed: Callable[..., Fanout]
) -> None:
    """The same spans over HTTP: a 413 is no loss, where each of them alone is small enough."""
    fanout = installed(halves="http/protobuf")
    make_large(fanout)
    assert fanout.flush(30), fanout.health()
    assert fanout.health().backends["halves"].counts.delivered == 2
    assert sorted(span["name"] for span in agent.spans("halves")) == ["large 0", "large 1"]


def make_large(fanout: Fanout) -> None:
    """Two spans of 0.7 MiB each: one request is over the agent's limit of 1 MiB, one span isn't."""
    tracer = fanout.provider.get_tracer("test")
    for number in range(2):
        tracer.start_span(f"large {number}", attributes={"text": "x" * 700 * 1024}).end()
