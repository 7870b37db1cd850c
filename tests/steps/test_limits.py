"""Limits: the newest beyond the count go, strings are cut between characters, and the counts say so."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from tests.installed import needs_any_value
from tests.steps.spans import make_span, snapshot, spans, values, without_notes

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.json_cut import cut_json
from ajolo_fanout.steps.limits import LimitsSettings, apply_limits, cut
from ajolo_fanout.steps.shape import Shape, Shaper
from ajolo_fanout.values import Size

bounds = st.none() | st.integers(0, 5)


@given(spans(), bounds, bounds, bounds, bounds)
def test_nothing_goes_beyond_a_limit_and_what_went_is_counted(
    span: Any, attributes: int | None, events: int | None, links: int | None, length: int | None
) -> None:
    settings = LimitsSettings(attributes, events, links, length)
    draft = Draft(span)
    apply_limits(draft, settings)
    once = snapshot(draft)
    apply_limits(draft, settings)
    assert snapshot(draft) == once, "what is within stays"
    kept = without_notes(draft.attributes)
    assert len(kept) + draft.dropped_attributes == len(span.attributes)
    assert len(draft.events) + draft.dropped_events == len(span.events)
    assert len(draft.links) + draft.dropped_links == len(span.links)
    assert attributes is None or len(draft.attributes) <= attributes, "the note counts, too"
    assert events is None or len(draft.events) <= events
    assert links is None or len(draft.links) <= links
    assert list(kept) == list(span.attributes)[: len(kept)], "the newest went"
    for event, was in zip(draft.events, span.events, strict=False):
        assert event.timestamp == was.timestamp
        assert len(event.attributes) + event.dropped_attributes == len(was.attributes)
    if length is not None:
        for value in [*draft.attributes.values(), *(v for e in draft.events for v in e.attributes.values())]:
            assert _longest(value) <= length
    if snapshot(draft) == snapshot(span):
        assert not draft.changed


def _longest(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, (list, tuple)):
        return max(map(_longest, value), default=0)
    if hasattr(value, "values"):
        return max(map(_longest, value.values()), default=0)
    return 0


@given(values, st.integers(0, 30))
def test_what_is_short_enough_is_the_very_same(value: Any, length: int) -> None:
    assert (cut(value, length) is value) == (_longest(value) <= length or value is cut(value, length))
    if _longest(value) <= length:
        assert cut(value, length) is value


@given(st.text(max_size=20).filter(lambda text: not set("{[") & set(text)), st.integers(0, 20))
def test_a_cut_is_a_prefix_of_whole_characters(text: str, length: int) -> None:
    kept = cut(text, length)
    assert text.startswith(kept)
    assert len(kept) == min(len(text), length)
    kept.encode()  # no half of a surrogate pair where there was a whole one


@needs_any_value
def test_strings_inside_arrays_and_maps_are_cut_too() -> None:
    draft = Draft(
        make_span(attributes={"a": ["long text", 1], "m": {"k": {"deep": "long text"}}, "n": 12345})
    )
    apply_limits(draft, LimitsSettings(attribute_value_length_limit=4))
    assert draft.attributes["a"] == ("long", 1)
    assert draft.attributes["m"] == {"k": {"deep": "long"}}
    assert draft.attributes["n"] == 12345


def test_no_limit_is_none() -> None:
    assert LimitsSettings().none
    assert not LimitsSettings(event_count_limit=0).none


def noted(draft: Draft) -> Any:
    return draft.attributes.get("ajolo_fanout.limited")


@needs_any_value
def test_the_span_says_what_was_cut() -> None:
    span = make_span(
        attributes={"short": "x", "long": "x" * 50, "m": {"deep": ["y" * 30, b"z" * 30]}},
        events=[("e", {"stack": "x" * 40}), ("f", {})],
        links=[{}, {}],
    )
    draft = Draft(span)
    apply_limits(
        draft, LimitsSettings(event_count_limit=1, link_count_limit=0, attribute_value_length_limit=25)
    )
    assert noted(draft) == tuple(
        line[:25]
        for line in (
            "events: 1 of 2 cut",
            "links: 2 of 2 cut",
            "attributes.long: 25 of 50 characters kept",
            "attributes.m.deep.0: 25 of 30 characters kept",
            "attributes.m.deep.1: 25 of 30 bytes kept",
            "events.0.attributes.stack: 25 of 40 characters kept",
        )
    )
    draft = Draft(span)
    apply_limits(draft, LimitsSettings(attribute_count_limit=2))
    assert noted(draft) == ("attributes: 1 of 3 cut: m",)
    assert without_notes(draft.attributes) == {"short": "x"}, "the note took the place of one more"
    assert draft.dropped_attributes == 2


def test_notes_of_redaction_outlive_the_newest_attributes() -> None:
    draft = Draft(make_span(attributes=dict.fromkeys("abcdef", 1)))
    draft.attributes["ajolo_fanout.redacted"] = ("attributes.x: drop",)
    apply_limits(draft, LimitsSettings(attribute_count_limit=4))
    assert list(draft.attributes) == ["a", "b", "ajolo_fanout.redacted", "ajolo_fanout.limited"]
    assert draft.dropped_attributes == 4


@pytest.mark.parametrize("limit", [0, 1])
def test_a_note_never_pushes_out_the_only_attribute(limit: int) -> None:
    draft = Draft(make_span(attributes={"a": 1, "b": 2}))
    apply_limits(draft, LimitsSettings(attribute_count_limit=limit))
    assert list(draft.attributes) == ["a"][:limit]


def test_resource_and_scope_are_left_whole_and_spans_within_are_shared() -> None:
    span = make_span(attributes={"a": "x" * 9}, resource=Resource({"r": "x" * 99}), scope="s" * 99)
    shaped = Shaper(Shape(limits=LimitsSettings(attribute_value_length_limit=9)))(span)
    assert shaped.draft.readable() is span


# Bytes.


@given(st.text(max_size=40), st.integers(0, 60))
def test_a_size_limit_counts_utf_8_and_cuts_between_characters(text: str, size: int) -> None:
    draft = Draft(make_span(attributes={"x": text, "y": [text]}))
    apply_limits(draft, LimitsSettings(attribute_value_size_limit=Size(size)))
    for kept in (draft.attributes["x"], draft.attributes["y"][0]):  # type: ignore[index]
        raw = str(kept).encode()
        assert len(raw) <= size or kept == text == ""
        if len(text.encode()) <= size:
            assert kept == text
        elif text.lstrip()[:1] not in ("{", "["):
            assert text.startswith(str(kept))
            longer = text[: len(str(kept)) + 1]
            assert len(longer.encode()) > size, "no shorter than it has to be"


def test_of_both_limits_the_shorter_one_counts() -> None:
    def kept(text: str, length: int, size: int) -> Any:
        settings = LimitsSettings(attribute_value_length_limit=length, attribute_value_size_limit=Size(size))
        draft = Draft(make_span(attributes={"x": text}))
        apply_limits(draft, settings)
        return draft.attributes["x"]

    assert kept("\u20ac\u20ac\u20ac\u20ac", 3, 100) == "\u20ac\u20ac\u20ac"
    assert kept("\u20ac\u20ac\u20ac\u20ac", 3, 8) == "\u20ac\u20ac"
    assert kept("aaaa", 3, 8) == "aaa"
    assert kept("\U0001f600\U0001f600", 5, 5) == "\U0001f600"


# What can't be measured.


def test_what_can_t_be_walked_is_left_to_the_encoder() -> None:
    endless: list[Any] = ["x" * 50]
    endless.append(endless)
    span = ReadableSpan("s", attributes={"endless": endless, "long": "x" * 50})
    draft = Draft(span)
    apply_limits(draft, LimitsSettings(attribute_value_length_limit=40))
    assert draft.attributes["long"] == "x" * 40
    assert noted(draft) == ("attributes.endless: not measured", "attributes.long: 40 of 50 characters kep")


# JSON.

json_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
json_values = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
json_texts = st.builds(
    json.dumps,
    st.lists(json_values, max_size=4) | st.dictionaries(st.text(max_size=6), json_values, max_size=4),
    ensure_ascii=st.booleans(),
    indent=st.sampled_from([None, 2]),
)


@given(json_texts, st.integers(2, 120))
def test_json_that_is_cut_is_json_still(text: str, length: int) -> None:
    kept = cut(text, length)
    assert len(kept) <= length
    assert _within(json.loads(kept), json.loads(text))
    kept.encode()
    if len(text) <= length:
        assert kept is text


def _within(kept: Any, whole: Any) -> bool:
    """Whether `kept` is the beginning of `whole`: fewer elements, shorter strings, and nothing else."""
    if isinstance(kept, str) and isinstance(whole, str):
        return kept == whole or whole.startswith(kept.removesuffix("..."))
    if isinstance(kept, list) and isinstance(whole, list):
        return len(kept) <= len(whole) and all(map(_within, kept, whole))
    if isinstance(kept, dict) and isinstance(whole, dict):
        return list(kept) == list(whole)[: len(kept)] and all(_within(kept[key], whole[key]) for key in kept)
    return bool(kept == whole) and type(kept) is type(whole)


@pytest.mark.parametrize(
    ("text", "length", "kept"),
    [
        ('{"role": "user", "content": "hello world"}', 38, '{"role": "user", "content": "hell..."}'),
        ('{"role": "user", "content": "hello world"}', 31, '{"role": "user", "content": ""}'),
        ('{"role": "user", "content": "hello world"}', 20, '{"role": "user"}'),
        ('{"role": "user"}', 8, "{}"),
        ("[1, 22, 333]", 8, "[1, 22]"),
        ("[1, 22, 333]", 7, "[1, 22]"),
        ("[1, 22, 333]", 6, "[1]"),
        ('["\\u00e9\\u00e9\\u00e9"]', 17, '["\\u00e9..."]'),
        ('["\\ud83d\\ude00\\ud83d\\ude00"]', 22, '["\\ud83d\\ude00..."]'),
        ('["a\\\\\\\\\\\\"]', 9, '["a..."]'),
        ("[[[[[[]]]]]]", 6, "[[[]]]"),
        ("[" * 50, 6, "[[[]]]"),
    ],
)
def test_a_cut_in_json(text: str, length: int, kept: str) -> None:
    assert cut(text, length) == kept


LOOKS_LIKE_JSON = [
    "[INFO] started the agent",
    "{name} is missing",
    "[1, 2,, 3, 4, 5]",
    '{"a" "b": 1, "c": 2}',
    "{'a': 'b', 'c': 1}",
    "[true, maybe, false]",
    '{"a": 1}} and what follows',
    "[01, 02, 03, 04]",
    '["a\tb", "c", "d"]',
    '["\\x41", "b", "c"]',
]


@pytest.mark.parametrize("text", LOOKS_LIKE_JSON)
def test_what_only_looks_like_json_is_cut_as_text(text: str) -> None:
    assert cut(text, 15) == text[:15]


@pytest.mark.parametrize("length", [0, 1])
def test_json_of_which_nothing_fits_is_cut_as_text_and_the_note_says_so(length: int) -> None:
    draft = Draft(make_span(attributes={"x": '{"a": 1}'}))
    apply_limits(draft, LimitsSettings(attribute_value_length_limit=length))
    assert draft.attributes["x"] == "{"[:length]
    assert noted(draft) == ("attributes.x: 0 of 8 characters kept"[:length],)


@pytest.mark.parametrize(
    "unit", ["[", '{"a":', '["', '\\"', "\\", '["\\\\', "[1,", '"a",', " ", "\\u00", "]", '["' + "\\" * 3]
)
def test_a_cut_takes_time_in_proportion_to_what_is_kept(unit: str) -> None:
    """Hostile text: what is eight times as long takes about eight times as long, not 64 times."""
    text = "[" + unit * (400_000 // len(unit))

    def seconds(length: int) -> float:
        started = time.thread_time()
        cut_json(text, length)
        return time.thread_time() - started

    seconds(1000)
    least = [math.inf, math.inf]
    for _ in range(30):  # other programs share the machine: the least of many rounds is what the cut takes
        least = [min(least[0], seconds(25_000)), min(least[1], seconds(200_000))]
        if least[1] < 30 * least[0]:
            return
    pytest.fail(f"{least[1] / least[0]:.0f} times as long for eight times as much")
