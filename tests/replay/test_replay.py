"""Replay says what the running pipeline does: the same spans, to the last attribute, at every backend."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from ajolo_fanout.config.document import load
from ajolo_fanout.otlp.decode import DecodedSpan
from ajolo_fanout.plan.placeholders import resolve_with_placeholders
from ajolo_fanout.replay.model import Replay
from ajolo_fanout.replay.replay import replay
from ajolo_fanout.testing import fanout, recorded_spans
from ajolo_fanout.testing.verify import Expectation, differences, traced

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))
PARITY = Path(__file__).with_name("parity.toml")


def replayed(file: Path, spans: list[ReadableSpan]) -> Replay:
    plan, _ = resolve_with_placeholders(load(file, str(file)), {})
    return replay(plan, spans)


def _comparable(span: DecodedSpan) -> DecodedSpan:
    """Each provider is an instance of its own."""
    resource = {name: value for name, value in span.resource.items() if name != "service.instance.id"}
    return attrs.evolve(span, resource=resource)


def check_parity(file: Path, spans: list[ReadableSpan]) -> Replay:
    """Run `file` for real and without threads; both have to come to the same."""
    said = replayed(file, spans)
    with fanout(file, environ={}) as harness:
        harness.replay(spans)
        harness.fanout.shutdown()
        health = harness.health()
        for name, outcomes in said.outcomes.items():
            sent = [_comparable(traced(one.sent)) for one in outcomes if one.sent is not None]
            expectation = Expectation({(one.trace_id, one.span_id): one for one in sent}, 0, 0, 0)
            arrived = [_comparable(span) for span in harness.spans(name)]
            assert differences(expectation, arrived) == [], name
            states = {one.context.span_id: one.context.trace_state for one in _sent(outcomes)}
            for span in arrived:
                assert span.trace_state == states[int(span.span_id, 16)].to_header(), name
            counts = health.backends[name].counts
            fates = Counter(one.fate for one in outcomes if one.recorded)
            assert counts.filtered == fates["filtered"], name
            assert counts.sampled_out == fates["sampled_out"], name
            assert counts.lost.get("error", 0) == fates["lost"], name
            assert counts.redacted == sum(len(one.redactions) for one in outcomes), name
    return said


def _sent(outcomes: Any) -> list[ReadableSpan]:
    return [one.sent for one in outcomes if one.sent is not None]


@pytest.mark.parametrize("file", [*EXAMPLES, PARITY], ids=lambda file: file.stem)
def test_recorded_spans_fare_as_they_do_for_real(file: Path) -> None:
    said = check_parity(file, recorded_spans())
    assert any(one.fate == "sent" for each in said.outcomes.values() for one in each)


def test_each_step_of_a_span_is_told_with_its_line() -> None:
    """Who decided, what each step changed, what redaction took out and why; never what that was."""
    said = replayed(ROOT / "examples" / "tracing.toml", recorded_spans("fallback-capture"))
    datadog = said.outcomes["datadog"]
    lines = (ROOT / "examples" / "tracing.toml").read_text(encoding="utf-8").splitlines()
    one = datadog[0]
    assert one.fate == "sent"
    assert one.kept_by == "errors"
    assert "sampling.keep" in lines[(one.kept_origin.line or 0) - 1]
    assert {effect.step for effect in one.effects} >= {"resource", "processors[0]", "redaction"}
    [processor] = [effect for effect in one.effects if effect.step == "processors[0]"]
    assert [(change.path, change.after) for change in processor.changes] == [
        ("resource.attributes.deployment.region", "eu-west-1")
    ]
    assert {redaction.removal.reason for redaction in one.redactions} == {"content"}
    assert all("redaction.content" in lines[(each.origin.line or 0) - 1] for each in one.redactions)
    prompt = said.spans[0].attributes["gen_ai.prompt"]
    assert prompt not in repr([one.before, one.after, one.effects])
    assert prompt in repr(said.outcomes["langfuse"][0].after)


def test_a_span_that_nobody_records_has_a_fate_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "tracing.toml"
    file.write_text(
        'schema = 1\n[service]\nname = "x"\n[backends.a]\ntype = "console"\nsampling.ratio = 0\n'
        'select.exclude = [\n  { name = "nothing" },\n  { name = "chat *" },\n]\n',
        encoding="utf-8",
    )
    said = replayed(file, recorded_spans("ok"))
    assert [(one.fate, one.key, one.recorded) for one in said.outcomes["a"]] == [
        ("filtered", "select.exclude[1]", False),
        ("sampled_out", "sampling.ratio", False),
        ("filtered", "select.exclude[1]", False),
        ("sampled_out", "sampling.ratio", False),
    ]
    assert [one.origin.line for one in said.outcomes["a"]] == [9, 6, 9, 6]


def test_a_processor_that_remembers_sees_each_span_once_and_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever outcome is looked at first, and however often."""
    (tmp_path / "mine_that_counts.py").write_text(
        "class Count:\n    n = 0\n    def __call__(self, draft):\n"
        "        self.n += 1\n        draft.attributes['n'] = self.n\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "tracing.toml"
    file.write_text(
        'schema = 1\n[service]\nname = "x"\n[backends.a]\ntype = "console"\n'
        'processors = [{ type = "mine_that_counts:Count" }]\n',
        encoding="utf-8",
    )
    outcomes = replayed(file, recorded_spans("ok")).outcomes["a"]
    assert outcomes[-1] is outcomes[3]
    assert [one.sent.attributes["n"] for one in (*outcomes[2:], *outcomes[:2])] == [3, 4, 1, 2]


# Generated traces: any tree, with parents missing, remote, or ending before their children.

_NAMES = st.sampled_from(["chat gpt-4o", "execute_tool x", "GET /health", "agent.invoke A", "me@example.com"])
_VALUES = st.one_of(
    st.integers(-5, 5), st.booleans(), st.sampled_from(["", "hello", "me@example.com", "x" * 300])
)
_KEYS = st.sampled_from(
    ["gen_ai.prompt", "gen_ai.usage.input_tokens", "session.id", "user.email", "a", "gen_ai.cost_usd"]
)


@st.composite
def traces(draw: st.DrawFn) -> list[ReadableSpan]:
    spans: list[ReadableSpan] = []
    for number in range(draw(st.integers(1, 3))):
        trace_id = draw(st.integers(1, 2**128 - 1))
        remote_flags = draw(st.sampled_from([0, 1]))
        state = draw(st.sampled_from([None, TraceState([("ot", "th:8")]), TraceState([("a", "b")])]))
        ids = [1000 * (number + 1) + index for index in range(draw(st.integers(1, 6)))]
        for index, span_id in enumerate(ids):
            parent = draw(st.sampled_from(["root", "remote", "gone", *ids[:index]]))
            context = None
            if parent != "root":
                at = parent if isinstance(parent, int) else {"remote": 77, "gone": 78}[parent]
                context = SpanContext(
                    trace_id,
                    at,
                    is_remote=parent == "remote",
                    trace_flags=TraceFlags(remote_flags),
                    trace_state=state,
                )
            spans.append(_span(draw, trace_id, span_id, context, len(spans)))
    order = draw(st.permutations(spans))
    return list(order)


def _span(
    draw: st.DrawFn, trace_id: int, span_id: int, parent: SpanContext | None, number: int
) -> ReadableSpan:
    start = 1_700_000_000_000_000_000 + number * 1_000_000
    failed = draw(st.booleans())
    return ReadableSpan(
        name=draw(_NAMES),
        context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1)),
        parent=parent,
        resource=Resource({}),
        attributes=draw(st.dictionaries(_KEYS, _VALUES, max_size=4)),
        events=[Event("gen_ai.content.prompt", {"gen_ai.prompt": "p"}, start + 5)] * draw(st.integers(0, 2)),
        kind=draw(st.sampled_from(list(SpanKind))),
        status=Status(StatusCode.ERROR, "to me@example.com") if failed else Status(StatusCode.UNSET),
        start_time=start,
        end_time=start + draw(st.integers(1, 10)) * 10_000_000,
        instrumentation_scope=InstrumentationScope("gen"),
    )


@settings(max_examples=max(15, settings.default.max_examples // 10))
@given(traces())
def test_generated_spans_fare_as_they_do_for_real(spans: list[ReadableSpan]) -> None:
    """Whatever the shape of the trace, the order of ending, and what was decided upstream."""
    check_parity(PARITY, spans)


@settings(max_examples=max(15, settings.default.max_examples // 10))
@given(traces())
def test_the_flag_that_goes_to_other_services_changes_nothing(spans: list[ReadableSpan]) -> None:
    """`propagate = "all"`: what was decided upstream is then known from a span's start alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tracing.toml"
        text = PARITY.read_text(encoding="utf-8").replace('propagate = "ratio"', 'propagate = "all"')
        file.write_text(text, encoding="utf-8")
        check_parity(file, spans)
