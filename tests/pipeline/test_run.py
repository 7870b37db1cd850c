"""Spans through backends' decisions without a router, and the same through the router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Status, StatusCode
from tests.pipeline.lanes import Taker
from tests.pipeline.rig import CHOSEN, ERRORS, rigged
from tests.steps.spans import Collect

from ajolo_fanout.otlp.encode import encode_span
from ajolo_fanout.otlp.extra import extra_bytes
from ajolo_fanout.otlp.wire import Tally
from ajolo_fanout.pipeline.run import Rehearsal, Told
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.replay.rerun import rerun
from ajolo_fanout.steps.additions import KEPT_BY, Addition
from ajolo_fanout.steps.pipeline import Shape, Steps, shape_span
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.testing import recorded_runs, recorded_spans

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


def _rehearsed(spans: Sequence[ReadableSpan], **backends: Steps) -> Mapping[str, list[Told]]:
    rehearsal = Rehearsal(backends)
    for span in spans:
        rehearsal.take(span)
    return rehearsal.finish()


class _Watch(SpanProcessor):
    """Takes what ends to a rehearsal, with what was noted at its start."""

    def __init__(self, rehearsal: Rehearsal, starts: Starts) -> None:
        self._rehearsal, self._starts = rehearsal, starts

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._starts.begin(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self._rehearsal.take(span, self._starts.end(span))


@pytest.mark.parametrize("propagate_all", [False, True])
def test_a_rehearsal_says_what_the_router_does(propagate_all: bool) -> None:
    """Over the recorded agents, to the byte, for all backends at once."""
    sent = 0
    for run in recorded_runs():
        takers = [Taker(name, steps) for name, steps in STEPS.items()]
        starts = Starts(follow=True)
        rehearsal = Rehearsal(STEPS, starts=starts)
        with rigged(*takers, propagate_all=propagate_all) as rig:
            rig.provider.add_span_processor(_Watch(rehearsal, starts))
            rerun(rig.provider, recorded_spans(run))
        told = rehearsal.finish()
        for taker in takers:
            shape = STEPS[taker.lane.name].shape
            expected = [
                encode_span(shape_span(one.span, shape).draft, Tally())
                + extra_bytes(one.addition or Addition(), Tally())
                for one in told[taker.lane.name]
                if one.fate == "sent"
            ]
            assert [one.span + one.extra for one in taker.got] == expected, (run, taker.lane.name)
            sent += len(expected)
    assert sent


def _trace() -> list[ReadableSpan]:
    """A chosen root with a child that isn't, which has a chosen one that fails."""
    ended = Collect()
    with rigged(Taker("one")) as rig:
        rig.provider.add_span_processor(ended)
        start = rig.tracer.start_as_current_span
        with start("chosen root"), start("middle"), start("chosen leaf") as leaf:
            leaf.set_status(Status(StatusCode.ERROR))
    return ended.spans


def test_every_span_that_is_left_out_names_the_rule_that_did_it() -> None:
    told = _rehearsed(
        _trace(),
        dropped=Steps(select=SelectSettings(CHOSEN.include, (), "drop")),
        chosen=Steps(select=CHOSEN),
        out=Steps(SamplingSettings(0.0)),
        kept=Steps(SamplingSettings(0.0, keep=(ERRORS,))),
        dry=Steps(SamplingSettings(0.0, dry_run=True)),
    )
    said = {name: [(one.fate, one.key) for one in each] for name, each in told.items()}
    assert said == {
        "dropped": [("filtered", "select.orphans"), ("filtered", "select.include"), ("sent", "")],
        "chosen": [("sent", ""), ("filtered", "select.include"), ("sent", "")],
        "out": [("sampled_out", "sampling.ratio")] * 3,
        "kept": [("sent", "")] * 3,
        "dry": [("sent", "sampling.ratio")] * 3,
    }
    assert {one.kept_by for one in told["kept"]} == {"errors"}
    assert [one.addition.attributes if one.addition else {} for one in told["kept"]] == [
        {},
        {},
        {KEPT_BY: "errors"},
    ]


def test_what_a_trace_stands_for_is_said() -> None:
    [leaf, *_] = _trace()
    sampled = _rehearsed([leaf], all=Steps(), half=Steps(SamplingSettings(0.5, parent="ignore")))
    assert [one.weight for one in sampled["all"]] == [1]
    assert {one.weight for one in sampled["half"]} <= {2, None}


def test_a_decision_that_raises_is_that_backends_alone() -> None:
    class Odd(ReadableSpan):
        @property
        def name(self) -> str:
            raise LookupError

    [leaf, *_] = _trace()
    told = _rehearsed([Odd("x", leaf.context)], all=Steps(), chosen=Steps(select=CHOSEN))
    assert told["all"][0].failed is None
    assert isinstance(told["chosen"][0].failed, LookupError)
