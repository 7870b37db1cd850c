"""`ajolo_fanout.testing.fanout()`: a file's own plan, end to end, against fakes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.errors import ConfigError
from ajolo_fanout.profiles.catalog import data_folder
from ajolo_fanout.testing import Answer, Harness, OtlpServer, fanout, recorded_spans

EXAMPLE = data_folder("examples") / "tracing.toml"

FIVE = """
schema = 1
[service]
name = "agent"
[backends.company]
type = "datadog"
site = "eu"
api_key = "${DD_API_KEY}"
redaction.content = "drop"
[backends.team]
type = "langfuse"
region = "us"
public_key = "${LANGFUSE_PUBLIC_KEY}"
secret_key = { file = "/nowhere/langfuse-secret" }
[backends.tempo]
type = "tempo"
endpoint = "https://tempo.internal:4317"
protocol = "grpc"
tenant = "agents"
compression = "gzip"
[backends.honeycomb]
type = "honeycomb"
region = "eu"
api_key = "${HONEYCOMB_API_KEY}"
redaction.drop = ["exception.*"]
[backends.agent]
type = "datadog_agent"
[[backends.agent.processors]]
type = "set"
attributes = { "route" = "host" }
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a `tracing.toml` and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "tracing.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def trace_one(harness: Harness) -> None:
    """A root with a chat span under it that has content."""
    tracer = harness.provider.get_tracer("test")
    with tracer.start_as_current_span("agent"), tracer.start_as_current_span("chat gpt-4o") as span:
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.prompt", "a recipe")


def test_a_file_with_five_backends_works_with_no_variable_and_no_secret_file(
    write: Callable[[str], Path],
) -> None:
    """Each vendor's fake takes the placeholder credentials, on the path and protocol of its profile."""
    with fanout(write(FIVE)) as harness:
        trace_one(harness)
        assert harness.flush()
        assert list(harness.backends) == ["company", "team", "tempo", "honeycomb", "agent"]
        for name in harness.backends:
            assert [span.name for span in harness.spans(name)] == ["chat gpt-4o", "agent"]
        paths = {name: fake.requests[0].path for name, fake in harness.backends.items()}
    assert paths == {
        "company": "/v1/traces",
        "team": "/api/public/otel/v1/traces",
        "tempo": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "honeycomb": "/v1/traces",
        "agent": "/v1/traces",
    }
    assert harness.backends["company"].requests[0].headers["dd-api-key"]
    assert harness.backends["tempo"].requests[0].headers["x-scope-orgid"] == "agents"


def test_each_backend_sees_its_own_shape(write: Callable[[str], Path]) -> None:
    with fanout(write(FIVE)) as harness:
        trace_one(harness)
        harness.flush()
        seen = {name: harness.spans(name)[0].attributes for name in harness.backends}
    assert "gen_ai.prompt" not in seen["company"]
    assert seen["company"]["gen_ai.request.model"] == "gpt-4o"
    assert seen["team"]["gen_ai.prompt"] == seen["agent"]["gen_ai.prompt"] == "a recipe"
    assert seen["agent"]["route"] == "host"
    assert all("route" not in seen[name] for name in ("company", "team", "tempo", "honeycomb"))


def test_nothing_is_made_global_and_nothing_stays(write: Callable[[str], Path]) -> None:
    provider, threads = trace.get_tracer_provider(), set(threading.enumerate())
    with fanout(write(FIVE)) as harness:
        trace_one(harness)
        assert trace.get_tracer_provider() is provider
    assert harness.fanout.stopped
    left = {thread for thread in set(threading.enumerate()) - threads if thread.is_alive()}
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


