"""Envelopes: equal content is one object, other content never is, and memory has a bound."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ajolo_fanout.otlp import envelopes as room
from ajolo_fanout.otlp.encode import Tally
from ajolo_fanout.otlp.envelopes import Envelopes
from ajolo_fanout.otlp.rendition import Envelope
from ajolo_fanout.steps.draft import Draft

from . import strategies as our


def _of(envelopes: Envelopes, resource: Any, scope: Any = None, url: str | None = None) -> Envelope:
    return envelopes.get(resource, scope, Tally(), schema_url=url)


@given(our.resources, our.scopes)
def test_equal_resources_and_scopes_share_one_envelope(
    resource: Resource, scope: InstrumentationScope
) -> None:
    envelopes = Envelopes()
    first = _of(envelopes, resource, scope)
    again = InstrumentationScope(scope.name, scope.version, scope.schema_url, dict(scope.attributes or {}))
    assert _of(envelopes, resource, scope) is first
    assert _of(envelopes, Resource(dict(resource.attributes), resource.schema_url), again) is first
    assert _of(envelopes, dict(resource.attributes), again, resource.schema_url) is first


def test_a_draft_with_its_own_resource_shares_the_envelope_of_the_same_content() -> None:
    scope = InstrumentationScope("agents", "1")
    span = our.make_span(resource=Resource({"a": 1}, "https://x/1"), instrumentation_scope=scope)
    draft = SimpleNamespace(resource={"a": 1}, resource_schema_url="https://x/1", instrumentation_scope=scope)
    envelopes = Envelopes()
    assert envelopes.of(draft, Tally()) is envelopes.of(span, Tally())


def test_drafts_whose_resource_the_steps_changed_alike_share_an_envelope() -> None:
    span = our.make_span(resource=Resource({"a": "1"}, "https://x/1"))
    envelopes = Envelopes()
    made = []
    for value in ("1", "2", "2"):
        draft = Draft(span)
        draft.resource["b"] = value
        made.append(envelopes.of(draft, Tally()))
    assert made[1] is made[2]
    assert made[0] is not made[1]
    assert envelopes.of(Draft(span), Tally()) is envelopes.of(span, Tally())
    assert made[0].resource_schema_url == b"\x1a\x0bhttps://x/1"


def test_values_that_python_calls_equal_are_still_other_resources() -> None:
    envelopes = Envelopes()
    values = [1, True, 1.0, "1", [1], [True], 0, False, 0.0, -0.0, None, {"a": 1}, {"a": True}]
    made = [_of(envelopes, {"a": value}) for value in values]
    assert len({one.resource for one in made}) == len(set(map(id, made))) == len(values)
    assert _of(envelopes, {"a": 1, "b": True}) is not _of(envelopes, {"a": True, "b": 1})


def test_a_mapping_that_changes_is_read_again() -> None:
    envelopes, resource = Envelopes(), {"a": "1"}
    before = _of(envelopes, resource)
    resource["a"] = "2"
    assert _of(envelopes, resource) is not before


def test_a_resource_of_its_own_for_every_span_does_not_fill_the_memory() -> None:
    envelopes = Envelopes()
    for number in range(3 * room.MAX_KEPT):
        _of(envelopes, {"n": number})
        _of(envelopes, Resource({"n": -number}))
    assert envelopes.kept <= 3 * room.MAX_KEPT
    one = Resource({"n": 1})
    assert _of(envelopes, one) is _of(envelopes, one)


def test_repairs_are_counted_once_for_all_spans_of_a_resource() -> None:
    envelopes, tally, resource = Envelopes(), Tally(), Resource({"a": "\ud83d"})
    assert envelopes.get(resource, None, tally) is envelopes.get(resource, None, tally)
    assert tally.repaired == 1


def test_threads_that_meet_a_resource_together_get_one_envelope() -> None:
    envelopes = Envelopes()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: _of(envelopes, Resource({"n": n % 7})), range(700)))
    assert len(set(map(id, made))) == 7
