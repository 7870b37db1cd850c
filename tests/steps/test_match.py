"""Match: one small table, the same meaning wherever spans are chosen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from tests.steps.spans import RESOURCE, SAMPLED, make_span, spans

from ajolo_fanout.steps.condition import MISSING, Condition
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.match import Match, compile_any, compile_match
from ajolo_fanout.steps.pipeline import Steps, decide
from ajolo_fanout.steps.presets import LLM_SCOPES
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings, selector
from ajolo_fanout.values import BUILT_IN, Duration, Origin


@pytest.mark.parametrize(
    ("written", "value", "holds"),
    [
        ("chat *", "chat gpt-4o", True),
        ("chat *", "Chat gpt-4o", False),
        ("chat", "chat gpt-4o", False),
        ("?hat", "chat", True),
        (">= 0.5", 0.5, True),
        (">=0.5", 1, True),
        ("> 0.5", 0.5, False),
        ("< -1e3", -1001, True),
        ("<= .5", 0.5, True),
        ("== 3", 3.0, True),
        ("!= 3", 4, True),
        ("!= 3", 3, False),
        ("!= 3", "four", False),
        (">= 0.5", "0.7", False),
        (">= 0.5", True, False),
        (">= many", ">= many", True),
        (">= many", 7, False),
        ({"equals": ">= 5"}, ">= 5", True),
        ({"equals": ">= 5"}, 6, False),
        ({"equals": "a*b"}, "a*b", True),
        ({"equals": "a*b"}, "aXb", False),
        ({"equals": 1}, 1.0, True),
        ({"equals": ["a", 1]}, ("a", 1.0), True),
        ({"equals": ["a"]}, ("a", "b"), False),
        ({"equals": ["a"]}, "a", False),
        ({"exists": True}, "", True),
        ({"exists": True}, False, True),
        ({"exists": True}, None, True),
        ({"exists": True}, MISSING, False),
        ({"exists": False}, MISSING, True),
        ({"exists": False}, 0, False),
        (1, 1.0, True),
        (1.0, 1, True),
        (1, "1", False),
        ("1", 1, False),
        ("1", "1", True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (False, 0, False),
        (["a*", 5, {"exists": False}], "abc", True),
        (["a*", 5, {"exists": False}], 5, True),
        (["a*", 5, {"exists": False}], MISSING, True),
        (["a*", 5], "b", False),
        ("tool*", ("stop", "tool_calls"), True),
        (">= 3", (1, 2), False),
        ("*", MISSING, False),
        ("*", 5, False),
    ],
)
def test_a_condition_holds_as_written(written: Any, value: Any, holds: bool) -> None:
    assert Condition(written).holds(value) is holds


@pytest.mark.parametrize(
    "written",
    [None, [], {"equals": {}}, {"exists": "yes"}, {"equal": 1}, {}, {"equals": 1, "exists": True}, [[]]],
)
def test_what_is_no_condition_is_refused_with_words(written: Any) -> None:
    with pytest.raises(ValueError, match="condition"):
        Condition(written)


def test_conditions_are_equal_only_where_they_mean_the_same() -> None:
    assert Condition("a") == Condition("a")
    assert hash(Condition(["a", 1])) == hash(Condition(("a", 1)))
    assert Condition(1) != Condition(written=True)
    assert Condition(1) != 1


@pytest.mark.parametrize("make", [lambda span: span, Draft], ids=["span", "draft"])
@pytest.mark.parametrize(
    ("match", "means"),
    [
        (Match(), True),
        (Match(name=Condition("chat *")), True),
        (Match(name=Condition("agent *")), False),
        (Match(scope=Condition("tests")), True),
        (Match(scope=Condition("test")), False),
        (Match(kind="client"), True),
        (Match(kind="server"), False),
        (Match(status="error"), True),
        (Match(kind=("server", "client")), True),
        (Match(kind=("server", "consumer")), False),
        (Match(status=("error", "ok")), True),
        (Match(status=("unset", "ok")), False),
        (Match(status="ok"), False),
        (Match(min_duration=Duration(2)), True),
        (Match(min_duration=Duration(2.001)), False),
        (Match(max_duration=Duration(2)), True),
        (Match(max_duration=Duration(1.999)), False),
        (Match(attributes={"tokens": Condition(">= 10")}), True),
        (Match(attributes={"tokens": Condition(">= 10"), "model": Condition("claude*")}), False),
        (Match(attributes={"nothing": Condition({"exists": False})}), True),
        (Match(attributes={"gen_ai.*": Condition({"exists": True})}), True),
        (Match(attributes={"llm.*": Condition({"exists": False})}), True),
        (Match(attributes={"gen_ai.*": Condition({"exists": False})}), False),
        (Match(attributes={"*": Condition("gpt*")}), True),
        (Match(resource={"service.name": Condition("agent")}), True),
        (Match(resource={"service.name": Condition("web")}), False),
        (Match(event=Condition("exception")), True),
        (Match(event=Condition("retry")), False),
        (Match(event=Condition({"exists": True})), True),
        (Match(root=True), True),
        (Match(root=False), False),
        (Match(any=(Match(kind="server"), Match(status="error"))), True),
        (Match(any=(Match(kind="server"), Match(status="ok"))), False),
        (Match(any=(Match(status="error"),), kind="server"), False),
        (Match(not_=Match(kind="server")), True),
        (Match(not_=Match(status="error")), False),
        (Match(name=Condition("chat *"), not_=Match(any=(Match(kind="server"), Match(root=False)))), True),
    ],
)
def test_keys_are_anded_and_the_same_for_spans_and_drafts(match: Match, means: bool, make: Any) -> None:
    span = make_span(
        "chat gpt-4o",
        {"tokens": 12, "model": "gpt-4o", "gen_ai.x": 1},
        events=[("exception", {})],
        kind=SpanKind.CLIENT,
        status=Status(StatusCode.ERROR),
        start_time=10**9,
        end_time=3 * 10**9,
    )
    assert compile_match(match)(make(span)) is means


def test_a_match_in_a_processor_sees_what_earlier_processors_did() -> None:
    draft = Draft(make_span(attributes={"a": 1}))
    draft.attributes["a"] = 2
    draft.resource["r"] = "x"
    draft.name = "renamed"
    match = Match(Condition("renamed"), attributes={"a": Condition(2)}, resource={"r": Condition("x")})
    assert compile_match(match)(draft)


@given(spans())
def test_not_is_the_opposite_of_whatever_it_negates(span: Any) -> None:
    for match in (
        Match(kind="server"),
        Match(status="error"),
        Match(name=Condition("*a*")),
        Match(root=True),
    ):
        assert compile_match(Match(not_=match))(span) is not compile_match(match)(span)


def _with_parent(*, remote: bool) -> ReadableSpan:
    parent = SpanContext(1, 2, is_remote=remote, trace_flags=SAMPLED)
    return ReadableSpan("s", SpanContext(1, 3, is_remote=False, trace_flags=SAMPLED), parent, RESOURCE)


def test_a_root_has_no_parent_or_a_remote_one() -> None:
    roots = compile_any(["roots"])
    assert roots(make_span())
    assert roots(_with_parent(remote=True))
    assert not roots(_with_parent(remote=False))


def test_errors_is_the_status() -> None:
    errors = compile_any(["errors"])
    assert errors(make_span(status=Status(StatusCode.ERROR)))
    assert not errors(make_span(events=[("exception", {})]))


@pytest.mark.parametrize(
    ("scope", "attributes", "means"),
    [
        ("x", {"gen_ai.system": "openai"}, True),
        ("x", {"openinference.span.kind": "LLM"}, True),
        ("x", {"traceloop.span.kind": "task"}, True),
        ("x", {"langfuse.trace.name": "n"}, True),
        ("x", {"ajolopy.streaming": False}, True),
        ("ajolopy.agent", {}, True),
        ("openinference.instrumentation.groq", {}, True),
        ("opentelemetry.instrumentation.openai_v2", {}, True),
        ("opentelemetry.instrumentation.fastapi", {"http.route": "/chat"}, False),
        ("airflow", {"llama": 1}, False),
        ("ajolopyx", {"gen_aix": 1}, False),
    ],
)
def test_llm_knows_the_dialects_and_the_scopes(scope: str, attributes: dict[str, Any], means: bool) -> None:
    assert compile_any(["llm"])(make_span(attributes=attributes, scope=scope)) is means


@pytest.mark.parametrize("scope", LLM_SCOPES)
def test_every_known_scope_is_llm(scope: str) -> None:
    assert compile_any(["llm"])(make_span(scope=scope))


def test_a_preset_that_is_none_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        compile_any(["llms"])


# Select.

HEALTH = Match(name=Condition("GET /health"))


@pytest.mark.parametrize(
    ("settings", "name", "against"),
    [
        (SelectSettings(include=("llm",)), "GET /health", "include"),
        (SelectSettings(include=("llm", HEALTH)), "GET /health", None),
        (SelectSettings(exclude=(HEALTH,)), "GET /health", "exclude"),
        (SelectSettings(exclude=(HEALTH,)), "POST /chat", None),
        (SelectSettings(include=(HEALTH,), exclude=("roots",)), "GET /health", "exclude"),
    ],
)
def test_exclude_wins_and_an_empty_include_is_everything(
    settings: SelectSettings, name: str, against: str | None
) -> None:
    select = selector(settings)
    assert select is not None
    assert select(make_span(name)) == against


def test_nothing_selected_costs_nothing() -> None:
    assert selector(SelectSettings()) is None


def test_a_filtered_span_names_the_key_that_was_against_it() -> None:
    line = Origin("file", "tracing.toml", 9)
    steps = Steps(
        SamplingSettings(ratio=0.0), origins={"select.include": line}, select=SelectSettings(include=("llm",))
    )
    decision = decide(make_span(), steps)
    assert (decision.fate, decision.origin) == ("filtered", line), "selected first, sampled then"
    assert decide(make_span(scope="ajolopy.agent"), steps).fate == "sampled_out"
    other = Steps(select=SelectSettings(exclude=("roots",)))
    assert decide(make_span(), other).origin is BUILT_IN


@given(st.sampled_from([SelectSettings(), SelectSettings(include=("llm",))]), st.sampled_from([0.5, 1.0]))
def test_backends_that_decide_alike_have_one_key(select: SelectSettings, ratio: float) -> None:
    one = Steps(SamplingSettings(ratio=ratio), select=select)
    two = Steps(SamplingSettings(ratio=ratio), select=SelectSettings(include=select.include))
    assert one.decision_key == two.decision_key
    assert one.decision_key != Steps(SamplingSettings(ratio=0.25)).decision_key


def test_the_resource_of_a_span_is_matched_before_anything_is_laid_over() -> None:
    span = make_span(resource=Resource({"team": "a"}))
    assert compile_match(Match(resource={"team": Condition(["a", "b"])}))(span)
