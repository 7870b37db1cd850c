"""The router: encodes once for each shape, keeps backends apart, and survives everything."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from tests.pipeline.lanes import LIMIT, Taker, adds_up, put_all, running, soon
from tests.steps.spans import RESOURCE, Ids, make_span, snapshot

from ajolo_fanout.otlp.decode import decode_request
from ajolo_fanout.otlp.encode import Tally, encode_span
from ajolo_fanout.otlp.envelopes import Envelopes
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.otlp.request import requests
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.router import Lane, Router
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.limits import LimitsSettings
from ajolo_fanout.steps.pipeline import Shape, Steps, run
from ajolo_fanout.steps.processors.set import SetSettings
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.sampling import SamplingSettings

NO_CONTENT = Shape(redaction=RedactionSettings(content="drop"))


@attrs.frozen
class Does:
    """A processor that does as it is told."""

    what: Any

    def compile(self) -> Any:
        return self.what


def _spans(count: int, **more: Any) -> list[ReadableSpan]:
    ids = Ids()
    return [
        make_span(f"span {n}", {"n": n, "gen_ai.prompt": "SECRET"}, ids=ids, **more) for n in range(count)
    ]


def _decoded(taker: Taker) -> list[Any]:
    return [span for request in requests(taker.got, 10**9) for span in decode_request(request.body)]


def test_with_five_backends_of_one_shape_each_span_is_encoded_once_and_the_bytes_are_shared() -> None:
    takers = [Taker(f"b{n}") for n in range(5)]
    spans = _spans(100)
    with running(*takers) as (inbox, router):
        put_all(inbox, spans)
        assert router.drain(soon())
        assert router.encoded == 100
    for taker in takers:
        assert [one is two for one, two in zip(taker.got, takers[0].got, strict=True)] == [True] * 100
        assert adds_up(taker.counts, 100)
    assert takers[0].got[7].span == encode_span(spans[7], Tally())


def test_with_two_shapes_it_is_encoded_twice() -> None:
    takers = [Taker(f"a{n}") for n in range(2)] + [Taker(f"b{n}", Steps(shape=NO_CONTENT)) for n in range(3)]
    with running(*takers) as (inbox, router):
        put_all(inbox, _spans(50))
        assert router.drain(soon())
        assert router.encoded == 100
    assert takers[2].got[3] is takers[4].got[3]
    assert takers[0].got[3] is not takers[2].got[3]
    assert {span.attributes.get("gen_ai.prompt") for span in _decoded(takers[0])} == {"SECRET"}
    assert {span.attributes.get("gen_ai.prompt") for span in _decoded(takers[4])} == {None}
    assert [dict(taker.counts.redacted_by) for taker in takers] == [{}, {}, *[{"content": 50}] * 3]


def test_backends_that_differ_only_in_their_ratio_share() -> None:
    takers = [Taker(f"b{ratio}", Steps(SamplingSettings(ratio=ratio))) for ratio in (1.0, 0.5, 0.1, 0.0)]
    with running(*takers) as (inbox, router):
        put_all(inbox, _spans(200))
        assert router.drain(soon())
        assert router.encoded == 200
    everything, half, tenth, nothing = ({id(one) for one in taker.got} for taker in takers)
    assert everything > half > tenth > nothing == set()
    for taker in takers:
        assert adds_up(taker.counts, 200)
        assert taker.counts.sampled_out == 200 - len(taker.got)


def test_a_shape_that_leaves_a_span_alone_shares_the_plain_bytes_under_its_own_envelope() -> None:
    shapes = [
        Shape(),
        NO_CONTENT,
        Shape(processors=(SetSettings(resource={"region": "eu"}),)),
        Shape(resource={"dd_llmobs_enabled": True}),
        Shape(redaction=RedactionSettings(drop=("secret.*",))),
    ]
    takers = [Taker(f"b{n}", Steps(shape=shape)) for n, shape in enumerate(shapes)]
    with running(*takers) as (inbox, router):
        put_all(inbox, [make_span(attributes={"n": n}) for n in range(20)])
        assert router.drain(soon())
        assert router.encoded == 20
    first = takers[0].got[0]
    assert all(taker.got[0].span is first.span for taker in takers)
    assert takers[1].got[0].envelope is first.envelope
    assert len({id(taker.got[0].envelope) for taker in takers}) == 4
    assert all(len({id(one.envelope) for one in taker.got}) == 1 for taker in takers)
    assert _decoded(takers[2])[0].resource["region"] == "eu"
    assert _decoded(takers[3])[0].resource["dd_llmobs_enabled"] is True
    assert "secret.key" not in _decoded(takers[4])[0].resource


def test_a_stock_backend_gets_the_sdks_form_in_its_shape_and_others_do_not_keep_it() -> None:
    stock, redacting = Taker("s", stock=True), Taker("r", Steps(shape=NO_CONTENT), stock=True)
    own = Taker("o")
    span = _spans(1)[0]
    with running(own, stock, redacting) as (inbox, router):
        put_all(inbox, [span])
        assert router.drain(soon())
    assert own.got[0].readable is None
    assert stock.got[0].readable is span
    readable = redacting.got[0].readable
    assert readable is not None
    assert readable.attributes is not None
    assert readable.attributes["n"] == 0
    assert "gen_ai.prompt" not in readable.attributes


def test_a_stock_backend_sees_the_resource_that_is_laid_over() -> None:
    taker = Taker("s", Steps(shape=Shape(resource={"fixed": 1})), stock=True)
    with running(taker) as (inbox, router):
        put_all(inbox, _spans(1))
        assert router.drain(soon())
    assert taker.got[0].readable is not None
    assert taker.got[0].readable.resource.attributes["fixed"] == 1


def test_the_span_that_others_get_is_unchanged() -> None:
    def everything(draft: Draft) -> None:
        draft.name = "other"
        draft.attributes.clear()
        draft.resource.clear()

    plain, other = Taker("plain"), Taker("other", Steps(shape=Shape(processors=(Does(everything),))))
    spans = _spans(3)
    before = [snapshot(span) for span in spans]
    with running(other, plain) as (inbox, router):
        put_all(inbox, spans)
        assert router.drain(soon())
    assert [snapshot(span) for span in spans] == before
    envelope = Envelopes().of(spans[0], Tally())
    assert [one.span for one in plain.got] == [encode_span(span, Tally()) for span in spans]
    assert plain.got[0].envelope.resource == envelope.resource
    assert {span.name for span in _decoded(other)} == {"other"}


def _raise(error: BaseException) -> Any:
    def does(_: object) -> None:
        raise error

    return does


@pytest.mark.parametrize("error", [ValueError("SECRET"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_whatever_one_backends_step_or_end_raises_costs_it_that_span_alone(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    good = Taker("good")
    same_shape = Taker("same shape", does=_raise(error))
    bad_step = Taker("bad step", Steps(shape=Shape(processors=(Does(_raise(error)),))))
    last = Taker("last", Steps(SamplingSettings(ratio=0.5), NO_CONTENT))
    with caplog.at_level(logging.WARNING), running(same_shape, bad_step, good, last) as (inbox, router):
        put_all(inbox, _spans(30))
        assert router.drain(soon())
        assert adds_up(good.counts, 30)
        assert adds_up(last.counts, 30)
        put_all(inbox, _spans(30))
        assert router.drain(soon())
    assert len(good.got) == 60
    for taker in (same_shape, bad_step):
        assert taker.got == [], "never sent, least of all unprocessed"
        assert dict(taker.counts.lost) == {"error": 60}
        assert adds_up(taker.counts, 60)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, "once a minute for each backend"
    assert all(type(error).__name__ in line and "test_router.py" in line for line in told)
    assert not any("SECRET" in line for line in told)


def test_a_decision_that_fails_is_the_failure_of_those_who_decide_so() -> None:
    good = Taker("good")
    bad = Taker("bad", Steps(SamplingSettings(ratio=0.5)))
    context: Any = SimpleNamespace(trace_id="x", span_id=1, is_remote=False, trace_flags=1, trace_state=None)
    with running(bad, good) as (inbox, router):
        put_all(inbox, [ReadableSpan("odd", context, resource=RESOURCE)] * 3)
        assert router.drain(soon())
    assert dict(bad.counts.lost) == {"error": 3}
    assert len(good.got) == 3


shapes = st.sampled_from(
    [
        Shape(),
        NO_CONTENT,
        Shape(limits=LimitsSettings(attribute_count_limit=1)),
        Shape(processors=(SetSettings({"a": 1}),), redaction=RedactionSettings(drop=("n",))),
        Shape(processors=(Does(_raise(RuntimeError())),)),
    ]
)
lanes = st.lists(st.tuples(shapes, st.sampled_from([0.0, 0.3, 1.0]), st.booleans()), min_size=1, max_size=5)


@given(lanes, st.integers(0, 30))
@settings(max_examples=40)
def test_counts_add_up_for_every_lane_and_agree_with_the_pure_function(
    made: list[tuple[Shape, float, bool]], count: int
) -> None:
    takers = [
        Taker(f"b{n}", Steps(SamplingSettings(ratio=ratio), shape), does=_raise(OSError()) if bad else None)
        for n, (shape, ratio, bad) in enumerate(made)
    ]
    spans = _spans(count)
    with running(*takers) as (inbox, router):
        put_all(inbox, spans)
        assert router.drain(soon())
        for taker in takers:
            counts = taker.counts
            assert adds_up(counts, count)
            assert counts.delivered == len(taker.got)
            assert counts.sampled_out + counts.delivered + counts.lost_total == count
    for taker in takers:
        fine = [one for one in spans if not _fails(one, taker.lane)]
        if not taker.counts.lost_total:
            results = [run(span, taker.lane.steps) for span in fine]
            assert taker.counts.redacted_by == Counter(one.reason for each in results for one in each.removed)
            sent = [one.draft for one in results if one.draft is not None]
            assert [one.span for one in taker.got] == [encode_span(draft, Tally()) for draft in sent]


def _fails(span: ReadableSpan, lane: Lane) -> bool:
    try:
        run(span, lane.steps)
    except RuntimeError:
        return True
    return False


def test_repaired_values_are_counted_at_every_backend_that_got_them() -> None:
    one, two = Taker("one"), Taker("two", Steps(SamplingSettings(ratio=0.0)))
    with running(one, two) as (inbox, router):
        put_all(inbox, [make_span(attributes={"half": "\ud83d", "huge": 2**70})])
        assert router.drain(soon())
    assert (one.counts.repaired, two.counts.repaired) == (2, 0)


def test_drain_waits_for_what_was_put_before_from_any_number_of_threads() -> None:
    taker = Taker("b")
    spans = _spans(40)
    failures: list[str] = []

    def work(router: Router, inbox: Inbox, mine: list[ReadableSpan]) -> None:
        for span in mine:
            inbox.put(span)
            if not router.drain(soon()):
                failures.append("not drained")
            elif span.context.span_id not in set(taker.ids):
                failures.append("drained, but not offered")

    with running(taker) as (inbox, router):
        threads = [threading.Thread(target=work, args=(router, inbox, spans[n::8])) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert sorted(taker.ids) == sorted(span.context.span_id for span in spans)


def test_drain_and_stop_end_by_their_deadline_and_what_hangs_is_counted() -> None:
    release = threading.Event()
    entered = threading.Event()

    def hang(_: Rendition) -> None:
        entered.set()
        release.wait(LIMIT)

    taker = Taker("hangs", does=hang)
    inbox = Inbox(1000)
    router = Router(inbox, [taker.lane])
    router.start()
    put_all(inbox, _spans(2))
    assert entered.wait(LIMIT)
    put_all(inbox, _spans(3))
    assert not router.drain(soon(0.05))
    assert not router.stop(soon(0.05))
    assert dict(taker.counts.lost) == {"shutdown": 3}
    assert not inbox.put(object())
    release.set()
    assert router.stop(soon()), "it came back, went through what it had, and ended"
    assert len(taker.got) == 2
    assert adds_up(taker.counts, 5)


def test_stop_offers_everything_and_may_run_twice_at_once() -> None:
    taker = Taker("b")
    inbox = Inbox(1000)
    router = Router(inbox, [taker.lane])
    router.start()
    router.start()
    put_all(inbox, _spans(100))
    done: list[bool] = []
    threads = [threading.Thread(target=lambda: done.append(router.stop(soon()))) for _ in range(4)]
    threads += [threading.Thread(target=lambda: done.append(router.drain(soon()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 8
    assert len(taker.got) == 100
    assert router.drain(soon())
    assert not inbox.put(object())
    router.start()
    assert inbox.late == 1


def test_a_router_that_never_ran_drains_only_if_nothing_waits() -> None:
    inbox = Inbox(10)
    router = Router(inbox, [])
    assert router.drain(soon())
    inbox.put(make_span())
    assert not router.drain(soon())


def test_a_step_that_drains_does_not_wait_for_itself() -> None:
    answers: list[bool] = []
    inbox = Inbox(10)
    step = Does(lambda _: answers.append(router.drain(soon())))
    taker = Taker("b", Steps(shape=Shape(processors=(step,))))
    router = Router(inbox, [taker.lane])
    router.start()
    inbox.put(make_span())
    assert router.stop(soon())
    assert answers == [False]
    assert len(taker.got) == 1


def test_what_is_in_the_inbox_is_not_a_span_and_the_router_goes_on() -> None:
    taker = Taker("b")
    with running(taker) as (inbox, router):
        inbox.put("no span at all")
        put_all(inbox, _spans(1))
        assert router.drain(soon())
    assert dict(taker.counts.lost) == {"error": 1}
    assert len(taker.got) == 1


def test_two_resources_keep_their_own_envelopes() -> None:
    taker = Taker("b", Steps(shape=Shape(processors=(SetSettings(resource={"r": 1}),))))
    with running(taker) as (inbox, router):
        put_all(inbox, [make_span(resource=Resource({"who": who})) for who in ("x", "y", "x")])
        assert router.drain(soon())
    assert sorted(span.resource["who"] for span in _decoded(taker)) == ["x", "x", "y"]
    assert taker.got[0].envelope is taker.got[2].envelope


def test_large_spans_come_to_the_gates_before_many_of_them_are_in_memory() -> None:
    """What a gate refuses is refused before a whole chunk of it stands encoded: its bound is in bytes, too."""
    taker = Taker("one")
    chunks: list[int] = []
    lane = attrs.evolve(
        taker.lane, offer=lambda renditions: chunks.append(sum(one.size for one in renditions))
    )
    inbox = Inbox(1000)
    for _ in range(100):
        inbox.put(make_span(attributes={"large": "x" * 200_000}))
    router = Router(inbox, [lane])
    router.start()
    try:
        assert router.drain(soon())
    finally:
        router.stop(soon())
    assert sum(chunks) > 100 * 200_000
    assert max(chunks) < 2 * 1024 * 1024
