"""The three stories in `examples/`: each file does with recorded agent traces what its first lines say."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import pytest
import tomli
from opentelemetry.sdk.trace import ReadableSpan, Tracer
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, set_span_in_context

import ajolo_fanout
from ajolo_fanout.config.document import parse
from ajolo_fanout.otlp.decode import DecodedSpan
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.profiles.catalog import data_folder
from ajolo_fanout.testing import Harness, fanout, recorded_runs, recorded_spans

EXAMPLES = data_folder("examples")
STORIES = ("company_apm", "agent_team_langfuse", "honeycomb_budget")
TRACES = 280
"""Twenty copies of each recorded run."""


def text_of(story: str) -> str:
    return (EXAMPLES / f"{story}.toml").read_text(encoding="utf-8")


def plan_of(text: str) -> Plan:
    return resolve(parse(text, "story.toml"), {}, allow_unset=True)


@pytest.mark.parametrize("story", STORIES)
def test_it_is_right_and_says_what_holds(story: str) -> None:
    """No warning; TOML 1.0; what is commented out is what holds without it; secrets from variables alone."""
    text = text_of(story)
    plan = plan_of(text)
    assert plan.warnings == ()
    uncommented = plan_of(re.sub(r"^# (?=[a-z])", "", text, flags=re.MULTILINE))
    assert [(one.settings, one.steps.shape) for one in uncommented.backends] == [
        (one.settings, one.steps.shape) for one in plan.backends
    ]
    assert (uncommented.sampling, uncommented.context) == (plan.sampling, plan.context)
    for line in text.splitlines():
        code = "" if line.startswith("#") else line
        assert code.count("{") == code.count("}")
        assert not re.search(r",\s*\}", code)
        assert re.match(r"##|# [a-z_.]+ = .|[^#]|$", line), line
    [backend] = tomli.loads(text)["backends"].values()
    assert all(re.fullmatch(r"\$\{[A-Z_]+\}", value) for key, value in backend.items() if key.endswith("key"))


# Many traces out of the recorded ones.


def copies(number: int) -> Iterator[list[ReadableSpan]]:
    """The recorded runs again and again, each copy with ids of its own; the same ones every time."""
    random = Random(4)
    runs = [recorded_spans(run) for run in recorded_runs()]
    for index in range(number):
        trace_id = random.getrandbits(128)
        yield [_moved(span, trace_id) for span in runs[index % len(runs)]]


def _moved(span: ReadableSpan, trace_id: int, attributes: Mapping[str, Any] | None = None) -> ReadableSpan:
    def context(of: SpanContext | None) -> SpanContext | None:
        return of and SpanContext(trace_id, of.span_id, of.is_remote, of.trace_flags, of.trace_state)

    return ReadableSpan(
        span.name,
        context=context(span.context),
        parent=context(span.parent),
        resource=span.resource,
        attributes={**(span.attributes or {}), **(attributes or {})},
        events=span.events,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def failed(spans: Iterable[ReadableSpan]) -> bool:
    return any(span.status.status_code is StatusCode.ERROR for span in spans)


def in_share(spans: Sequence[ReadableSpan], ratio: float) -> bool:
    """What OpenTelemetry's consistent sampling says: the low 56 bits of the trace id, worked out by hand."""
    return spans[0].context.trace_id % 2**56 >= (1 - ratio) * 2**56


def trace_of(spans: Sequence[ReadableSpan]) -> str:
    return f"{spans[0].context.trace_id:032x}"


def by_trace(spans: Iterable[DecodedSpan]) -> dict[str, list[DecodedSpan]]:
    found: dict[str, list[DecodedSpan]] = {}
    for span in spans:
        found.setdefault(span.trace_id, []).append(span)
    return found


def roots(spans: Iterable[DecodedSpan]) -> list[DecodedSpan]:
    return [span for span in spans if not span.parent_id]


