"""`usage = "leaf"` through the router: tokens and cost reach a backend once, wherever a library put them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import Span, set_span_in_context
from tests.pipeline.lanes import Taker, adds_up
from tests.pipeline.rig import Rig, attributes_of, messages, rigged

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.pipeline import Shape, Steps
from ajolo_fanout.steps.processors import DialectSettings
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings

TOKENS = "gen_ai.usage.input_tokens"
COST = "gen_ai.cost_usd"
TOTAL_COST = "ajolopy.cost_usd.total"

LEAF = Shape((DialectSettings("gen_ai", "leaf"),))
PLAIN = Steps(shape=LEAF)
WITH_RULES = Steps(SamplingSettings(keep=(KeepRule("all"),)), LEAF)


@attrs.frozen
class Node:
    """A model call with its tokens (a leaf), or an agent that adds up what is below it."""

    tokens: int = 0
    below: tuple[Node, ...] = ()

    @property
    def total(self) -> int:
        return sum(one.total for one in self.below) if self.below else self.tokens


calls = st.builds(Node, st.integers(0, 1000))
nodes = st.recursive(
    calls, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda n: Node(0, tuple(n)))
)
trees = st.lists(nodes, min_size=1, max_size=3).map(lambda below: Node(0, tuple(below)))
orders = st.randoms(use_true_random=False)


def start(tracer: Any, node: Node, parent: Span | None, started: list[Span]) -> None:
    """Start a node's spans, parents before children, each with its usage."""
    name = "invoke_agent" if node.below else "chat"
    attributes = {"gen_ai.operation.name": name, TOKENS: node.total, COST: node.total / 1000}
    context = None if parent is None else set_span_in_context(parent)
    span = tracer.start_span(name, context=context, attributes=attributes)
    started.append(span)
    for one in node.below:
        start(tracer, one, span, started)


def play(rig: Rig, tree: Node, order: Any, *, eager: bool) -> int:
    """Run a tree, whose spans end in whatever order, also the root first; how many spans there were."""
    started: list[Span] = []
    start(rig.tracer, tree, None, started)
    count = len(started)
    order.shuffle(started)
    while started:
        started.pop().end()
        if eager:
            rig.drain()
    return count


def totals(taker: Taker) -> tuple[float, float]:
    """What a backend adds up over the spans that it got."""
    found = [attributes_of(one) for one in messages(taker)]
    return (
        sum(one.get(TOKENS, 0) for one in found),
        sum(one.get(COST, 0) + one.get(TOTAL_COST, 0) for one in found),
    )


@given(trees, orders, st.integers(1, 6), st.booleans())
def test_every_backend_adds_up_the_model_calls_once_in_whatever_order_spans_end(
    tree: Node, order: Any, most: int, eager: bool
) -> None:
    """Also children that end after their parent, after the root, or after a part of the trace was sent."""
    takers = [Taker("plain", PLAIN), Taker("rules", WITH_RULES)]
    with rigged(*takers, bounds=BufferSettings(max_spans_per_trace=most)) as rig:
        count = play(rig, tree, order, eager=eager)
    for taker in takers:
        assert totals(taker) == (tree.total, pytest.approx(tree.total / 1000))
        assert adds_up(taker.counts, count)
        assert len(taker.got) == count


@given(trees, orders)
def test_where_the_root_ends_last_they_stand_on_the_model_calls(tree: Node, order: Any) -> None:
    """However late a call ends within its trace: what a backend says of each model is right, too."""
    taker = Taker("one", PLAIN)
    with rigged(taker) as rig:
        started: list[Span] = []
        start(rig.tracer, tree, None, started)
        root, children = started[0], started[1:]
        order.shuffle(children)
        for span in [*children, root]:
            span.end()
    for one in messages(taker):
        attributes = attributes_of(one)
        assert (attributes.get(TOKENS, 0) > 0) <= (one.name == "chat")


@given(trees, orders, st.booleans())
def test_what_a_backend_does_not_get_carries_nothing_there(tree: Node, order: Any, eager: bool) -> None:
    """A backend without the model calls keeps the agents' sums: those furthest down, each once."""
    select = SelectSettings(exclude=(Match(name=Condition("chat")),))
    agents, roots = (
        Taker("agents", attrs.evolve(PLAIN, select=select)),
        Taker("roots", attrs.evolve(PLAIN, select=SelectSettings(include=("roots",)))),
    )
    with rigged(agents, roots) as rig:
        count = play(rig, tree, order, eager=eager)
    assert totals(roots) == (tree.total, pytest.approx(tree.total / 1000))
    assert totals(agents)[0] <= tree.total
    assert adds_up(agents.counts, count)
    if not any(one.below for one in tree.below):
        assert totals(agents)[0] == tree.total