def test_replayed_spans_keep_ids_times_and_content(write: Callable[[str], Path]) -> None:
    """What arrives of a recording is the recording, under the file's own resource."""
    recorded = recorded_spans("two_tools-capture")
    with fanout(write(FIVE)) as harness:
        harness.replay(recorded)
        assert harness.flush()
        arrived = harness.spans("tempo")
    for span, seen in zip(recorded, arrived, strict=True):
        assert seen.trace_id == format(span.context.trace_id, "032x")
        assert seen.span_id == format(span.context.span_id, "016x")
        assert seen.parent_id == (format(span.parent.span_id, "016x") if span.parent else "")
        assert (seen.name, seen.start_time, seen.end_time) == (span.name, span.start_time, span.end_time)
        assert seen.attributes == json.loads(json.dumps(dict(span.attributes or {})))
        assert len(seen.events) == len(span.events)
        assert seen.scope.name == "ajolopy.agent"
        assert seen.resource["service.name"] == "agent"


def test_replay_leaves_the_provider_as_it_was(write: Callable[[str], Path]) -> None:
    """Spans that the program starts afterwards have ids of their own again."""
    with fanout(write(FIVE)) as harness:
        harness.replay(recorded_spans("ok"))
        tracer = harness.provider.get_tracer("ajolopy.agent")
        first, second = tracer.start_span("one"), tracer.start_span("two")
        ids = {first.get_span_context().trace_id, second.get_span_context().trace_id}
        first.end()
        second.end()
    assert len(ids) == 2
    assert not ids & {span.context.trace_id for span in recorded_spans("ok")}


def test_replay_obeys_the_files_sampling(write: Callable[[str], Path]) -> None:
    file = write('schema = 1\n[service]\nname = "a"\n[backends.x]\ntype = "otlp"\n'
                 'endpoint = "http://x.internal:4318"\nsampling.ratio = 0.5\n')  # fmt: skip
    with fanout(file) as harness:
        harness.replay(recorded_spans())
        harness.flush()
        kept = {span.trace_id for span in harness.spans("x")}
    upper_half = {
        format(span.context.trace_id, "032x")
        for span in recorded_spans()
        if span.context.trace_id & (2**56 - 1) >= 2**55
    }
    assert kept == upper_half


def test_keep_all_is_for_tests_of_what_a_backend_sees() -> None:
    """Datadog gets a fifth by the file; with `keep_all` every trace, in the shape that the file says."""
    with fanout(EXAMPLE, environ={}, keep_all=True) as harness:
        harness.replay(recorded_spans())
        assert harness.flush()
        seen = harness.spans("datadog")
    assert len(seen) == 67
    assert not any("gen_ai.prompt" in span.attributes for span in seen)


def test_a_wrong_path_shows(write: Callable[[str], Path]) -> None:
    """The path in the plan stays: what the vendor would answer with 404 is a loss here, too."""
    with fanout(EXAMPLE, environ={}) as harness:
        harness.backends["langfuse"].path = "/somewhere/else"
        trace_one(harness)
        report = harness.flush()
        assert not report
        assert report.backends["langfuse"].lost
        assert harness.spans("langfuse") == []
        assert len(harness.spans("tempo")) == 2


def test_a_fake_can_be_scripted(write: Callable[[str], Path]) -> None:
    with fanout(write(FIVE)) as harness:
        harness.backends["company"].answer = Answer(status=400, message="no")
        trace_one(harness)
        assert not harness.flush()
        assert harness.spans("company") == []
        assert len(harness.spans("team")) == 2


def test_endpoints_of_the_callers_own_are_used_for_those_named(
    write: Callable[[str], Path], otlp_server: OtlpServer
) -> None:
    with fanout(write(FIVE), endpoints={"team": otlp_server.endpoint}) as harness:
        trace_one(harness)
        assert harness.flush()
        assert "team" not in harness.backends
        assert len(harness.spans("company")) == 2
        with pytest.raises(ValueError, match="team has no fake here"):
            harness.spans("team")
    assert {request.path for request in otlp_server.requests} == {"/api/public/otel/v1/traces"}
    assert len(otlp_server.spans) == 2


