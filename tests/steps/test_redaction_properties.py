"""Of a secret that redaction was told of nothing arrives.

Wherever it stands, however it is escaped, however long what is left may be: 2,000 cases, and 100,000 in the
long mode.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status, StatusCode
from tests.conftest import LONG
from tests.installed import ANY_VALUE
from tests.steps.spans import attributes, make_span, snapshot, spans

from ajolo_fanout.otlp.encode import encode_resource, encode_scope, encode_span
from ajolo_fanout.otlp.wire import Tally
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.limits import LimitsSettings
from ajolo_fanout.steps.processors import (
    DeleteSettings,
    DialectSettings,
    DropEventsSettings,
    MediaSettings,
    RenameSettings,
    SplitJsonSettings,
)
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.redaction.detectors import DETECTORS
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.steps.shape import Shape, Shaper
from ajolo_fanout.values import Secret, Size

CASES = 100_000 if LONG else 2_000

# A marked secret is of letters that stand nowhere else: one of them in what arrives is a piece of it. The last
# one needs a surrogate pair where JSON escapes it.
MARK = "ZQXJ\U0001d4b5"
MARKED = RedactionSettings(
    patterns={"marked": Expression.parse(f"MARK[{MARK}]{{8}}")}, detect=tuple(DETECTORS)
)
ARRIVED = re.compile(f"MARK|[{MARK}]")
secrets = st.text(MARK, min_size=8, max_size=8).map("MARK".__add__)
fillers = st.text("ab01 \"\\/{}[]:,'<=.@\n\t\x00é€😀\ud800", max_size=8)

_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')


def escaped(text: str, dice: random.Random) -> str:
    """`text` as the inside of a JSON string, each character in one of the ways that JSON allows."""
    made = []
    for character in text:
        ways = [json.dumps(character)[1:-1]]
        if character >= " " and character not in '"\\' and not "\ud800" <= character <= "\udfff":
            ways.append(character)
        if character == "/":
            ways.append("\\/")
        if ord(character) < 0x10000:
            code = f"{ord(character):04x}"
            ways += [f"\\u{code}", f"\\u{code.upper()}"]
        else:
            ways.append(ways[0].upper().replace("U", "u"))
        made.append(dice.choice(ways))
    return "".join(made)


def encoded(text: str, levels: int, dice: random.Random) -> str:
    """`text` in JSON in JSON, so many times; now and then as a log would quote it, or cut behind it."""
    for _ in range(levels):
        inside = escaped(text, dice)
        text = dice.choice(
            [
                f'"{inside}"',
                f'["{inside}", 1]',
                f' {{"role": "user", "content": "{inside}"}}',
                f'{{"{inside}": [null, 1.5e3]}}',
                f'{{"a": "b", "c": [{{"d": "{inside}"',
                f'failed with {{"content": "{inside}"}} at 12',
                f'{inside}"}}]',
            ]
        )
    return text


def placed(text: str, place: str) -> dict[str, Any]:
    """What a span is made of that has `text` in one place."""
    inside: dict[str, Any] = {
        "a value": {"x": text},
        "a key": {text: "x"},
        "an array": {"x": ["a", text, "b"]},
        "a map's value": {"x": {"y": {"z": text}}},
        "a map's key": {"x": {"y": {text: 1}}},
        "a map in an array": {"x": [{"y": [text]}]},
        "bytes": {"x": text.encode("utf-8", "surrogatepass")},
        "content that is kept": {"gen_ai.input.messages": text},
    }
    part, _, where = place.partition(": ")
    if where:
        one = inside[where]
        return {
            "attributes": {"attributes": one},
            "event": {"events": [("e", {}), ("exception", one)]},
            "link": {"links": [one]},
            "resource": {"resource": Resource(one)},
            "scope": {"scope_attributes": one},
        }[part]
    return {
        "name": {"name": text},
        "status": {"status": Status(StatusCode.ERROR, text)},
        "exception.message": {"events": [("exception", {"exception.type": "E", part: text})]},
        "exception.stacktrace": {"events": [("exception", {"exception.type": "E", part: text})]},
        "event's name": {"events": [(text, {})]},
        "scope's name": {"scope": text},
        "scope's version": {"version": text},
    }[part]


WHERE = ["a value", "a key", "an array", "content that is kept"]
if ANY_VALUE:
    WHERE += ["a map's value", "a map's key", "a map in an array", "bytes"]
PLACES = [
    "name", "status", "event's name", "scope's name", "scope's version", "exception.message", "exception.stacktrace",
    *[f"{part}: {where}" for part in ("attributes", "event", "link", "resource", "scope") for where in WHERE],
]  # fmt: skip


def texts(value: Any) -> Iterator[str]:
    """Every text within a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "surrogateescape")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts(inner)