def test_tokens_and_cost_are_each_looked_at_by_themselves() -> None:
    """Ajolopy's root says what all cost, and no tokens; a model without a price has tokens, and no cost."""
    taker = Taker("one", PLAIN)
    with rigged(taker) as rig, rig.tracer.start_as_current_span("agent", attributes={COST: 0.5, TOKENS: 5}):
        rig.tracer.start_span("chat", attributes={TOKENS: 5}).end()
    assert [attributes_of(one) for one in messages(taker)] == [{TOKENS: 5}, {COST: 0.5}]


@pytest.mark.parametrize("kind", ["chat", "execute_tool", ""])
def test_what_is_a_sum_by_its_name_goes_where_a_call_still_runs_and_no_call_loses_its_cost(kind: str) -> None:
    """Few read Ajolopy's total; those who read the calls' cost must find it, whenever the call ends."""
    agents = SelectSettings(exclude=(Match(name=Condition("late")),))
    taker, other = Taker("one", PLAIN), Taker("agents", attrs.evolve(PLAIN, select=agents))
    attributes = {"gen_ai.operation.name": kind} if kind else {}
    with rigged(taker, other) as rig:
        root = rig.tracer.start_span("agent", attributes={TOTAL_COST: 0.5})
        late = rig.tracer.start_span("late", set_span_in_context(root), attributes=attributes)
        root.end()
        rig.drain()
        late.set_attributes({COST: 0.5, TOKENS: 7})
        late.end()
    [agent, call] = map(attributes_of, messages(taker))
    assert agent == ({} if kind else {TOTAL_COST: 0.5})
    assert (call[COST], call[TOKENS]) == (0.5, 7)
    assert [attributes_of(one) for one in messages(other)] == [{TOTAL_COST: 0.5}], "it gets no call"


def test_a_sum_of_zero_takes_nothing_off_what_ends_later() -> None:
    """An agent that ends before its only call has answered says that it cost nothing."""
    taker = Taker("one", PLAIN)
    with rigged(taker) as rig:
        root = rig.tracer.start_span("agent", attributes={TOKENS: 0, TOTAL_COST: 0.0})
        late = rig.tracer.start_span("chat", set_span_in_context(root), attributes={TOKENS: 7, COST: 0.5})
        root.end()
        rig.drain()
        late.end()
    assert totals(taker) == (7, 0.5)


def test_what_ends_late_is_known_through_parents_that_have_ended_and_through_those_that_run() -> None:
    """Root > a > b > call, each ending in turn in parts: whoever is above it knows, however far."""
    names = ("root", "a", "b", "call")

    def run(order: Sequence[str], *, follow: bool = True) -> dict[str, dict[str, Any]]:
        taker = Taker("one", PLAIN)
        with rigged(taker, bounds=BufferSettings(max_spans_per_trace=1), follow=follow) as rig:
            running: dict[str, Span] = {}
            for name in names:
                above = set_span_in_context(list(running.values())[-1]) if running else None
                running[name] = rig.tracer.start_span(name, above, attributes={TOKENS: 3})
            for name in order:
                running.pop(name).end()
                rig.drain()
        return {one.name: attributes_of(one) for one in messages(taker)}

    for order in (("call", "root", "a", "b"), ("b", "call", "root", "a"), ("root", "b", "a", "call")):
        got = run(order)
        assert [name for name in names if TOKENS in got[name]] == [order[0]], order
    got = run(names[::-1], follow=False)  # they began before we were installed
    assert [name for name in names if TOKENS in got[name]] == ["call"]


def test_backends_of_one_shape_that_get_other_spans_still_share_what_is_alike() -> None:
    everything, roots = (
        Taker("everything", PLAIN),
        Taker("roots", attrs.evolve(PLAIN, select=SelectSettings(("roots",)))),
    )
    twin = Taker("twin", PLAIN)
    with rigged(everything, roots, twin) as rig:
        with rig.tracer.start_as_current_span("agent", attributes={TOKENS: 5}):
            rig.tracer.start_span("chat", attributes={TOKENS: 5}).end()
        rig.drain()
        assert rig.router.encoded == 3, "the call, and the agent with its sum and without"
    assert totals(everything)[0] == totals(roots)[0] == 5
    assert twin.got[0] is everything.got[0]
    assert twin.got[1] is everything.got[1]
