"""Redaction: what was told to go is gone, wherever it stood; everything else stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from tests.installed import needs_any_value
from tests.steps.spans import make_span, snapshot, spans, without_notes

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.redaction import RedactionSettings, redact, redactor
from ajolo_fanout.steps.redaction.content import is_content
from ajolo_fanout.steps.redaction.content_names import ATTRIBUTES, EVENTS
from ajolo_fanout.steps.redaction.rules import NameRules

DROP_CONTENT = RedactionSettings(content="drop")

_NAMES = sorted({name for dialect in ATTRIBUTES.values() for name in dialect})


@pytest.mark.parametrize("name", _NAMES)
def test_every_known_name_of_content_goes_wherever_it_stands(name: str) -> None:
    key = name.replace("#", "12").replace("*", "a.b")
    span = make_span(
        attributes={key: "SECRET", "kept": 1},
        events=[("e", {key: "SECRET", "kept": 1})],
        links=[{key: "SECRET", "kept": 1}],
        resource=Resource({key: "SECRET", "kept": 1}),
        scope_attributes={key: "SECRET", "kept": 1},
    )
    draft = Draft(span)
    assert redact(draft, DROP_CONTENT) == 5
    assert "SECRET" not in repr(snapshot(draft))
    for part in (draft, draft.events[0], draft.links[0], draft.scope):
        assert without_notes(part.attributes) == {"kept": 1}  # type: ignore[attr-defined]
    assert without_notes(draft.resource) == {"kept": 1}
    assert dict(span.attributes or {})[key] == "SECRET"


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.prompt.name",
        "gen_ai.prompt.version",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.cost_usd",
        "gen_ai.request.model",
        "gen_ai.tool.name",
        "gen_ai.tool.call.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.completions",
        "gen_ai.promptx.0.content",
        "llm.token_count.prompt",
        "llm.model_name",
        "llm.prompt_template.version",
        "lk.llm_metrics",
        "user.id",
        "session.id",
        "input.mime_type",
        "exception.message",
        "exception.stacktrace",
        "retrieval.documents.0.document.score",
        "ai.response.id",
        "prompts",
        "my.metadata",
        "db.query.text",
        "http.url",
    ],
)
def test_look_alikes_are_no_content(name: str) -> None:
    assert not is_content(name)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_that_is_a_message_goes_as_a_whole(name: str) -> None:
    draft = Draft(
        make_span(events=[("before", {}), (name, {"body": "SECRET", "role": "user"}), ("after", {})])
    )
    assert redact(draft, DROP_CONTENT) == 1
    assert [event.name for event in draft.events] == ["before", "after"]
    assert draft.changed


def test_an_event_that_says_more_stays_and_loses_its_content() -> None:
    event = ("gen_ai.client.inference.operation.details", {"gen_ai.input.messages": "SECRET", "model": "m"})
    draft = Draft(make_span(events=[event]))
    assert redact(draft, DROP_CONTENT) == 1
    assert dict(draft.events[0].attributes) == {"model": "m"}


def test_drop_reaches_every_attribute_by_glob_and_nothing_else() -> None:
    values = {"user.email": "SECRET", "User.email": "kept", "user.emails": "kept", "a.secret.b": "SECRET"}
    span = make_span(
        attributes=values,
        events=[("user.email", values)],
        links=[values],
        resource=Resource(values),
        scope_attributes=values,
    )
    draft = Draft(span)
    assert redact(draft, RedactionSettings(drop=("user.email", "*.secret.?"))) == 10
    assert "SECRET" not in repr(snapshot(draft))
    assert draft.events[0].name == "user.email", "a glob is about attributes"
    assert draft.resource["user.emails"] == "kept"


@needs_any_value
def test_structured_content_goes_as_well_as_a_json_string() -> None:
    draft = Draft(make_span(attributes={"gen_ai.input.messages": [{"role": "user", "parts": ["SECRET"]}]}))
    assert redact(draft, DROP_CONTENT) == 1
    assert without_notes(draft.attributes) == {}


def test_paths_and_reasons_are_told_and_values_are_not() -> None:
    span = make_span(
        attributes={"gen_ai.prompt": "SECRET", "x": 1},
        events=[("gen_ai.choice", {}), ("e", {"x": "SECRET"})],
        links=[{"x": "SECRET"}],
    )
    removed = redactor(RedactionSettings(content="drop", drop=("x",))).span(Draft(span))
    assert [tuple(one) for one in removed] == [
        ("attributes.gen_ai.prompt", "content"),
        ("attributes.x", "drop"),
        ("events.0", "content"),
        ("events.1.attributes.x", "drop"),
        ("links.0.attributes.x", "drop"),
    ]


@given(spans())
def test_with_nothing_written_nothing_is_redacted(span: Any) -> None:
    draft = Draft(span)
    assert redact(draft, RedactionSettings()) == 0
    assert not draft.changed
    assert not draft.resource_changed


@given(spans())
def test_a_span_that_no_rule_touches_is_no_copy(span: Any) -> None:
    draft = Draft(span)
    redactor(DROP_CONTENT).span(draft)
    if snapshot(draft) == snapshot(span):
        assert not draft.changed


def test_a_name_that_no_rule_can_judge_goes_and_is_counted() -> None:
    span = ReadableSpan("s", attributes={3: "SECRET", "kept": 1})  # type: ignore[dict-item]
    draft = Draft(span)
    rules = redactor(RedactionSettings(drop=("*x",)))
    removed = rules.span(draft)
    assert [one.reason for one in removed] == ["failed"]
    assert without_notes(draft.attributes) == {"kept": 1}


def test_names_are_remembered_within_a_bound() -> None:
    rules = NameRules(RedactionSettings(drop=("id.*",)), None)
    for number in range(10_000):
        assert rules[f"id.{number}"].action == "drop"
        assert rules[f"kept.{number}"].action == "keep"
    assert len(rules) <= 4096
