"""A finished trace through one backend's steps without a router, and the same through the router."""

from __future__ import annotations

import pytest
from opentelemetry.trace import Status, StatusCode
from tests.pipeline.lanes import Taker
from tests.pipeline.rig import rigged
from tests.pipeline.test_whole import CHOSEN, ERRORS
from tests.steps.spans import Collect

from ajolo_fanout.otlp.encode import encode_span
from ajolo_fanout.otlp.extra import extra_bytes
from ajolo_fanout.otlp.wire import Tally
from ajolo_fanout.pipeline.run import run_trace
from ajolo_fanout.steps.additions import KEPT_BY, Addition
from ajolo_fanout.steps.pipeline import Shape, Steps
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.testing import recorded_runs, recorded_spans
from ajolo_fanout.testing.replay import replay
from ajolo_fanout.values import BUILT_IN, Origin

STEPS = {
    "everything": Steps(),
    "a half": Steps(SamplingSettings(0.5)),
    "errors, no content": Steps(
        SamplingSettings(0.0, keep=(ERRORS,)), Shape(redaction=RedactionSettings(content="drop"))
    ),
    "llm spans": Steps(select=SelectSettings(("llm",), (), "reparent", "promote"), weight="sample_rate"),
    "no roots": Steps(select=SelectSettings(exclude=("roots",), orphans="promote")),
    "dry": Steps(SamplingSettings(0.0, dry_run=True)),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_pure_function_says_what_the_router_does(name: str) -> None:
    """Over the recorded agents, to the byte."""
    steps = STEPS[name]
    sent = 0
    for run in recorded_runs():
        taker, ended = Taker("one", steps), Collect()
        with rigged(taker) as rig:
            rig.provider.add_span_processor(ended)
            replay(rig.provider, recorded_spans(run))
        expected = [
            encode_span(one.result.draft, Tally()) + extra_bytes(one.addition or Addition(), Tally())
            for one in run_trace(ended.spans, steps)
            if one.result.draft is not None
        ]
        assert [one.span + one.extra for one in taker.got] == expected, run
        sent += len(expected)
    assert sent


def _trace() -> Collect:
    """A chosen root with a child that isn't, which has a chosen one that fails."""
    ended = Collect()
    with rigged(Taker("one")) as rig:
        rig.provider.add_span_processor(ended)
        start = rig.tracer.start_as_current_span
        with start("chosen root"), start("middle"), start("chosen leaf") as leaf:
            leaf.set_status(Status(StatusCode.ERROR))
    return ended


def test_every_span_that_is_left_out_names_the_rule_that_did_it() -> None:
    lines = {
        key: Origin("file", "tracing.toml", n) for n, key in enumerate(("select.include", "sampling.ratio"))
    }
    spans = _trace().spans
    dropped = run_trace(spans, Steps(origins=lines, select=SelectSettings(CHOSEN.include, (), "drop")))
    assert [(one.result.fate, one.result.origin) for one in dropped] == [
        ("filtered", BUILT_IN),  # nobody wrote select.orphans
        ("filtered", lines["select.include"]),
        ("sent", None),
    ]
    out = run_trace(spans[1:], Steps(SamplingSettings(0.0, keep=(ERRORS,)), origins=lines))
    assert [(one.result.fate, one.result.origin) for one in out] == [
        ("sampled_out", lines["sampling.ratio"])
    ] * 2
    kept = run_trace(spans, Steps(SamplingSettings(0.0, keep=(ERRORS,)), origins=lines))
    assert [one.addition.attributes if one.addition else {} for one in kept] == [{}, {}, {KEPT_BY: "errors"}]
    asked = run_trace(spans[1:], Steps(SamplingSettings(0.0, keep=(ERRORS,))), asked="vip")
    assert [one.result.fate for one in asked] == ["sent", "sent"]
    assert run_trace([], Steps(SamplingSettings(0.0, keep=(ERRORS,)))) == []
