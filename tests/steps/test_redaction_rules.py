"""What each key of `redaction` does, where it reaches, and which of them wins."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import Status, StatusCode
from tests.installed import ANY_VALUE, needs_any_value
from tests.steps.redacting import ADDRESS, CARD, KEY, hashed, own, redacted
from tests.steps.spans import make_span, plain, snapshot, without_notes

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.processors import SetSettings
from ajolo_fanout.steps.redaction import RedactionSettings, Removal, redact, redactor
from ajolo_fanout.steps.redaction.content_names import EVENTS
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.steps.redaction.texts import Texts
from ajolo_fanout.steps.shape import Shape, Shaper
from ajolo_fanout.values import Secret

# Which rule wins.


STRICTEST = [
    ({"drop": ("x",), "hash": ("x",), "mask": ("x",), "detect": ("email",)}, None),
    ({"hash": ("x",), "mask": ("x",), "detect": ("email",)}, hashed(ADDRESS)),
    ({"mask": ("x",), "detect": ("email",)}, "[masked]"),
    ({"detect": ("email",)}, "[email]"),
    ({"detect": ("email",), "except_": ("x",)}, ADDRESS),
    ({"mask": ("x",), "except_": ("x",)}, "[masked]"),
    ({"hash": ("x",), "allow": ("y",)}, None),
    ({}, ADDRESS),
]


@pytest.mark.parametrize(("rules", "left"), STRICTEST)
def test_of_several_rules_the_strictest_wins(rules: dict[str, Any], left: str | None) -> None:
    made = redacted(RedactionSettings(**rules, hash_key=KEY), x=ADDRESS)
    assert made == ({} if left is None else {"x": left})


CONTENT = [
    ("drop", {"hash": ("gen_ai.*",)}, None),
    ("hash", {"mask": ("gen_ai.*",)}, hashed("hello")),
    ("mask", {"hash": ("gen_ai.*",)}, hashed("hello")),
    ("mask", {}, "[masked]"),
    ("mask", {"drop": ("gen_ai.prompt",)}, None),
    ("keep", {}, "hello"),
]


@pytest.mark.parametrize(("content", "rules", "left"), CONTENT)
def test_content_is_one_rule_among_them(content: Any, rules: dict[str, Any], left: str | None) -> None:
    settings = RedactionSettings(content=content, hash_key=KEY, **rules)
    made = redacted(settings, gen_ai__prompt="hello", model="m")
    assert made == ({"model": "m"} if left is None else {"gen_ai.prompt": left, "model": "m"})


@pytest.mark.parametrize("name", sorted(EVENTS))
@pytest.mark.parametrize("content", ["mask", "hash"])
def test_of_an_event_that_is_a_message_every_value_goes(name: str, content: Any) -> None:
    draft = Draft(make_span(events=[(name, {"body": "hello", "any": 7, "gone": 1})]))
    redact(draft, RedactionSettings(content=content, hash_key=KEY, drop=("gone",)))
    assert [event.name for event in draft.events] == [name]
    expected = ["[masked]", "[masked]"] if content == "mask" else [hashed("hello"), hashed("7")]
    assert dict(draft.events[0].attributes) == dict(zip(("body", "any"), expected, strict=True))


# Where it reaches.


def everywhere(text: str) -> Any:
    """A span with `text` wherever redaction reads."""
    holding = {
        text: 1,
        "value": text,
        "array": ["a", text],
        "map": {text: {"deep": [text]}},
        "raw": text.encode(),
    }
    return make_span(
        f"chat {text}",
        holding,
        events=[(f"event {text}", {**holding, "exception.message": text, "exception.stacktrace": text})],
        links=[holding],
        resource=Resource({**holding, "service.name": text}),
        scope=f"scope {text}",
        scope_attributes=holding,
        status=Status(StatusCode.ERROR, f"failed: {text}"),
    )


@pytest.mark.parametrize(
    ("settings", "text", "left"),
    [
        (RedactionSettings(detect=("email",)), ADDRESS, "[email]"),
        (RedactionSettings(detect=("credit_card", "email")), CARD, "[credit_card]"),
        (RedactionSettings(patterns=own(order="ORD-([0-9])+")), "ORD-1234", "[order]"),
        (RedactionSettings(mask_ip=True), "192.0.2.17", "192.0.2.0"),
    ],
)
def test_what_is_detected_goes_from_everything_that_leaves(
    settings: RedactionSettings, text: str, left: str
) -> None:
    span = everywhere(text)
    before = snapshot(span)
    shaped = Shaper(Shape(redaction=settings))(span)
    draft = shaped.draft
    said = repr(snapshot(draft))
    assert text not in said
    assert text not in repr(snapshot(draft.readable()))
    assert draft.name == f"chat {left}"
    assert draft.status_description == f"failed: {left}"
    assert draft.events[0].name == f"event {left}"
    assert draft.events[0].attributes["exception.stacktrace"] == left
    assert draft.scope.name == f"scope {left}"
    assert draft.resource["service.name"] == left
    for part in (draft.attributes, draft.events[0].attributes, draft.links[0].attributes, draft.resource):
        assert part[left] == 1
        if ANY_VALUE:
            assert plain(part["map"]) == plain({left: {"deep": [left]}})
            assert part["raw"] == left.encode()
    assert snapshot(span) == before, "the span itself is everybody's"
    assert shaped.redacted == len(shaped.removed) >= (30 if ANY_VALUE else 15)


def test_a_scope_version_is_a_text_too() -> None:
    draft = Draft(make_span())
    draft.scope.version = f"1.0 by {ADDRESS}"
    redactor(RedactionSettings(detect=("email",))).scope(draft.scope)
    assert draft.scope.version == "1.0 by [email]"


def test_ids_times_and_trace_state_are_never_looked_at() -> None:
    span = make_span(links=[{}])
    draft = Draft(span)
    redact(draft, RedactionSettings(patterns=own(any=".+")))
    assert (draft.context, draft.parent, draft.kind) == (span.context, span.parent, span.kind)
    assert (draft.start_time, draft.end_time) == (span.start_time, span.end_time)
    assert draft.links[0].context is span.links[0].context


def test_allow_is_about_spans_events_and_links() -> None:
    values = {"kept.a": 1, "other": ADDRESS}
    span = make_span(
        attributes=values,
        events=[("e", values)],
        links=[values],
        resource=Resource(values),
        scope_attributes=values,
    )
    draft = Draft(span)
    assert redact(draft, RedactionSettings(allow=("kept.*",))) == 3
    for part in (draft.attributes, draft.events[0].attributes, draft.links[0].attributes):
        assert without_notes(part) == {"kept.a": 1}
    assert dict(draft.resource)["other"] == ADDRESS
    assert dict(draft.scope.attributes)["other"] == ADDRESS


def test_an_empty_allow_list_leaves_nothing() -> None:
    assert redacted(RedactionSettings(allow=()), a=1, b="x") == {}


@needs_any_value
def test_two_keys_that_held_a_secret_stay_two() -> None:
    made = redacted(
        RedactionSettings(detect=("email",)),
        **{"a@b.com": 1, "c@d.com": 2, "m": {"a@b.com": 3, "c@d.com": 4}},
    )
    assert made == {"m": {"[email]": 3, "[email] 2": 4}, "[email]": 1, "[email] 2": 2}


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0, -4111111111111111])
def test_a_card_is_found_as_a_number_too(number: float) -> None:
    made = redacted(RedactionSettings(detect=("credit_card",)), card=number, all=[1, number], tokens=12345)
    assert "4111" not in repr(made)
    assert made["tokens"] == 12345


@needs_any_value
def test_small_numbers_are_looked_at_for_patterns_of_ones_own() -> None:
    settings = RedactionSettings(patterns=own(room="^10[0-9]$"))
    assert redacted(settings, a=104, b=204, c=[105, 1.5]) == {"a": "[room]", "b": 204, "c": ("[room]", 1.5)}


@needs_any_value
def test_a_name_that_gives_its_value_away_does_so_at_any_depth() -> None:
    settings = RedactionSettings(detect=("api_key",))
    made = redacted(settings, db__password="correcthorse", m={"password": "correcthorse"}, password=12345678)
    assert made == {"db.password": "[api_key]", "m": {"password": "[api_key]"}, "password": "[api_key]"}


def test_a_pattern_replaces_all_that_it_matches_whatever_groups_it_has() -> None:
    settings = RedactionSettings(patterns=own(id="(cust|user)-([0-9]+)", edge=r"\b(z)z"))
    assert redacted(settings, x="cust-12 and user-9, zz") == {"x": "[id] and [id], [edge]"}


# The note.


@needs_any_value
def test_the_span_says_what_was_taken_and_why_and_not_what_it_was() -> None:
    span = make_span(
        attributes={"user.alice": "SECRET", "note": f"{ADDRESS} {CARD}", "m": {ADDRESS: [CARD]}},
        events=[("gen_ai.choice", {"body": "SECRET"})],
    )
    settings = RedactionSettings(content="drop", drop=("user.*",), detect=("email", "credit_card"))
    draft = Draft(span)
    removed = redactor(settings).span(draft)
    expected = (
        "attributes.user.*: drop",
        "attributes.note: email",
        "attributes.note: credit_card",
        "attributes.m.[email]: email",
        "attributes.m.[email].0: credit_card",
        "events.0: content",
    )
    assert draft.attributes["ajolo_fanout.redacted"] == expected
    assert tuple(f"{one.path}: {one.reason}" for one in removed) == expected


def test_resource_and_scope_are_noted_on_themselves_and_spans_stay_shared() -> None:
    """Thousands of spans share a resource: none of them is a copy because of it."""
    span = make_span(resource=Resource({"host.ip": ["192.0.2.17"]}), scope=f"scope {ADDRESS}")
    shaper = Shaper(Shape(redaction=RedactionSettings(detect=("ip", "email"))))
    shaped, again = shaper(span), shaper(span)
    assert not shaped.draft.changed
    assert shaped.draft.resource["ajolo_fanout.redacted"] == ("resource.attributes.host.ip.0: ip",)
    assert shaped.draft.scope.attributes["ajolo_fanout.redacted"] == ("scope.name: email",)
    assert shaped.removed == (Removal("resource.attributes.host.ip.0", "ip"), Removal("scope.name", "email"))
    assert again.removed == shaped.removed
    assert again.draft.sdk_resource() is shaped.draft.sdk_resource(), "done once"


def test_a_note_has_an_end() -> None:
    draft = Draft(make_span(attributes={"x": [ADDRESS] * 500, "y" * 5000: ADDRESS}))
    assert redact(draft, RedactionSettings(detect=("email",))) == 501
    note: Any = draft.attributes["ajolo_fanout.redacted"]
    assert len(note) == 32
    assert note[-1] == "and 470 more"
    assert max(map(len, note)) <= 200


def test_a_long_line_of_the_note_keeps_its_reason() -> None:
    draft = Draft(make_span(attributes={"y" * 5000: ADDRESS}))
    redact(draft, RedactionSettings(detect=("email",)))
    note: Any = draft.attributes["ajolo_fanout.redacted"]
    assert note[0].startswith("attributes.yyyy")
    assert note[0].endswith("…: email")


def test_what_goes_as_a_whole_takes_its_name_along() -> None:
    """A name may say more than its value: the note has the rule's glob instead."""
    names = ["user.alice", "langfuse.trace.metadata.alice", "llm.prompts.3.alice", "other.alice"]
    span = make_span(attributes={**dict.fromkeys(names, 1), "kept": 1})
    draft = Draft(span)
    redact(draft, RedactionSettings(content="drop", drop=("user.*",), allow=("kept",)))
    assert "alice" not in repr(snapshot(draft))
    assert draft.attributes["ajolo_fanout.redacted"] == (
        "attributes.user.*: drop",
        "attributes.langfuse.trace.metadata.*: content",
        "attributes.llm.prompts.#.*: content",
        "attributes.*: allow",
    )