def test_an_endpoint_with_a_path_has_that_path(write: Callable[[str], Path], otlp_server: OtlpServer) -> None:
    """A Collector takes a vendor's spans on its own path."""
    with fanout(write(FIVE), endpoints={"team": f"{otlp_server.endpoint}/v1/traces"}) as harness:
        trace_one(harness)
        assert harness.flush()
    assert {request.path for request in otlp_server.requests} == {"/v1/traces"}
    assert len(otlp_server.spans) == 2


@pytest.mark.parametrize(
    ("endpoints", "message"),
    [
        ({"nobody": "http://127.0.0.1:1"}, "no backend 'nobody' that sends; there are company, team"),
        ({"team": "127.0.0.1:4318"}, "scheme, host and port"),
        ({"team": "http://127.0.0.1:4318/v1/traces?a=b"}, "scheme, host and port"),
    ],
)
def test_wrong_endpoints_are_told(
    write: Callable[[str], Path], endpoints: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message), fanout(write(FIVE), endpoints=endpoints):
        pass


def test_a_wrong_file_is_told_before_anything_starts(write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="sampling"), fanout(write(FIVE + "sampling.ratoi = 1\n")):
        pass


def test_a_file_backend_writes_elsewhere_and_is_read(write: Callable[[str], Path], tmp_path: Path) -> None:
    file = write('schema = 1\n[service]\nname = "a"\n[backends.disk]\ntype = "file"\npath = "spans.jsonl"\n')
    with fanout(file) as harness:
        assert harness.spans("disk") == []
        trace_one(harness)
        assert harness.flush()
        assert [span.name for span in harness.spans("disk")] == ["chat gpt-4o", "agent"]
        written = harness.files["disk"]
        assert written.exists()
    assert not written.exists()
    assert not (tmp_path / "spans.jsonl").exists()


def test_the_files_own_spool_is_not_touched(write: Callable[[str], Path], tmp_path: Path) -> None:
    """Batches that wait there for the vendor must not end in a fake, nor what a test makes in the spool."""
    file = write(
        'schema = 1\n[service]\nname = "a"\n[spool]\ndirectory = "spool"\n[backends.team]\ntype = "otlp"\n'
        'endpoint = "http://team.internal:4318"\nspool = "always"\n'
    )
    with fanout(file) as harness:
        harness.backends["team"].answer = Answer(status=401)
        trace_one(harness)
        harness.flush()
        assert harness.health().backends["team"].counts.spooled == 2, "it has a spool"
        assert not (tmp_path / "spool").exists()
    assert not (tmp_path / "spool").exists()


def test_a_backend_that_is_off_stays_off(write: Callable[[str], Path]) -> None:
    off = FIVE.replace('type = "datadog_agent"', 'type = "datadog_agent"\nenabled = false')
    with fanout(write(off)) as harness:
        assert "agent" not in harness.backends
        with pytest.raises(ValueError, match="agent is off"):
            harness.spans("agent")
        with pytest.raises(ValueError, match="no backend 'x'; there are company, team"):
            harness.spans("x")


def test_a_proxy_in_the_environment_gets_nothing(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to fakes stay on this machine in a company's network, too; HTTP and gRPC."""
    with OtlpServer() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, proxy.endpoint)
        with fanout(write(FIVE)) as harness:
            trace_one(harness)
            assert harness.flush()
    assert proxy.requests == []
    assert "no_proxy" not in __import__("os").environ


def test_the_fixture_stops_what_it_started(
    write: Callable[[str], Path], fanout_harness: Callable[[Path], Harness]
) -> None:
    harness = fanout_harness(write(FIVE))
    trace_one(harness)
    assert harness.flush()
    assert harness.health().backends["company"].counts.delivered == 2


def test_content_of_a_span_is_the_same_object_for_all(write: Callable[[str], Path]) -> None:
    """A recorded span is not changed by being sent in five shapes."""
    spans: list[ReadableSpan] = recorded_spans("ok-capture")
    before = [span.to_json() for span in spans]
    with fanout(write(FIVE)) as harness:
        harness.replay(spans)
        harness.flush()
    assert [span.to_json() for span in spans] == before