def adds_up(harness: Harness, backend: str, seen: int) -> None:
    """Every span has a fate, and none was lost. Never recorded ones were never seen by any backend."""
    counts = harness.health().backends[backend].counts
    assert counts.seen + counts.never_recorded == seen
    assert counts.pending == 0
    assert not counts.lost
    assert counts.delivered + counts.filtered + counts.sampled_out == counts.seen


CONTENT = ("gen_ai.prompt", "gen_ai.completion", "exception.stacktrace")


def holds_content(span: DecodedSpan) -> bool:
    keys = [*span.attributes, *(key for event in span.events for key in event.attributes)]
    return any(key.startswith(CONTENT) for key in keys)


# The stories.


def test_the_companys_apm_gets_a_tenth_of_the_traces_all_errors_and_no_prompts() -> None:
    traces = list(copies(TRACES))
    errors = {trace_of(spans) for spans in traces if failed(spans)}
    tenth = {trace_of(spans) for spans in traces if in_share(spans, 0.1)}
    assert len(tenth - errors) > 5, "the copies are enough to tell"
    with fanout(EXAMPLES / "company_apm.toml", environ={}) as harness:
        for spans in traces:
            harness.replay(spans)
        assert harness.flush()
        got = by_trace(harness.spans("company"))
        adds_up(harness, "company", sum(map(len, traces)))
    assert got.keys() == tenth | errors
    whole = {trace_of(spans): len(spans) for spans in traces}
    assert {trace: len(spans) for trace, spans in got.items()} == {trace: whole[trace] for trace in got}
    for trace, spans in got.items():
        [root] = roots(spans)
        assert root.attributes.get("ajolo_fanout.kept_by") == ("errors" if trace in errors else None)
        assert not any(holds_content(span) for span in spans)
        assert all("ajolopy.cost_usd.total" not in span.attributes for span in spans)
        assert all("gen_ai.system" not in span.attributes for span in spans)
    # What arrived stands for what there was: what is only in the sample, for ten traces.
    sample = [spans for trace, spans in got.items() if trace not in errors]
    assert all("th:e6666666666666" in span.trace_state for spans in sample for span in spans)


def live(tracer: Tracer, spans: Sequence[ReadableSpan]) -> None:
    """Trace a recorded run again, inside whatever is current: its roots hang from the current span."""
    running: dict[int, Span] = {}
    for span in sorted(spans, key=lambda one: (one.start_time or 0, -(one.end_time or 0))):
        parent = running.get(span.parent.span_id) if span.parent else None
        context = None if parent is None else set_span_in_context(parent)
        again = tracer.start_span(span.name, context, span.kind, span.attributes)
        for event in span.events:
            again.add_event(event.name, event.attributes)
        again.set_status(span.status)
        running[span.context.span_id] = again
    for span in spans:
        running[span.context.span_id].end()


