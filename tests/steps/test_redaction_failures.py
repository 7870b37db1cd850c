"""Redaction fails closed: what a rule can't look at doesn't leave, is counted, and the span goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from tests.steps.spans import SAMPLED, make_span

from ajolo_fanout.otlp.encode import encode_span
from ajolo_fanout.otlp.wire import Tally
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.redaction import RedactionSettings, redactor
from ajolo_fanout.steps.redaction.detectors import DETECTORS
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.steps.shape import Shape, Shaper
from ajolo_fanout.values import Secret

FAILED = "[redaction failed]"
SECRET = "alice@example.com"
EVERYTHING = RedactionSettings(detect=tuple(DETECTORS))
HASHING = RedactionSettings(hash=("x", "user.*"), hash_key=Secret("0123456789abcdef"))


class Refuses:
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


class RefusingMap(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise KeyError(SECRET)

    def __iter__(self) -> Iterator[str]:
        raise ValueError(SECRET)

    def __len__(self) -> int:
        return 1


class RefusingArray(Sequence[Any]):
    def __getitem__(self, index: Any) -> Any:
        raise MemoryError(SECRET)

    def __len__(self) -> int:
        return 3


class RefusingNumber(int):
    def __lt__(self, other: Any) -> bool:
        raise OSError(SECRET)

    __gt__ = __lt__


class RefusingKey(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise LookupError(SECRET)


class Shifty:
    """Shows something else each time: clean when it is looked at, and the secret when it is sent."""

    def __init__(self) -> None:
        self.shown = 0

    def __str__(self) -> str:
        self.shown += 1
        return "clean" if self.shown == 1 else SECRET


class ShiftyMap(dict[str, Any]):
    """The same, as a map."""

    looked = 0

    def items(self) -> Any:
        self.looked += 1
        return [("k", "clean")] if self.looked == 1 else [("k", SECRET)]


class ShiftyText(str):
    """A text that encodes to something else than it is."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return SECRET.encode(encoding, errors)

    def __str__(self) -> str:
        return SECRET


def cyclic() -> list[Any]:
    made: list[Any] = ["x"]
    made += [made, made]
    return made


def deep(levels: int) -> Any:
    made: Any = SECRET
    for _ in range(levels):
        made = [made]
    return made


def wide() -> Any:
    """Forty arrays that hold the next one twice: a billion of billions when one walks through them."""
    made: Any = [SECRET]
    for _ in range(40):
        made = [made, made]
    return made


HOSTILE: dict[str, Any] = {
    "an object that can't be shown": Refuses(),
    "a map that can't be walked": RefusingMap(),
    "an array that can't be walked": RefusingArray(),
    "a number that can't be compared": RefusingNumber(4111111111111111),
    "an integer of too many digits": 10**5000,
    "an array that holds itself": cyclic(),
    "a map in a map that can't be walked": {"a": {"b": RefusingMap()}},
    "a deep array": deep(100),
    "a very deep array": deep(900),
    "a wide array": wide(),
    "a key that can't be shown": {Refuses(): SECRET},
    "a key that is too much of a text": {RefusingKey("k"): Refuses()},
}


def by_hand(**attributes: Any) -> ReadableSpan:
    """A span whose attributes the SDK never looked at."""
    return ReadableSpan("s", context=make_span().context, attributes=attributes)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("settings", [EVERYTHING, HASHING], ids=["detect", "hash"])
def test_what_can_t_be_looked_at_is_replaced_and_counted(kind: str, settings: RedactionSettings) -> None:
    span = by_hand(before="kept", x=HOSTILE[kind], after="kept")
    shaped = Shaper(Shape(redaction=settings))(span)
    draft = shaped.draft
    left = draft.attributes["x"]
    if settings is HASHING and not isinstance(left, str):
        pytest.fail("what is hashed is a text")
    if left != FAILED:  # what could be looked at after all is redacted like anything else
        assert settings is HASHING
        assert len(str(left)) == 64
    else:
        assert ("attributes.x", "failed") in shaped.removed
        assert "attributes.x: failed" in draft.attributes["ajolo_fanout.redacted"]  # type: ignore[operator]
    assert draft.attributes["before"] == draft.attributes["after"] == "kept"
    encoded = encode_span(draft, Tally())
    assert SECRET.encode() not in encoded
    assert b"kept" in encoded


def test_every_hostile_value_fails_when_it_is_looked_into() -> None:
    """Otherwise the test above would prove nothing."""
    made = redactor(EVERYTHING)
    for kind, value in HOSTILE.items():
        draft = Draft(by_hand(x=value))
        made.span(draft)
        assert draft.attributes["x"] == FAILED, kind