# Shapes.


@pytest.mark.parametrize(
    "settings",
    [RedactionSettings(), RedactionSettings(hash_key=KEY, except_=("x",)), RedactionSettings(patterns={})],
)
def test_with_nothing_to_do_no_draft_is_needed(settings: RedactionSettings) -> None:
    assert settings.idle
    assert Shaper(Shape(redaction=settings)).passive


def test_backends_share_a_shape_only_with_the_same_key_and_patterns() -> None:
    def shape(key: str, pattern: str) -> Shape:
        settings = RedactionSettings(hash=("x",), hash_key=Secret(key), patterns=own(p=pattern))
        return Shape(redaction=settings)

    assert shape("a", "x+") == shape("a", "x+")
    assert hash(shape("a", "x+")) == hash(shape("a", "x+"))
    assert shape("a", "x+") != shape("b", "x+")
    assert shape("a", "x+") != shape("a", "y+")


def test_redaction_comes_after_every_processor() -> None:
    adds = SetSettings(attributes={"late": ADDRESS}, resource={"late": ADDRESS})
    shape = Shape(processors=(adds,), redaction=RedactionSettings(detect=("email",)))
    draft = Shaper(shape)(make_span()).draft
    assert draft.attributes["late"] == draft.resource["late"] == "[email]"


