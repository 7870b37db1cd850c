"""The recorded traces: what the files say is what the spans say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from ajolo_fanout.profiles.catalog import data_folder
from ajolo_fanout.testing import read_spans, recorded_runs, recorded_spans

RUNS = {
    "all_down": 3,
    "bad_args": 4,
    "bad_args-capture": 4,
    "fallback": 5,
    "fallback-capture": 5,
    "nested_agents": 12,
    "ok": 4,
    "ok-capture": 4,
    "stream": 4,
    "stream-capture": 4,
    "tool_raises": 4,
    "tool_raises-capture": 4,
    "two_tools": 5,
    "two_tools-capture": 5,
}


def written(run: str) -> list[dict[str, Any]]:
    """The spans of a file as plain JSON, each with its resource and scope beside it."""
    text = (data_folder("examples") / "recorded" / f"{run}.json").read_text(encoding="utf-8")
    return [
        {**span, "resource": resource_spans["resource"], "scope": scope_spans["scope"]}
        for resource_spans in json.loads(text)["resourceSpans"]
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans["spans"]
    ]


def plain(key_values: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP JSON attributes as Python values, read another way than the code under test does."""

    def value(held: dict[str, Any]) -> Any:
        if "intValue" in held:
            return int(held["intValue"])
        if "arrayValue" in held:
            return tuple(value(one) for one in held["arrayValue"]["values"])
        return held.get("stringValue", held.get("doubleValue", held.get("boolValue")))

    return {one["key"]: value(one["value"]) for one in key_values}


def test_there_are_fourteen_runs_of_sixty_seven_spans() -> None:
    assert {run: len(recorded_spans(run)) for run in recorded_runs()} == RUNS
    assert len(recorded_spans()) == 67


@pytest.mark.parametrize("run", RUNS)
def test_spans_say_what_the_file_says(run: str) -> None:
    """Ids, parents, names, times, kinds, statuses, attributes, events, resource and scope."""
    for span, source in zip(recorded_spans(run), written(run), strict=True):
        assert format(span.context.trace_id, "032x") == source["traceId"]
        assert format(span.context.span_id, "016x") == source["spanId"]
        assert (span.parent and format(span.parent.span_id, "016x")) == source.get("parentSpanId")
        assert span.context.trace_flags.sampled
        assert not span.context.is_remote
        assert span.name == source["name"]
        assert span.kind is SpanKind.INTERNAL
        assert (span.start_time, span.end_time) == (
            int(source["startTimeUnixNano"]),
            int(source["endTimeUnixNano"]),
        )
        assert span.status.status_code.value == source.get("status", {}).get("code", 0)
        assert span.status.description == source.get("status", {}).get("message")
        assert typed(dict(span.attributes or {})) == typed(plain(source["attributes"]))
        assert [(one.name, one.timestamp, dict(one.attributes or {})) for one in span.events] == [
            (one["name"], int(one["timeUnixNano"]), plain(one["attributes"]))
            for one in source.get("events", [])
        ]
        assert dict(span.resource.attributes) == plain(source["resource"]["attributes"])
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == source["scope"]["name"] == "ajolopy.agent"


def typed(attributes: dict[str, Any]) -> dict[str, Any]:
    """So that 1, 1.0 and True differ."""
    return {name: (type(value), value) for name, value in attributes.items()}


@pytest.mark.parametrize("run", [run for run in RUNS if run != "nested_agents"])
def test_every_run_is_one_trace_under_one_agent(run: str) -> None:
    spans = recorded_spans(run)
    [root] = [span for span in spans if span.parent is None]
    assert root.name == "agent.invoke WeatherAgent"
    assert root is spans[-1]
    assert {span.context.trace_id for span in spans} == {root.context.trace_id}
    assert {span.parent.span_id for span in spans if span.parent} == {root.context.span_id}


