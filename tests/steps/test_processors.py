"""The processors: each changes just what it says, and only the spans that its match means."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from tests.installed import needs_any_value
from tests.steps.spans import make_span, snapshot, spans
from tests.steps.test_redaction_failures import HOSTILE, by_hand

from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.draft import NO_USAGE, Draft, Usage
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors import (
    PROCESSORS,
    CopySettings,
    DeleteSettings,
    DialectSettings,
    DropEventsSettings,
    KeepOnlySettings,
    MediaSettings,
    RenameSettings,
    SetSettings,
    SplitJsonSettings,
)
from ajolo_fanout.steps.processors.dialect import kind_of_span
from ajolo_fanout.steps.processors.media import replace_media
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.shape import Shape, shape_span

ALL: list[Any] = [
    SetSettings({"a": 1}, {"b": 2}),
    RenameSettings({"a": "b"}, {"service.name": "s"}),
    CopySettings({"a": "b"}, {"service.name": "s"}),
    DeleteSettings(("a*",), ("service.*",)),
    KeepOnlySettings(("a*",)),
    DropEventsSettings(("e*",)),
    SplitJsonSettings("a"),
    MediaSettings(),
    DialectSettings("gen_ai", "leaf"),
    DialectSettings("langfuse", "leaf"),
    DialectSettings("openinference", "leaf"),
]


def _after(span: ReadableSpan, *settings: Any, usage_below: Usage = NO_USAGE) -> Draft:
    draft = Draft(span, usage_below=usage_below)
    for one in settings:
        one.compile()(draft)
    return draft


@given(spans(), st.lists(st.sampled_from(ALL), max_size=4))
def test_no_processor_changes_the_span_or_raises(span: Any, settings: list[Any]) -> None:
    before = snapshot(span)
    _after(span, *settings)
    assert snapshot(span) == before


@pytest.mark.parametrize("settings", ALL, ids=lambda one: type(one).__name__)
def test_a_span_that_the_match_does_not_mean_is_left_alone(settings: Any) -> None:
    import attrs

    limited = attrs.evolve(settings, match=Match(name=Condition("another")))
    span = make_span(
        attributes={"a": '{"x": 1}', "gen_ai.system": "openai"}, events=[("e", {})], scope="ajolopy.x"
    )
    draft = _after(span, limited)
    assert not draft.changed
    assert not draft.resource_changed
    assert _after(span, settings).changed or isinstance(settings, MediaSettings)


def test_all_are_registered() -> None:
    assert {type(one) for one in ALL} == set(PROCESSORS.values())


def test_rename_moves_and_can_swap() -> None:
    span = make_span(attributes={"a": 1, "b": 2, "c": 3})
    assert dict(_after(span, RenameSettings({"a": "b", "b": "a"})).attributes) == {"a": 2, "b": 1, "c": 3}
    assert dict(_after(span, RenameSettings({"a": "c", "x": "y"})).attributes) == {"b": 2, "c": 1}
    assert not _after(span, RenameSettings({"a": "a", "x": "y"})).changed
    assert _after(span, RenameSettings(resource={"service.name": "service"})).resource["service"] == "agent"


def test_copy_keeps_the_old_name() -> None:
    draft = _after(make_span(attributes={"a": 1, "b": 2}), CopySettings({"a": "b", "x": "y"}))
    assert dict(draft.attributes) == {"a": 1, "b": 1}


def test_delete_and_keep_only_go_by_glob() -> None:
    span = make_span(attributes={"a.x": 1, "a.y": 2, "b": 3})
    assert dict(_after(span, DeleteSettings(("a.*",))).attributes) == {"b": 3}
    assert dict(_after(span, KeepOnlySettings(("a.?",))).attributes) == {"a.x": 1, "a.y": 2}
    assert dict(_after(span, KeepOnlySettings()).attributes) == {}
    assert "secret.key" not in _after(span, DeleteSettings(resource=("secret.*",))).resource
    assert not _after(span, DeleteSettings(("zzz",)), KeepOnlySettings(("*",))).changed


def test_drop_events_goes_by_name() -> None:
    span = make_span(events=[("debug.a", {}), ("exception", {}), ("debug.b", {})])
    assert [event.name for event in _after(span, DropEventsSettings(("debug.*",))).events] == ["exception"]
    assert not _after(span, DropEventsSettings(("x",))).changed


# split_json

PAYLOAD = '{"id": 7, "ok": true, "none": null, "user": {"name": "Ada", "tags": ["x"]}, "list": [1, 2]}'


def test_a_json_string_becomes_attributes() -> None:
    draft = _after(make_span(attributes={"p": PAYLOAD, "z": 1}), SplitJsonSettings("p"))
    assert dict(draft.attributes) == {
        "z": 1,
        "p.id": 7,
        "p.ok": True,
        "p.user": '{"name": "Ada", "tags": ["x"]}',
        "p.list": "[1, 2]",
    }


def test_deeper_levels_a_prefix_and_keeping() -> None:
    draft = _after(make_span(attributes={"p": PAYLOAD}), SplitJsonSettings("p", "q", depth=3, keep=True))
    assert dict(draft.attributes) == {
        "p": PAYLOAD,
        "q.id": 7,
        "q.ok": True,
        "q.user.name": "Ada",
        "q.user.tags.0": "x",
        "q.list.0": 1,
        "q.list.1": 2,
    }


@pytest.mark.parametrize(
    "value",
    ["no json", "{broken", "17", '"text"', "", "{}", "[]", 17, "[" * 100_000, str([1] * 200)],
)
def test_what_is_no_json_object_or_too_much_is_left_as_it_is(value: Any) -> None:
    assert not _after(make_span(attributes={"p": value}), SplitJsonSettings("p")).changed


def test_nothing_but_null_gets_lost_on_the_way() -> None:
    """An empty array or object below stays what it is, at any depth."""
    draft = _after(
        make_span(attributes={"p": '{"a": {}, "b": {"c": []}, "d": 1, "e": null}'}),
        SplitJsonSettings("p", depth=9),
    )
    assert dict(draft.attributes) == {"p.a": "{}", "p.b.c": "[]", "p.d": 1}


# media

PIXEL = base64.b64encode(b"\x89PNG not really" * 10).decode()
STAND_IN = f"[media image/png, 150 bytes, sha256:{hashlib.sha256(base64.b64decode(PIXEL)).hexdigest()[:16]}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"data:image/png;base64,{PIXEL}", STAND_IN),
        (f"see data:image/png;base64,{PIXEL} and", f"see {STAND_IN} and"),
        (f'[{{"url": "data:image/png;base64,{PIXEL}"}}]', f'[{{"url": "{STAND_IN}"}}]'),
        ("data:image\\/png;base64," + PIXEL.replace("/", "\\/"), STAND_IN),
        (f"data:image/png;name=a.png;base64,{PIXEL.rstrip('=')}", STAND_IN),
        (
            f"twice data:image/png;base64,{PIXEL} data:image/png;base64,{PIXEL}",
            f"twice {STAND_IN} {STAND_IN}",
        ),
        (f"data:image/png;charset;base64,{PIXEL}", STAND_IN),
        (
            f"data:image/png;base64,{urllib.parse.quote(PIXEL, safe='')}",
            STAND_IN,
        ),
        (f"DATA:image/png;BASE64,{PIXEL}", STAND_IN),
        (f"data:image/png;base64,{PIXEL[:76]}\r\n{PIXEL[76:152]}\n{PIXEL[152:]}", STAND_IN),
        (f"data:;base64,{PIXEL}", STAND_IN.replace("image/png", "text/plain")),
        ("data:, nothing", "data:, nothing"),
        ("data: this is prose", "data: this is prose"),
        ("metadata:x/y", "metadata:x/y"),
        ("data:image/png", "data:image/png"),
    ],
)
def test_a_data_uri_becomes_type_length_and_hash(text: str, expected: str) -> None:
    assert replace_media(text) == expected


def test_a_plain_data_uri_and_a_broken_one_go_too() -> None:
    assert replace_media('"data:text/html,%3Cb%3EH"').startswith('"[media text/html, 8 bytes, sha256:')
    assert replace_media("data:image/png;base64,A").startswith("[media image/png, 1 bytes, sha256:")


@needs_any_value
def test_media_goes_from_arrays_maps_events_and_links() -> None:
    uri = f"data:image/png;base64,{PIXEL}"
    span = make_span(
        attributes={"m": [{"parts": [uri, 1]}], "kept.uri": uri, "n": 5},
        events=[("e", {"x": uri})],
        links=[{"y": uri}],
    )
    draft = _after(span, MediaSettings(attributes=("m", "x", "y")))
    assert draft.attributes["m"] == ({"parts": (STAND_IN, 1)},)
    assert draft.attributes["kept.uri"] == uri
    assert draft.events[0].attributes["x"] == STAND_IN
    assert draft.links[0].attributes["y"] == STAND_IN


@pytest.mark.parametrize(
    "text",
    ["data:" * 50_000, "data:a/b" + ";a=b" * 50_000, "data:a/" + "b" * 200_000, "data:" + ";a" * 50_000],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    started = time.perf_counter()
    assert replace_media(text) == text
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("kind", ["a wide array", "an array that holds itself", "a very deep array"])
@pytest.mark.parametrize(
    "processor",
    [
        MediaSettings(),
        RenameSettings({"gen_ai.system": "x"}),
        CopySettings({"gen_ai.system": "x"}),
        DialectSettings(),
    ],
)
def test_what_nobody_can_walk_through_holds_up_no_other_backend(kind: str, processor: Any) -> None:
    """It is an error of that span at once: built-in processors run where all backends wait."""
    span = by_hand(**{"gen_ai.system": HOSTILE[kind]})
    with pytest.raises(ValueError, match="nested too deep"):
        _after(span, processor)
    assert Draft(span).attributes["gen_ai.system"] is HOSTILE[kind]


# dialect


def test_old_names_become_current_ones() -> None:
    span = make_span(
        attributes={
            "gen_ai.system": "az.ai.openai",
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.prompt_tokens": 31,
            "gen_ai.usage.output_tokens": 12,
            "gen_ai.usage.completion_tokens": 99,
        }
    )
    assert dict(_after(span, DialectSettings()).attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.usage.input_tokens": 31,
        "gen_ai.usage.output_tokens": 12,
    }


def test_what_speaks_the_dialect_already_is_no_copy() -> None:
    span = make_span(attributes={"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"})
    assert not _after(span, DialectSettings()).changed
    assert not _after(make_span(), DialectSettings("langfuse"), DialectSettings("openinference")).changed


@pytest.mark.parametrize(
    ("name", "operation", "observation", "kind"),
    [
        ("agent.invoke WeatherAgent", "invoke_agent", "agent", "AGENT"),
        ("chat gpt-4o", "chat", "generation", "LLM"),
        ("execute_tool get_weather", "execute_tool", "tool", "TOOL"),
    ],
)
def test_ajolopys_spans_say_what_they_are(name: str, operation: str, observation: str, kind: str) -> None:
    span = make_span(name, {"ajolopy.agent.name": "WeatherAgent"}, scope="ajolopy.agent")
    assert _after(span, DialectSettings()).attributes["gen_ai.operation.name"] == operation
    assert _after(span, DialectSettings()).attributes["gen_ai.agent.name"] == "WeatherAgent"
    assert _after(span, DialectSettings("langfuse")).attributes["langfuse.observation.type"] == observation
    assert _after(span, DialectSettings("openinference")).attributes["openinference.span.kind"] == kind


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "embeddings"}, "embedding"),
        ({"openinference.span.kind": "RETRIEVER"}, "retriever"),
        ({"langfuse.observation.type": "generation"}, "llm"),
        ({"traceloop.span.kind": "workflow"}, "chain"),
        ({"gen_ai.operation.name": "brew_coffee"}, None),
        ({"gen_ai.operation.name": 7}, None),
    ],
)
def test_a_kind_is_read_from_any_dialect(attributes: dict[str, Any], kind: str | None) -> None:
    assert kind_of_span(make_span(attributes=attributes)) == kind


def test_cost_and_tokens_stand_where_the_backend_reads_them() -> None:
    span = make_span(
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2026",
            "gen_ai.usage.input_tokens": 31,
            "gen_ai.usage.output_tokens": 12,
            "gen_ai.cost_usd": 0.25,
            "gen_ai.cost_usd.input": 0.05,
            "gen_ai.cost_usd.output": 0.2,
        }
    )
    langfuse = _after(span, DialectSettings("langfuse")).attributes
    details = langfuse["langfuse.observation.cost_details"]
    assert isinstance(details, str)
    assert json.loads(details) == {"input": 0.05, "output": 0.2, "total": 0.25}
    inference = _after(span, DialectSettings("openinference")).attributes
    assert inference["llm.model_name"] == "gpt-4o-2026"
    assert inference["llm.cost.total"] == 0.25
    assert inference["llm.token_count.total"] == 43


ASKED = [
    {"role": "system", "content": "You tell the weather."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "Zürich?"}, {"type": "image_url", "image_url": "x"}],
    },
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "function": {"name": "w", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "21"},
]


def test_what_was_said_stands_where_datadog_reads_it() -> None:
    """Datadog reads messages of roles and parts, and neither `gen_ai.prompt` nor `gen_ai.completion`."""
    said = {"gen_ai.prompt": json.dumps(ASKED), "gen_ai.completion": "21 °C", "gen_ai.operation.name": "chat"}
    after = _after(make_span(attributes=said), DialectSettings()).attributes
    assert set(after) == {"gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages"}
    assert json.loads(str(after["gen_ai.input.messages"])) == [
        {"role": "system", "parts": [{"type": "text", "content": "You tell the weather."}]},
        {
            "role": "user",
            "parts": [{"type": "text", "content": "Zürich?"}, {"type": "image_url", "image_url": "x"}],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "w", "arguments": "{}"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": "21", "id": "c1"}]},
    ]
    assert json.loads(str(after["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "21 °C"}], "finish_reason": "stop"}
    ]


@pytest.mark.parametrize("prompt", ["just text", "[]", "[1]", '{"role": "user"}', "[" * 10_000, "\ud83d"])
def test_a_prompt_in_no_known_form_is_one_message(prompt: str) -> None:
    after = _after(make_span(attributes={"gen_ai.prompt": prompt}), DialectSettings()).attributes
    [message] = json.loads(str(after["gen_ai.input.messages"]))
    assert message == {"role": "user", "parts": [{"type": "text", "content": prompt}]}


def test_what_is_in_the_current_form_is_left_alone() -> None:
    said = {"gen_ai.input.messages": "[]", "gen_ai.prompt": "x", "gen_ai.output.messages": ["y"]}
    assert dict(_after(make_span(attributes=said), DialectSettings()).attributes) == {
        **said,
        "gen_ai.output.messages": ("y",),
    }


def test_what_was_said_stands_where_phoenix_reads_it() -> None:
    said = {"gen_ai.prompt": json.dumps(ASKED), "gen_ai.completion": "21 °C"}
    after = _after(make_span(attributes=said), DialectSettings("openinference")).attributes
    assert after["input.value"] == said["gen_ai.prompt"]
    assert (after["input.mime_type"], after["output.mime_type"]) == ("application/json", "text/plain")
    assert after["output.value"] == "21 °C"
    tool = {"gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "21", "output.value": "own"}
    after = _after(make_span(attributes=tool), DialectSettings("openinference")).attributes
    assert (after["input.value"], after["output.value"]) == ("{}", "own")


@pytest.mark.parametrize("to", ["gen_ai", "openinference"])
def test_what_a_dialect_says_anew_is_content_as_before(to: Any) -> None:
    """Redaction comes after all processors, and knows these names."""
    said = {"gen_ai.prompt": json.dumps(ASKED), "gen_ai.completion": "21 °C"}
    shape = Shape((DialectSettings(to),), RedactionSettings(content="drop"))
    left = repr(shape_span(make_span(attributes=said), shape).draft.attributes.copy())
    assert "Zürich" not in left
    assert "21 °C" not in left