def test_the_agent_teams_langfuse_gets_every_llm_span_with_content_user_and_session() -> None:
    """Behind a web server: a request around each run, a database call inside; neither is Langfuse's business."""
    runs = {run: recorded_spans(run) for run in recorded_runs()}
    prompts = Counter(
        (span.attributes or {})["gen_ai.prompt"]
        for spans in runs.values()
        for span in spans
        if "gen_ai.prompt" in (span.attributes or {})
    )
    with fanout(EXAMPLES / "agent_team_langfuse.toml", environ={}) as harness:
        web, agent = (harness.provider.get_tracer(name) for name in ("my.web.server", "ajolopy.agent"))
        assert isinstance(agent, Tracer)
        for number, spans in enumerate(runs.values()):
            values = {"user.id": f"u-{number}", "session.id": f"s-{number % 3}"}
            with (
                ajolo_fanout.context(**values),
                web.start_as_current_span("POST /chat", kind=SpanKind.SERVER),
            ):
                web.start_span("SELECT sessions", kind=SpanKind.CLIENT).end()
                live(agent, spans)
        assert harness.flush()
        got = by_trace(harness.spans("team"))
        adds_up(harness, "team", sum(map(len, runs.values())) + 2 * len(runs))
        assert harness.health().backends["team"].counts.filtered == 2 * len(runs)
    assert sorted(map(len, got.values())) == sorted(map(len, runs.values()))
    arrived = [span for spans in got.values() for span in spans]
    assert Counter(span.name for span in arrived) == Counter(
        span.name for spans in runs.values() for span in spans
    )
    for spans in got.values():
        [root] = roots(spans)
        assert root.name.startswith("agent.invoke")
        ids = {span.span_id for span in spans}
        assert all(span.parent_id in ids for span in spans if span is not root), "no tree is cut"
        [(user, session)] = {(span.attributes["user.id"], span.attributes["session.id"]) for span in spans}
        assert session == f"s-{int(user[2:]) % 3}"
    assert len({span.attributes["user.id"] for span in arrived}) == len(runs)
    assert (
        Counter(span.attributes["gen_ai.prompt"] for span in arrived if "gen_ai.prompt" in span.attributes)
        == prompts
    )
    kinds = Counter(span.attributes["langfuse.observation.type"] for span in arrived)
    beginnings = {"generation": "chat ", "agent": "agent.invoke ", "tool": "execute_tool "}
    assert kinds == {
        kind: sum(span.name.startswith(one) for span in arrived) for kind, one in beginnings.items()
    }
    cost = sum(
        json.loads(span.attributes.get("langfuse.observation.cost_details", "{}")).get("total", 0)
        for span in arrived
    )
    assert cost == pytest.approx(
        sum((span.attributes or {}).get("gen_ai.cost_usd", 0) for spans in runs.values() for span in spans)
    )


def billed(spans: Iterable[ReadableSpan | DecodedSpan]) -> int:
    """What Honeycomb counts: each span, each of its events, each of its links."""
    return sum(1 + len(span.events) + len(span.links) for span in spans)


def test_honeycombs_bill_stays_flat() -> None:
    """One trace in twenty, every expensive one, at most two errors a second; and the sums come out right."""
    expensive = {index: {"ajolopy.cost_usd.total": 0.8} for index in range(0, TRACES, 40)}
    traces = [
        [
            _moved(span, span.context.trace_id, expensive.get(index) if span.parent is None else None)
            for span in spans
        ]
        for index, spans in enumerate(copies(TRACES))
    ]
    dear = {trace_of(traces[index]) for index in expensive}
    errors = {trace_of(spans) for spans in traces if failed(spans)}
    twentieth = {trace_of(spans) for spans in traces if in_share(spans, 0.05)}
    assert len(twentieth - errors - dear) > 5
    with fanout(EXAMPLES / "honeycomb_budget.toml", environ={}) as harness:
        began = time.monotonic()
        tracer = harness.provider.get_tracer("my.web.server")
        for spans in traces:
            with tracer.start_as_current_span("GET /healthz"), tracer.start_as_current_span("SELECT 1"):
                pass
            harness.replay(spans)
        assert harness.flush()
        seconds = time.monotonic() - began
        got = by_trace(harness.spans("honeycomb"))
        adds_up(harness, "honeycomb", sum(map(len, traces)) + 2 * TRACES)
    reasons = {trace: roots(spans)[0].attributes.get("ajolo_fanout.kept_by") for trace, spans in got.items()}
    limited = {trace for trace, reason in reasons.items() if reason == "errors"}
    assert limited <= errors
    assert 2 <= len(limited - twentieth) <= 2 + 2 * seconds
    assert {trace for trace, reason in reasons.items() if reason == "expensive"} == dear - limited
    assert got.keys() == twentieth | dear | limited
    arrived = [span for spans in got.values() for span in spans]
    assert {span.name for span in arrived}.isdisjoint({"GET /healthz", "SELECT 1"})
    assert not any(holds_content(span) for span in arrived)
    for trace, spans in got.items():
        rates = {span.attributes.get("SampleRate") for span in spans}
        if trace in dear:
            assert rates <= {1, None}
        elif trace not in errors:
            assert rates == {20}
    assert billed(arrived) < billed(span for spans in traces for span in spans) / 4
