"""rotel, a Collector that the Collector's authors didn't write, between us and a receiver: nothing is changed."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from tests.collector.support import wrong
from tests.systems.serving import serving
from tests.venvs import environment

from ajolo_fanout import install_from_config
from ajolo_fanout.replay.rerun import rerun
from ajolo_fanout.testing import OtlpServer, recorded_spans
from ajolo_fanout.testing.collector_run import free_ports

GENERATED = 1_000


@pytest.fixture(scope="module", params=["http", "grpc"])
def forwarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, str], OtlpServer]]:
    """Rotel's two endpoints, by protocol, and the server that it sends to over one of them."""
    python = environment("rotel")
    [binary] = python.parents[1].glob("lib/python3*/site-packages/rotel/rotel-agent")
    http, grpc = free_ports(2)
    with OtlpServer("grpc" if request.param == "grpc" else "http/protobuf") as server:
        arguments = ["start", "--otlp-http-endpoint", f"127.0.0.1:{http}"]
        arguments += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--exporter", "otlp"]
        arguments += ["--otlp-exporter-endpoint", server.endpoint, "--otlp-exporter-protocol", request.param]
        arguments += ["--traces-batch-timeout", "50ms"]
        log = tmp_path_factory.mktemp("rotel") / "log"
        # The binary of its wheel links the libpython that the wheel is for.
        env = {"LD_LIBRARY_PATH": _libraries(python)}
        with serving([binary, *arguments], (http, grpc), log, env=env):
            yield {"http/protobuf": f"http://127.0.0.1:{http}", "grpc": f"http://127.0.0.1:{grpc}"}, server


def _libraries(python: Path) -> str:
    code = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return os.pathsep.join(filter(None, [found, os.environ.get("LD_LIBRARY_PATH")]))


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_goes_through_it_is_what_goes_past_it(
    protocol: str, forwarded: tuple[dict[str, str], OtlpServer], tmp_path: Path
) -> None:
    """Ids, parents, times, kinds, attributes and types, events, links, status, resource, scope: every span."""
    endpoints, through = forwarded
    through.clear()
    config = tmp_path / "tracing.toml"
    with OtlpServer() as past:
        config.write_text(
            f"""schema = 1
[service]
name = "weather"
[resource]
"a list" = ["one", "two"]
"a number" = 1.5
[defaults]
batch.schedule_delay = "60s"
[backends.past]
type = "otlp"
endpoint = "{past.endpoint}"
[backends.through]
type = "otlp"
endpoint = "{endpoints[protocol]}"
protocol = "{protocol}"
""",
            encoding="utf-8",
        )
        with install_from_config(config, set_global=False) as fanout:
            rerun(fanout.provider, recorded_spans())
            generate(fanout.provider, GENERATED)
            assert fanout.flush(60), fanout.health()
        count = len(recorded_spans()) + GENERATED
        through.wait_for_spans(count, 60)
        assert len(past.spans) == len({span.span_id for span in past.spans}) == count
        assert wrong(past.spans, through.spans) == []


def generate(provider: TracerProvider, count: int) -> None:
    """Spans of every kind, with every type of value that an attribute may have; the same with each run."""
    chance = random.Random(20)
    values: list[Any] = ["", "é🙂\x00", "x" * 5_000, True, 0, -1, 2**63 - 1, -(2**63), 0.5, -0.0]
    values += [float("inf"), float("nan"), ["a", ""], [1, -2], [True, False], [0.1], []]

    def attributes() -> dict[str, Any]:
        return {f"key {n}": chance.choice(values) for n in range(chance.randrange(8))}

    for number in range(0, count, 2):
        tracer = provider.get_tracer(f"scope {number % 3}", f"{number % 4}", "https://example.com/schema")
        with tracer.start_as_current_span(f"outer {number}", kind=chance.choice(list(SpanKind))) as outer:
            link = Link(outer.get_span_context(), attributes())
            kind = chance.choice(list(SpanKind))
            inner = tracer.start_span(f"inner {number}", kind=kind, attributes=attributes(), links=[link])
            inner.add_event("happened", attributes(), timestamp=chance.randrange(2**62))
            inner.set_status(chance.choice([Status(StatusCode.OK), Status(StatusCode.ERROR, "é")]))
            inner.end()
