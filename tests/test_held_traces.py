"""The trace buffer as a program meets it: a file, its bounds, and what `health()` and `flush()` say of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context

from ajolo_fanout.testing import Harness, fanout, wait_for

FILE = """
schema = 1
[service]
name = "held"
[sampling]
{bound}
[backends.errors]
type = "datadog"
site = "eu"
api_key = "${{DD_API_KEY}}"
sampling.ratio = 0.0
sampling.keep = [{{ name = "errors", match = {{ status = "error" }} }}]
[backends.llm]
type = "langfuse"
region = "eu"
public_key = "${{LANGFUSE_PUBLIC_KEY}}"
secret_key = "${{LANGFUSE_SECRET_KEY}}"
[backends.all]
type = "otlp"
endpoint = "http://all.internal:4318/v1/traces"
"""


@contextmanager
def held(tmp_path: Path, bound: str = "") -> Iterator[tuple[Harness, Tracer]]:
    path = tmp_path / "tracing.toml"
    path.write_text(FILE.format(bound=bound), encoding="utf-8")
    with fanout(path, environ={}) as harness:
        yield harness, harness.provider.get_tracer("tests")


def child(tracer: Tracer, parent: Any, *, fails: bool = False, size: int = 10) -> None:
    attributes = {"text": "x" * size}
    with tracer.start_as_current_span("child", set_span_in_context(parent), attributes=attributes) as span:
        if fails:
            span.set_status(Status(StatusCode.ERROR))


@pytest.mark.parametrize(
    ("bound", "name"),
    [
        ("max_traces = 3", "max_traces"),
        ("max_spans_per_trace = 2", "max_spans_per_trace"),
        ('max_bytes = "8KiB"', "max_bytes"),
        ('max_wait = "20ms"', "max_wait"),
    ],
)
def test_what_a_bound_forced_is_in_the_health_and_late_spans_follow_the_decision(
    tmp_path: Path, bound: str, name: str
) -> None:
    """Five traces with an error among their first spans, five with one that comes too late."""
    with held(tmp_path, bound) as (harness, tracer):
        roots = [tracer.start_span("root") for _ in range(10)]
        for number, root in enumerate(roots):
            child(tracer, root, fails=number < 5, size=2000)
            child(tracer, root, size=2000)
        for _ in range(4):  # these push the others out, where the bound is on all
            child(tracer, tracer.start_span("another"), size=8000)

        def decided() -> bool:
            harness.flush()
            return harness.health().held.forced[name] >= 10

        wait_for(decided, 60)
        for root in roots:
            root.set_status(Status(StatusCode.ERROR))
            root.end()
        harness.flush()
        health, got = harness.health(), harness.spans("errors")
        assert {bound for bound, count in health.held.forced.items() if count} == {name}
        assert f"forced by {name}" in str(health)
        assert health.backends["all"].counts.pending == 0, "it waits for no trace"
        kept = {span.trace_id for span in got}
        assert kept == {f"{root.get_span_context().trace_id:032x}" for root in roots[:5]}
        assert [span.attributes.get("ajolo_fanout.kept_by") for span in got if span.name == "root"] == [
            "errors"
        ] * 5
        assert len(got) == 15


def test_a_flush_sends_what_is_finished_and_says_what_is_not_and_the_shutdown_decides_it(
    tmp_path: Path,
) -> None:
    with held(tmp_path) as (harness, tracer):
        with tracer.start_as_current_span("finished") as finished:
            child(tracer, finished, fails=True)
        root = tracer.start_span("unfinished")
        child(tracer, root, fails=True)
        report = harness.flush()
        assert not report
        assert (report.backends["errors"].pending, report.backends["llm"].pending) == (1, 1)
        assert report.backends["all"].pending == 0
        assert {span.name for span in harness.spans("errors")} == {"child", "finished"}
        assert len(harness.spans("errors")) == 2
        assert harness.health().held.spans == 1
        report = harness.fanout.shutdown()
        assert report
        assert len(harness.spans("errors")) == 3
        assert harness.health().held.spans == 0


def test_a_local_parent_that_another_provider_made_counts_as_left_out_after_max_wait(tmp_path: Path) -> None:
    """Langfuse's profile reparents: what hangs from a span that never comes becomes a root there."""
    other = TracerProvider(shutdown_on_exit=False).get_tracer("other")
    with held(tmp_path, 'max_wait = "50ms"') as (harness, tracer):
        with other.start_as_current_span("theirs") as theirs, tracer.start_as_current_span("ours") as ours:
            child(tracer, ours, fails=True)
        harness.flush()
        wait_for(lambda: harness.flush() and len(harness.spans("llm")) == 2, 60)
        spans = {span.name: span for span in harness.spans("llm")}
        assert harness.health().held.forced["max_wait"] == 1
    theirs_id = f"{theirs.get_span_context().span_id:016x}"
    assert spans["ours"].parent_id == ""
    assert spans["ours"].attributes["ajolo_fanout.parent_id"] == theirs_id
    assert spans["child"].parent_id == spans["ours"].span_id
