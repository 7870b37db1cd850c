"""A finished trace through one backend's steps, as a pure function: what preview, explain and tests call.

The router does the same, span by span and for many backends at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.pipeline.buffer import Held
from ajolo_fanout.pipeline.starts import Fragment
from ajolo_fanout.pipeline.traces import Traces
from ajolo_fanout.steps.adder import adder
from ajolo_fanout.steps.additions import Addition
from ajolo_fanout.steps.draft import NO_USAGE, Usage
from ajolo_fanout.steps.pipeline import Result, Steps, decide, shape_span
from ajolo_fanout.values import BUILT_IN

__all__ = ["TraceResult", "run_trace"]

_Decided = tuple[Result, "Addition | None", Usage]


@attrs.frozen
class TraceResult:
    """What became of one span of a trace at one backend.

    Attributes:
        result: Its draft, its fate, the origin of the rule that decided, and what redaction took out.
        addition: What the backend adds to it: weight, repaired parent, `kept_by`; None for nothing.
    """

    result: Result
    addition: Addition | None = None


def run_trace(
    spans: Sequence[ReadableSpan], steps: Steps, *, asked: str = "", weighs: bool = True
) -> list[TraceResult]:
    """Take the spans of one local root, in the order in which they ended, through all of a backend's steps.

    Args:
        spans: All of them: whoever isn't among them counts as left out.
        steps: The backend's.
        asked: The reason for which code keeps the trace; empty where none does.
        weighs: Whether weights are claimed.

    Returns:
        One result for each span. Rates of keep rules are taken as unused.

    Raises:
        Exception: whatever a match or a processor raises.
    """
    decided = (
        _whole(spans, steps, asked, weighs) if steps.needs_whole_traces else _single(spans, steps, weighs)
    )
    results = []
    for span, (result, addition, below) in zip(spans, decided, strict=True):
        if result.fate == "sent":
            shaped = shape_span(span, steps.shape, usage_below=below)
            result = attrs.evolve(result, draft=shaped.draft, removed=shaped.removed)  # noqa: PLW2901
        results.append(TraceResult(result, addition))
    return results


def _single(spans: Sequence[ReadableSpan], steps: Steps, weighs: bool) -> list[_Decided]:
    adds = adder(steps, weighs=weighs)
    found: list[_Decided] = []
    for span in spans:
        decision = decide(span, steps)
        sent = decision.fate == "sent" and adds is not None
        addition = adds(span, decision.would) if sent and adds is not None else None
        found.append((Result(None, decision.fate, decision.origin), addition, NO_USAGE))
    return found


def _whole(spans: Sequence[ReadableSpan], steps: Steps, asked: str, weighs: bool) -> list[_Decided]:
    leaf = steps.shape.needs_lineage
    traces = Traces(steps.sampling, steps.select, form=steps.weight, leaf=leaf, weighs=weighs)
    fragment = Fragment(known=False)
    fragment.asked = asked
    if not spans:
        return []
    memory, rulings = traces.decide(fragment, [Held(span, None) for span in spans], 0.0)
    found: list[_Decided] = []
    for span, ruling in zip(spans, rulings, strict=True):
        key = memory.verdict.key if ruling.fate == "sampled_out" else traces.against(span)
        origin = steps.origins.get(key, BUILT_IN) if ruling.fate != "sent" else None
        found.append((Result(None, ruling.fate, origin), ruling.addition, ruling.usage_below))
    return found
