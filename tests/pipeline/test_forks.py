"""Forked children: they start over with nothing of the parent's."""

from __future__ import annotations

import os

import pytest
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from tests.forked import exit_code_of
from tests.pipeline.lanes import Taker, adds_up, put_all, running, soon
from tests.pipeline.rig import NOTHING, Rig, messages, rigged, run_agent
from tests.steps.spans import Ids, make_span

from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.router import Router
from ajolo_fanout.steps.pipeline import Steps

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def test_after_a_fork_the_child_routes_its_own_spans_and_none_of_the_parents() -> None:
    taker, ids = Taker("b"), Ids()
    with running(taker, capacity=5) as (inbox, router):
        put_all(inbox, [make_span(ids=ids) for _ in range(2)])
        assert router.drain(soon())
        inbox.put(make_span("the parent's"))
        assert exit_code_of(lambda: _in_child(taker, inbox, router)) == 0
        put_all(inbox, [make_span(ids=ids)])
        assert router.drain(soon())
    assert len(taker.got) == 4


def _in_child(taker: Taker, inbox: Inbox, router: Router) -> int:
    router.after_fork()
    taker.ledger.reset()
    taker.got.clear()
    span = make_span("the child's")
    if not inbox.put(span) or not router.drain(soon()):
        return 1
    if taker.ids != [span.context.span_id] or router.encoded != 1:
        return 2
    return 0 if router.stop(soon()) and adds_up(taker.counts, 1) else 3


def test_a_stopped_router_stays_stopped_in_a_child() -> None:
    taker = Taker("b")
    inbox = Inbox(5)
    router = Router(inbox, [taker.lane])
    router.start()
    router.stop(soon())
    router.after_fork()
    assert not inbox.put(make_span())
    assert router.drain(soon())


def test_a_forked_child_starts_with_an_empty_buffer() -> None:
    taker = Taker("errors", Steps(NOTHING))
    with rigged(taker) as rig:
        root = rig.tracer.start_span("root")
        child = rig.tracer.start_span("child", set_span_in_context(root))
        child.set_status(Status(StatusCode.ERROR))
        child.end()
        rig.drain()
        assert exit_code_of(lambda: _in_child_with_a_buffer(taker, rig)) == 0
        root.end()
    assert [one.name for one in messages(taker)] == ["child", "root"]


def _in_child_with_a_buffer(taker: Taker, rig: Rig) -> int:
    rig.router.after_fork()
    taker.ledger.reset()
    if rig.router.whole.buffer.spans:
        return 1
    run_agent(rig, fails=True)
    if not rig.router.stop(soon()):
        return 2
    return 0 if len(taker.got) == 3 and adds_up(taker.counts, 3) else 3
