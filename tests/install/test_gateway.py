"""Behind a gateway that sends `traceparent`: a FastAPI program, and what its backends make of the flag."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import urllib3
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

from ajolo_fanout.testing import Harness, fanout

TRACE = "0af7651916cd43dd8448eb211c8031ff"
GATEWAY = "b7ad6b7169203331"
FILE = """
schema = 1
[service]
name = "agent"
{sampling}
[backends.langfuse]
type = "langfuse"
region = "eu"
public_key = "pk-lf-1"
secret_key = "${{LANGFUSE_SECRET_KEY}}"

[backends.datadog]
type = "datadog"
site = "eu"
api_key = "${{DD_API_KEY}}"
"""


@contextmanager
def program(tmp_path: Path, sampling: str = "") -> Iterator[tuple[FastAPI, Harness]]:
    """The program, and what its backends get."""
    path = tmp_path / "tracing.toml"
    path.write_text(FILE.format(sampling=sampling), encoding="utf-8")
    with fanout(path, environ={}) as harness, another_service() as service:
        app = FastAPI()
        tracer = harness.provider.get_tracer("agent")

        @app.get("/chat")
        def chat() -> dict[str, str]:
            with (
                tracer.start_as_current_span("chat gpt-4o", attributes={"gen_ai.system": "openai"}),
                urllib3.PoolManager() as pool,
            ):
                answer: dict[str, str] = pool.request("GET", f"{service}/weather").json()
                return answer

        FastAPIInstrumentor.instrument_app(app, tracer_provider=harness.provider)
        URLLib3Instrumentor().instrument(tracer_provider=harness.provider)
        try:
            yield app, harness
        finally:
            URLLib3Instrumentor().uninstrument()


class _Echo(BaseHTTPRequestHandler):
    """Another service: it answers with the headers that it got."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def another_service() -> Iterator[str]:
    """Its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _call(app: FastAPI, flags: str = "") -> bool:
    """Whether the flag that goes out to another service says sampled, given what comes in, if anything."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        headers = {"traceparent": f"00-{TRACE}-{GATEWAY}-{flags}"} if flags else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://agent") as client:
            return await client.get("/chat", headers=headers)

    answer = asyncio.run(get())
    assert answer.status_code == 200
    _, trace_id, _, flag = answer.json()["traceparent"].split("-")
    assert not flags or trace_id == TRACE
    return bool(int(flag, 16) & 1)


@pytest.mark.parametrize("sampling", ["", '[sampling]\npropagate = "all"'])
def test_one_root_per_local_root_at_langfuse_and_the_flag_as_each_backend_takes_it(
    tmp_path: Path, sampling: str
) -> None:
    with program(tmp_path, sampling) as (app, harness):
        assert _call(app, "01")
        assert _call(app, "00") is bool(sampling)
        assert _call(app, "01")
        assert harness.flush(), harness.health()
        langfuse, datadog = harness.spans("langfuse"), harness.spans("datadog")
        health = harness.health()
    servers = [span for span in langfuse if span.name == "GET /chat"]
    assert len(servers) == 3, "ignores what the gateway sampled"
    assert [span.parent_id for span in servers] == [""] * 3, "one root for each call"
    assert {span.attributes["ajolo_fanout.parent_id"] for span in servers} == {GATEWAY}
    roots = {span.span_id for span in servers}
    assert all(
        span.parent_id in {one.span_id for one in langfuse} for span in langfuse if span.span_id not in roots
    )
    kept = [span for span in datadog if span.name == "GET /chat"]
    assert len(kept) == 2, "respects it"
    assert {span.parent_id for span in kept} == {GATEWAY}, "and stays the gateway's child"
    assert len(langfuse) * 2 == len(datadog) * 3
    assert Counter(span.name for span in langfuse)["GET"] == 3, (
        "the requests to the other service; none of ours"
    )
    for name in ("langfuse", "datadog"):
        counts = health.backends[name].counts
        assert counts.seen == len(langfuse)
        assert counts.pending == 0
    assert health.backends["datadog"].counts.sampled_out == len(langfuse) - len(datadog)


def test_what_only_keep_rules_may_want_goes_out_as_propagate_says(tmp_path: Path) -> None:
    rule = '{ name = "slow", root = { min_duration = "1h" } }'
    keep = f"[defaults]\nsampling.ratio = 0.0\nsampling.keep = [{rule}]\n"
    for propagate, flag in (("ratio", False), ("all", True)):
        with program(tmp_path, f'{keep}[sampling]\npropagate = "{propagate}"') as (app, harness):
            assert _call(app) is flag
            assert harness.flush()
            assert harness.spans("langfuse") == harness.spans("datadog") == []
            assert harness.health().backends["datadog"].counts.sampled_out > 0