# Patterns of one's own.


@pytest.mark.parametrize(
    "text", ["", "x*", r"\b", "^", "$", "(?m)^", r"\B", "a|", r"\b|zz", "(x?)", "[^\ud800]"]
)
def test_a_pattern_that_finds_nothing_at_all_is_refused(text: str) -> None:
    """An empty match hides what stands behind it; half a character can't be compared with anything."""
    with pytest.raises(ValueError, match=r"empty text|surrogate"):
        Expression.parse(text)


@pytest.mark.parametrize(
    "text", ["(marked", "(?=marked)", r"(marked)\1", "marked{2000}", "[z-a]marked", r"\p{Ma}"]
)
def test_a_pattern_that_re2_can_t_take_is_refused_without_being_repeated(
    text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="RE2 can't take this pattern") as caught:
        Expression.parse(text)
    assert "marked" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "RE2 logs nothing of its own"


@pytest.mark.parametrize("text", ["a", "(?i)a+", r"^\d{3}$", "é+", r"\bx\b", r"(a)(b)|c", "(?s).+"])
def test_other_patterns_are_taken_as_they_are(text: str) -> None:
    made = Expression.parse(text)
    assert made == text
    redactor(RedactionSettings(patterns={"p": made}))


# What is remembered.


def test_a_text_that_is_clean_under_one_name_is_looked_at_again_under_another() -> None:
    made = redactor(RedactionSettings(detect=("api_key",)))
    draft = Draft(make_span(attributes={"comment": "correcthorse", "password": "correcthorse"}))
    for _ in range(2):
        made.span(draft)
    assert without_notes(draft.attributes) == {"comment": "correcthorse", "password": "[api_key]"}


def test_texts_are_remembered_within_a_bound() -> None:
    texts = Texts(RedactionSettings(detect=("email",)))
    for number in range(10_000):
        assert texts.value(f"text {number}", "x", "p", []) == f"text {number}"
    assert len(texts._clean) <= 4096


def test_only_who_looks_into_texts_pays_for_re2() -> None:
    """A program without a detector or a pattern never loads it."""
    program = (
        "import sys, ajolo_fanout\n"
        "from ajolo_fanout.steps.redaction import RedactionSettings, redactor\n"
        "redactor(RedactionSettings(content='drop', drop=('a*',)))\n"
        "assert 're2' not in sys.modules\n"
        "redactor(RedactionSettings(detect=('email',)))\n"
        "assert 're2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
