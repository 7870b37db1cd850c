"""The pipeline's one pure function: decide, then process, redact and limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from opentelemetry.sdk.resources import Resource
from tests.steps.spans import RESOURCE, make_span, snapshot, spans, without_notes

from ajolo_fanout.steps.limits import LimitsSettings
from ajolo_fanout.steps.pipeline import Shape, Steps, decide, decider, run, shape_span, shaper
from ajolo_fanout.steps.processors import PROCESSORS
from ajolo_fanout.steps.processors.set import SetSettings
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.values import BUILT_IN, Origin

FULL = Shape(
    processors=(
        SetSettings({"team": "agents", "gen_ai.prompt": "SECRET"}, {"region": "eu", "secret.key": "SECRET"}),
    ),
    redaction=RedactionSettings(content="drop", drop=("secret.*",)),
    limits=LimitsSettings(attribute_value_length_limit=3),
    resource={"fixed": True, "service.version": "2"},
)


@given(spans())
def test_a_shape_never_changes_the_span_and_gives_the_same_twice(span: Any) -> None:
    before = snapshot(span)
    first, second = shape_span(span, FULL), shape_span(span, FULL)
    assert snapshot(first.draft) == snapshot(second.draft)
    assert first.removed == second.removed
    assert snapshot(span) == before
    assert "SECRET" not in repr(snapshot(first.draft))
    assert first.draft.resource["fixed"] is True
    assert first.draft.resource["service.version"] == "2"
    assert first.draft.resource["region"] == "eu"
    assert "secret.key" not in first.draft.resource
    assert first.draft.attributes["team"] == "age", "limits come after redaction, redaction after processors"


@given(spans())
def test_a_span_that_nothing_touches_is_passed_on_without_a_copy(span: Any) -> None:
    for shape in (Shape(), Shape(redaction=RedactionSettings(drop=("no such name \0 at all",)))):
        shaped = shape_span(span, shape)
        assert shaped.draft.readable() is span
        assert not shaped.draft.changed
        assert shaped.redacted == 0


def test_equal_work_on_a_resource_is_done_once() -> None:
    one, two = make_span(), make_span("another")
    first, second = shape_span(one, FULL).draft, shape_span(two, FULL).draft
    assert first.sdk_resource() is second.sdk_resource()
    assert first.instrumentation_scope is one.instrumentation_scope


def test_redaction_of_a_shared_resource_and_scope_counts_for_each_span() -> None:
    shape = Shape(redaction=RedactionSettings(drop=("secret.*",)))
    for _ in range(3):
        shaped = shape_span(make_span(scope_attributes={"secret.a": 1, "b": 2}), shape)
        assert shaped.redacted == 2
        assert "secret.key" not in shaped.draft.resource
        assert shaped.draft.instrumentation_scope is not None
        assert without_notes(shaped.draft.instrumentation_scope.attributes) == {"b": 2}
        assert not shaped.draft.changed, "its own bytes can still be shared"


def test_a_resource_that_has_the_fixed_attributes_already_stays_the_same_object() -> None:
    shape = Shape(resource={"service.name": "agent"})
    assert shape_span(make_span(), shape).draft.sdk_resource() is RESOURCE


def test_the_memory_of_resources_is_bounded() -> None:
    made = shaper(FULL)
    for number in range(600):
        draft = made(make_span(resource=Resource({"n": number}))).draft
        assert draft.resource["n"] == number
    assert max(len(made._laid), len(made._resources), len(made._scopes)) <= 256


def test_what_a_span_sets_on_its_resource_is_its_own() -> None:
    class Numbered:
        """A processor that says something else for each span."""

        def __init__(self) -> None:
            self.number = 0

        def compile(self) -> Any:
            return self.change

        def change(self, draft: Any) -> None:
            self.number += 1
            draft.resource["n"] = self.number if self.number > 1 else True

    shape = Shape(processors=(Numbered(),))
    seen = [shape_span(make_span(), shape).draft.resource["n"] for _ in range(3)]
    assert seen == [True, 2, 3]
    assert seen[0] is True


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        (Shape(), Shape(), True),
        (Shape(processors=(SetSettings({"a": 1}),)), Shape(processors=(SetSettings({"a": 1}),)), True),
        (Shape(processors=(SetSettings({"a": 1}),)), Shape(processors=(SetSettings({"a": True}),)), False),
        (Shape(processors=(SetSettings({"a": [1]}),)), Shape(processors=(SetSettings({"a": [1.0]}),)), False),
        (Shape(resource={"a": 0.0}), Shape(resource={"a": -0.0}), False),
        (Shape(resource={"a": 1, "b": 2}), Shape(resource={"b": 2, "a": 1}), True),
        (Shape(redaction=RedactionSettings(drop=("a",))), Shape(), False),
        (Shape(limits=LimitsSettings(1)), Shape(limits=LimitsSettings(None, 1)), False),
    ],
)
def test_shapes_are_equal_only_where_their_bytes_are(one: Shape, two: Shape, equal: bool) -> None:
    assert (one == two) is equal
    assert (hash(one) == hash(two)) or not equal
    assert one != 3


def test_a_decision_names_the_line_that_decided() -> None:
    line = Origin("file", "tracing.toml", 7)
    steps = Steps(SamplingSettings(ratio=0), origins={"sampling.ratio": line})
    result = run(make_span(), steps)
    assert (result.fate, result.origin, result.draft, result.redacted) == ("sampled_out", line, None, 0)
    assert decide(make_span(), Steps(SamplingSettings(ratio=0))).origin is BUILT_IN
    sent = run(make_span(attributes={"gen_ai.prompt": "x"}), Steps(shape=FULL))
    assert sent.fate == "sent"
    assert sent.draft is not None
    assert sent.redacted == 2


def test_a_backend_that_takes_everything_asks_nothing() -> None:
    assert decider(Steps(SamplingSettings(ratio=1.0, parent="ignore"))) is None


def test_every_registered_processor_compiles() -> None:
    for settings in PROCESSORS.values():
        assert callable(settings.compile)


def test_set_replaces_what_is_there_and_says_when_nothing_changed() -> None:
    span = make_span(attributes={"a": 1, "b": 2})
    shaped = shape_span(span, Shape(processors=(SetSettings({"a": 5, "c": ["x"]}),)))
    assert dict(shaped.draft.attributes) == {"a": 5, "b": 2, "c": ("x",)}
    assert not shape_span(span, Shape(processors=(SetSettings({"a": 1}),))).draft.changed