def unescaped(text: str) -> Iterator[str]:
    """`text`, and what it says with its escapes decoded, as often as there are any."""
    for _ in range(8):
        yield text
        decoded = _joined(_ESCAPE.sub(_character, text))
        if decoded == text:
            return
        text = decoded


def _joined(text: str) -> str:
    """`text` with each two halves of a surrogate pair as the character that they are."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _character(found: re.Match[str]) -> str:
    code, sign = found.groups()
    return (
        chr(int(code, 16))
        if code
        else {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(sign, sign)
    )


def leaving(draft: Draft) -> list[str]:
    """Every text of a draft, its notes included."""
    scope = draft.scope
    events = [(event.name, event.attributes.copy()) for event in draft.events]
    links = [link.attributes.copy() for link in draft.links]
    everything = [draft.name, draft.status_description, draft.attributes.copy(), events, links]
    return list(
        texts([*everything, draft.resource.copy(), scope.name, scope.version, scope.attributes.copy()])
    )


def wire(draft: Draft) -> bytes:
    tally = Tally()
    resource = encode_resource(draft.sdk_resource().attributes, tally)
    return encode_span(draft, tally) + resource + encode_scope(draft.instrumentation_scope, tally)


@pytest.mark.timeout(7200 if LONG else 120)
@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
@given(
    secret=secrets,
    around=st.tuples(fillers, fillers),
    levels=st.integers(0, 3),
    seed=st.integers(0, 2**32),
    place=st.sampled_from(PLACES),
    length=st.none() | st.integers(0, 120),
    size=st.none() | st.integers(0, 120),
)
def test_of_a_marked_secret_nothing_arrives(
    secret: str,
    around: tuple[str, str],
    levels: int,
    seed: int,
    place: str,
    length: int | None,
    size: int | None,
) -> None:
    dice = random.Random(seed)
    text = encoded(f"{around[0]}{secret}{around[1]}", levels, dice)
    span = make_span(**{"resource": Resource({}), **placed(text, place)})
    before = snapshot(span)
    limits = LimitsSettings(
        attribute_value_length_limit=length, attribute_value_size_limit=None if size is None else Size(size)
    )
    shaped = Shaper(Shape(redaction=MARKED, limits=limits))(span)
    for said in leaving(shaped.draft):
        for form in unescaped(said):
            assert not ARRIVED.search(form), (text, form)
    assert not re.search(rb"MARK|[ZQXJ]{6}|\xf0\x9d\x92\xb5", wire(shaped.draft))
    assert shaped.redacted, "or the secret never was there"
    assert snapshot(span) == before, "the span itself is everybody's"


def test_the_cases_have_every_escape_and_every_depth() -> None:
    """Or the property would prove less than it says: letters, pairs of surrogates, JSON in JSON in JSON."""
    made = {
        levels: "\n".join(encoded(f"MARK{MARK}", levels, random.Random(seed)) for seed in range(200))
        for levels in range(4)
    }
    for form in ("\\u004d", "\\u004D", "M", "\\ud835\\udcb5", "\U0001d4b5"):
        assert all(form in made[levels] for levels in (1, 2, 3)), form
    for levels, quote in ((1, '"'), (2, '\\"'), (3, '\\\\\\"')):
        assert quote in made[levels]
    for start in ('["', ' {"role"', "failed with {", '{"a": "b", "c": [{"d": "'):
        assert any(line.startswith(start) for line in made[3].split("\n"))
    assert made[0].startswith(f"MARK{MARK}")


REAL = [
    ("credit_card", "4111 1111 1111 1111"),
    ("credit_card", "5500005555555559"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("email", "alice@example.com"),
    ("us_ssn", "219-09-9999"),
    ("api_key", "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
]


@pytest.mark.timeout(7200 if LONG else 120)
@settings(max_examples=CASES // 10, suppress_health_check=list(HealthCheck))
@given(
    case=st.sampled_from(REAL),
    levels=st.integers(0, 3),
    seed=st.integers(0, 2**32),
    place=st.sampled_from(PLACES),
    length=st.integers(0, 200),
)
def test_nor_does_anything_that_is_built_in(
    case: tuple[str, str], levels: int, seed: int, place: str, length: int
) -> None:
    name, secret = case
    text = encoded(f" {secret} ", levels, random.Random(seed))
    limits = LimitsSettings(attribute_value_length_limit=length)
    shaped = Shaper(Shape(redaction=MARKED, limits=limits))(make_span(**placed(text, place)))
    for said in leaving(shaped.draft):
        for form in unescaped(said):
            assert secret not in form
    assert name in {one.reason for one in shaped.removed} or "api_key" in {
        one.reason for one in shaped.removed
    }


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("unit", ["length", "size"])
def test_no_limit_leaves_half_a_secret(levels: int, unit: str) -> None:
    """Every single offset, from nothing to all of it: redaction comes first."""
    text = encoded("né MARKZQXJ\U0001d4b5ZQX é, MARKJJJJJJJJ", levels, random.Random(7))
    for at in range(len(text.encode()) + 2):
        limits = (
            LimitsSettings(attribute_value_length_limit=at)
            if unit == "length"
            else LimitsSettings(attribute_value_size_limit=Size(at))
        )
        draft = Shaper(Shape(redaction=MARKED, limits=limits))(make_span(attributes={"x": text})).draft
        assert not any(ARRIVED.search(form) for said in leaving(draft) for form in unescaped(said))


RULES = [
    RedactionSettings(content="drop"),
    RedactionSettings(content="hash", hash_key=Secret("k" * 16)),
    RedactionSettings(detect=tuple(DETECTORS), mask_ip=True),
    RedactionSettings(drop=("a*",), mask=("b*",), hash=("c*",), hash_key=Secret("k" * 16)),
    RedactionSettings(allow=("*",), patterns={"never": Expression.parse("MARK[ZQXJ]{9}")}),
]
WIDE = LimitsSettings(
    attribute_count_limit=9, event_count_limit=9, link_count_limit=9, attribute_value_length_limit=999
)
IDLE = (  # processors that find nothing to do on these spans
    DeleteSettings(("never.*",)),
    RenameSettings({"never": "x"}),
    DropEventsSettings(("never",)),
    SplitJsonSettings("never"),
    MediaSettings(),
    DialectSettings("openinference", "leaf"),
)
SHAPERS = [Shaper(Shape(redaction=one)) for one in RULES]
SHAPERS += [Shaper(Shape(limits=WIDE)), Shaper(Shape(processors=IDLE)), Shaper(Shape(IDLE, RULES[2], WIDE))]


@given(spans(), st.sampled_from(SHAPERS))
def test_a_span_that_no_rule_touches_is_passed_on_without_a_copy(span: ReadableSpan, shaper: Shaper) -> None:
    shaped = shaper(span)
    assert shaped.draft.changed <= bool(shaped.removed), "nothing is changed without being counted"
    if not shaped.removed:
        assert shaped.draft.readable() is span
        assert snapshot(shaped.draft) == snapshot(span)


@given(spans(), st.sampled_from(SHAPERS))
def test_the_source_never_changes(span: ReadableSpan, shaper: Shaper) -> None:
    before, readable = snapshot(span), span.attributes
    shaper(span)
    assert snapshot(span) == before
    assert span.attributes == readable


@given(attributes)
def test_what_is_counted_is_noted(values: dict[str, Any]) -> None:
    shaped = SHAPERS[3](make_span(attributes=values, scope="s"))
    own = [one for one in shaped.removed if one.path.startswith("attributes.")]
    assert bool(own) == ("ajolo_fanout.redacted" in shaped.draft.attributes)
    assert {one.reason for one in own} <= {"drop", "mask", "hash"}