def test_nested_agents_ask_one_another_through_tools() -> None:
    """Three of them, one below the other; each has model calls of its own, and a cost of those alone."""
    spans = {span.context.span_id: span for span in recorded_spans("nested_agents")}
    names = {span_id: span.name for span_id, span in spans.items()}
    [root] = [span for span in spans.values() if span.parent is None]
    agents = [span for span in spans.values() if span.name.startswith("agent.invoke")]
    above = {span.name: names.get(span.parent.span_id) for span in agents if span.parent}
    assert root.name == "agent.invoke PlannerAgent"
    assert above == {
        "agent.invoke GuideAgent": "execute_tool ask_guide",
        "agent.invoke WeatherAgent": "execute_tool ask_weather",
    }
    for agent in agents:
        chats = [
            attributes(span)["gen_ai.cost_usd"]
            for span in spans.values()
            if span.parent and span.parent.span_id == agent.context.span_id and span.name.startswith("chat")
        ]
        assert len(chats) == 2
        assert sum(chats) == pytest.approx(attributes(agent)["ajolopy.cost_usd.total"])


def test_content_is_on_the_chat_spans_of_capture_runs_alone() -> None:
    for run in RUNS:
        chats = [span for span in recorded_spans(run) if span.name.startswith("chat")]
        assert all(("gen_ai.prompt" in attributes(span)) == run.endswith("-capture") for span in chats)


def test_errors_and_exceptions_are_as_ajolopy_records_them() -> None:
    """A tool that raises: one event, parents unset. A provider that fails: the event twice."""
    by_name = {span.name: span for span in recorded_spans("tool_raises")}
    tool = by_name["execute_tool get_weather"]
    assert tool.status.status_code is StatusCode.ERROR
    assert [event.name for event in tool.events] == ["exception"]
    assert "no such city: Atlantis" in str((tool.events[0].attributes or {})["exception.message"])
    assert by_name["agent.invoke WeatherAgent"].status.status_code is StatusCode.UNSET
    failed = recorded_spans("all_down")[0]
    assert [event.name for event in failed.events] == ["exception", "exception"]


def test_spans_can_be_sent_again_by_the_stock_encoder() -> None:
    """Nothing in them is of a type that OpenTelemetry doesn't know."""
    assert len(encode_spans(recorded_spans()).SerializeToString()) > 10_000


def test_an_unknown_run_is_told_from_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no recorded run 'no'; there are all_down, .*two_tools-capture"):
        recorded_spans("no")


def test_every_form_of_otlp_json_is_read(tmp_path: Path) -> None:
    """Remote parents, links, trace state, kinds, nested and odd values, missing fields."""
    value = {
        "kvlistValue": {
            "values": [
                {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "-9223372036854775808"}]}}},
                {"key": "bytes", "value": {"bytesValue": "AAE="}},
                {"key": "nan", "value": {"doubleValue": "NaN"}},
                {"key": "empty", "value": {}},
            ]
        }
    }
    span = {
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "2",
        "parentSpanId": "0" * 15 + "3",
        "flags": 0x301,
        "traceState": "ot=rv:00000000000000",
        "name": "GET /",
        "kind": 2,
        "attributes": [{"key": "deep", "value": value}],
        "links": [{"traceId": "0" * 31 + "4", "spanId": "0" * 15 + "5", "flags": 0x101}],
        "status": {"code": 1},
    }
    document = {"resourceSpans": [{"schemaUrl": "r", "scopeSpans": [{"schemaUrl": "s", "spans": [span]}]}]}
    [read] = read_spans(json.dumps(document))
    assert read.parent is not None
    assert read.parent.is_remote
    assert read.parent.span_id == 3
    assert (read.kind, read.status.status_code) == (SpanKind.SERVER, StatusCode.OK)
    assert read.context.trace_state.get("ot") == "rv:00000000000000"
    assert (read.start_time, read.end_time) == (None, None)
    deep = attributes(read)["deep"]
    assert (deep["list"], deep["bytes"], str(deep["nan"]), deep["empty"]) == (
        (-(2**63),),
        b"\0\1",
        "nan",
        None,
    )
    assert read.links[0].context.trace_id == 4
    assert (
        read.resource.schema_url,
        read.instrumentation_scope and read.instrumentation_scope.schema_url,
    ) == (
        "r",
        "s",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "line 1: an OTLP JSON request is an object with resourceSpans"),
        (
            '{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "1"}]}]}]}',
            "line 1: no OTLP JSON request",
        ),
        ('{"resourceSpans": []}\n\nnothing', "line 3: not JSON"),
    ],
)
def test_what_is_no_otlp_json_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_spans(text)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
