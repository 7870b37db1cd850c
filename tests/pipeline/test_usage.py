"""`usage = "leaf"` through the router: tokens and cost reach a backend once, wherever a library put them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import Span, set_span_in_context
from tests.pipeline.lanes import Taker
from tests.pipeline.rig import attributes_of, messages, rigged

from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.lineage import above_usage
from ajolo_fanout.steps.pipeline import Shape, Steps
from ajolo_fanout.steps.processors import DialectSettings
from ajolo_fanout.steps.sampling import SamplingSettings

TOKENS = "gen_ai.usage.input_tokens"
COST = "gen_ai.cost_usd"

LEAF = Shape((DialectSettings("gen_ai", "leaf"),))
SPAN_BY_SPAN = Steps(shape=LEAF)
WHOLE = Steps(SamplingSettings(keep=(KeepRule("all"),)), LEAF)


@attrs.frozen
class Node:
    """A model call with its tokens (a leaf), or an agent that adds up what is below it."""

    tokens: int = 0
    below: tuple[Node, ...] = ()

    @property
    def total(self) -> int:
        return sum(one.total for one in self.below) if self.below else self.tokens


calls = st.builds(Node, st.integers(1, 1000))
nodes = st.recursive(
    calls, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda n: Node(0, tuple(n)))
)
trees = st.lists(nodes, min_size=1, max_size=3).map(lambda below: Node(0, tuple(below)))


def start(tracer: Any, node: Node, parent: Span | None, started: list[Span]) -> None:
    """Start a node's spans, parents before children, each with its usage."""
    name = "invoke_agent" if node.below else "chat"
    attributes = {"gen_ai.operation.name": name, TOKENS: node.total, COST: node.total / 1000}
    context = None if parent is None else set_span_in_context(parent)
    span = tracer.start_span(name, context=context, attributes=attributes)
    started.append(span)
    for one in node.below:
        start(tracer, one, span, started)


def totals(taker: Taker) -> tuple[float, float]:
    """What a backend adds up over the spans that it got."""
    found = [attributes_of(one) for one in messages(taker)]
    return sum(one.get(TOKENS, 0) for one in found), sum(one.get(COST, 0) for one in found)


@given(trees)
def test_a_backend_that_decides_span_by_span_adds_up_the_model_calls_once(tree: Node) -> None:
    """Where children end before their parents, as they do unless a program detaches them."""
    taker = Taker("one", SPAN_BY_SPAN)
    with rigged(taker) as rig:
        started: list[Span] = []
        start(rig.tracer, tree, None, started)
        for span in reversed(started):
            span.end()
        rig.drain()
    assert totals(taker) == (tree.total, pytest.approx(tree.total / 1000))
    assert len(taker.got) == len(started)


@given(trees, st.randoms(use_true_random=False))
def test_a_backend_with_whole_traces_adds_them_up_once_in_whatever_order_they_end(
    tree: Node, random: Any
) -> None:
    """Also where another backend of the same shape had them encoded before."""
    whole, other = Taker("whole", WHOLE), Taker("other", SPAN_BY_SPAN)
    with rigged(whole, other) as rig:
        started: list[Span] = []
        start(rig.tracer, tree, None, started)
        children = started[1:]
        random.shuffle(children)
        for span in [*children, started[0]]:
            span.end()
        rig.drain()
    assert totals(whole) == (tree.total, pytest.approx(tree.total / 1000))
    assert len(whole.got) == len(other.got) == len(started)


def test_a_shape_that_asks_is_still_encoded_once_where_nothing_ended_late() -> None:
    whole, other = Taker("whole", WHOLE), Taker("other", SPAN_BY_SPAN)
    with rigged(whole, other) as rig:
        with rig.tracer.start_as_current_span("root"), rig.tracer.start_as_current_span("chat") as span:
            span.set_attribute(TOKENS, 5)
        rig.drain()
        assert rig.router.encoded == 2
    assert totals(whole)[0] == totals(other)[0] == 5


def test_above_usage_follows_local_parents_only_and_ends_where_ids_go_in_a_circle() -> None:
    @attrs.frozen
    class Id:
        span_id: int
        is_remote: bool = False

    @attrs.frozen
    class Stub:
        context: Id | None
        parent: Id | None
        attributes: dict[str, Any] = attrs.field(factory=dict)

    used = {TOKENS: 1}
    spans = [
        Stub(Id(1), Id(9, is_remote=True)),
        Stub(Id(2), Id(1)),
        Stub(Id(3), Id(2), used),
        Stub(None, Id(1), used),
    ]
    assert above_usage(spans) == {1, 2}
    assert above_usage([Stub(Id(1), Id(2), used), Stub(Id(2), Id(1))]) == {1, 2}
    assert above_usage([Stub(Id(1), None, used)]) == set()