@pytest.mark.parametrize(
    "value", [Shifty(), {"k": Shifty()}, [Shifty()], ShiftyMap(k=1), ShiftyText("clean")]
)
def test_what_is_sent_is_what_was_looked_at(value: Any) -> None:
    draft = Draft(by_hand(x=value))
    redactor(EVERYTHING).span(draft)
    encoded = encode_span(draft, Tally())
    assert b"clean" in encoded
    assert SECRET.encode() not in encoded


@pytest.mark.parametrize("name", [3, None, b"x", ("x",), frozenset("x")])
@pytest.mark.parametrize("settings", [EVERYTHING, HASHING, RedactionSettings(drop=("y",))])
def test_an_attribute_whose_name_is_no_text_goes(name: Any, settings: RedactionSettings) -> None:
    draft = Draft(ReadableSpan("s", attributes={name: SECRET, "kept": 1}))  # type: ignore[dict-item]
    removed = redactor(settings).span(draft)
    assert [tuple(one) for one in removed] == [("attributes.[redaction failed]", "failed")]
    assert draft.attributes["kept"] == 1
    assert SECRET not in repr(draft.attributes)


def test_an_attribute_without_a_name_that_has_to_change_goes() -> None:
    draft = Draft(ReadableSpan("s", attributes={"": SECRET, "kept": 1}))
    removed = redactor(EVERYTHING).span(draft)
    assert [one.reason for one in removed] == ["email", "failed"]
    assert "" not in draft.attributes


def test_a_name_of_a_class_of_its_own_is_read_as_the_text_that_it_is() -> None:
    draft = Draft(ReadableSpan("s", attributes={RefusingKey("user.x"): SECRET, RefusingKey(SECRET): 1}))
    removed = redactor(RedactionSettings(drop=("user.*",), detect=("email",))).span(draft)
    assert [tuple(one) for one in removed] == [("attributes.user.*", "drop"), ("attributes.[email]", "email")]
    assert draft.attributes["[email]"] == 1


def test_a_pattern_that_fails_while_it_runs_fails_closed() -> None:
    r"""`\C` matches a single byte, so that what it finds may be no text."""
    made = redactor(RedactionSettings(patterns={"byte": Expression.parse(r"\C")}))
    draft = Draft(make_span("é", {"1": "é"}, events=[("é", {"1": ["é"]})], scope="é"))
    removed = made.span(draft) + made.scope(draft.scope)
    assert draft.name == draft.events[0].name == draft.scope.name == FAILED
    assert draft.attributes["[byte]"] == draft.events[0].attributes["[byte]"] == FAILED
    assert {one.reason for one in removed} == {"failed", "byte"}
    draft = Draft(make_span(attributes={"é": 1, "kept": 1}))
    assert ("attributes.[redaction failed]", "failed") in made.span(draft)
    assert "é" not in draft.attributes, "a name that can't be judged takes its attribute along"


def test_names_and_descriptions_that_are_no_texts_fail_closed() -> None:
    event = Event("e", attributes={"x": 1})
    event._name = Refuses()  # type: ignore[assignment]  # an SDK event has no public way to hold this
    span = ReadableSpan(Refuses(), attributes={}, events=[event])  # type: ignore[arg-type]
    draft = Draft(span)
    removed = redactor(EVERYTHING).span(draft)
    assert [tuple(one) for one in removed] == [("name", "failed"), ("events.0.name", "failed")]
    assert draft.name == draft.events[0].name == FAILED


def test_hashing_without_a_key_fails_closed() -> None:
    """The plan refuses such a file; whoever builds settings by hand is no worse off."""
    for key in (None, Secret("")):
        made = redactor(RedactionSettings(content="hash", hash=("x",), hash_key=key))
        draft = Draft(make_span(attributes={"x": SECRET, "gen_ai.prompt": SECRET}))
        removed = made.span(draft)
        assert [one.reason for one in removed] == ["failed", "failed"]
        assert draft.attributes["x"] == draft.attributes["gen_ai.prompt"] == FAILED


def test_an_unknown_detector_is_never_taken_for_none() -> None:
    with pytest.raises(KeyError):
        Shaper(Shape(redaction=RedactionSettings(detect=("emial",))))


def test_a_read_only_map_and_bytes_are_looked_into() -> None:
    value = MappingProxyType({"k": SECRET.encode(), "raw": b"\xff " + SECRET.encode()})
    draft = Draft(by_hand(x=value, context=SAMPLED))
    redactor(EVERYTHING).span(draft)
    assert dict(draft.attributes["x"]) == {"k": b"[email]", "raw": b"\xff [email]"}  # type: ignore[arg-type]
