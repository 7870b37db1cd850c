"""Requests are bounded, what is too large is halved, one span too large alone is sent without its bulk."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.delivery.support import ENVELOPE, PROTOCOLS, backend, one_batch, rendition, rigged

from ajolo_fanout.delivery.shrink import LIMITED, shrink
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest

TOO_LARGE = {
    "413": Answer(status=413),
    "Collector": Answer(status=400, message="request body too large"),
    "grpc-go": Answer(
        code="RESOURCE_EXHAUSTED", message="grpc: received message larger than max (5242880 vs. 4194304)"
    ),
    "tonic": Answer(
        code="OUT_OF_RANGE",
        message="Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
    ),
    "grpc-java": Answer(
        code="RESOURCE_EXHAUSTED", message="gRPC message exceeds maximum size 4194304: 5242880"
    ),
}


def limited(answer: Answer, limit: int) -> Any:
    """A server that takes no more than `limit` bytes."""

    def script(request: ReceivedRequest) -> Answer | None:
        return answer if len(request.body) > limit else None

    return script


def eight(server: OtlpServer) -> BackendPlan:
    """A backend that gets eight spans in one batch, and so, if all is well, in one request."""
    return backend(server.endpoint, server.protocol, batch=one_batch(8))


def test_requests_stay_below_the_backend_s_limit() -> None:
    with OtlpServer() as server, rigged(backend(server.endpoint, max_request_bytes=50_000)) as rig:
        rig.offer(100, 5_000)
        assert rig.flush()
        assert rig.counts.delivered == 100
        assert max(len(request.body) for request in server.requests) <= 50_000
        assert len(server.requests) >= 10


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_is_too_large_is_halved_and_never_sent_whole_again(case: str) -> None:
    answer = TOO_LARGE[case]
    protocol = "grpc" if answer.code else "http/protobuf"
    with (
        OtlpServer(protocol, answer=limited(answer, 100_000)) as server,
        rigged(backend(server.endpoint, protocol)) as rig,
    ):
        rig.offer(100, 10_000)
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == len(server.spans) == 100
        refused = [request.body for request in server.requests if len(request.body) > 100_000]
        assert len(refused) == len(set(refused)), "none was sent again as it was"
        before = len(server.requests)
        rig.offer(100, 10_000)
        assert rig.flush()
        later = server.requests[before:]
        assert max(len(request.body) for request in later) <= 140_000, "the limit was learned"


def test_tempo_s_trace_too_large_is_no_reason_to_halve() -> None:
    answer = Answer(
        code="RESOURCE_EXHAUSTED", message="TRACE_TOO_LARGE: max size of trace (5000000) exceeded"
    )
    with OtlpServer("grpc", answer=answer) as server, rigged(eight(server)) as rig:
        rig.offer(8)
        assert rig.flush()
        assert len(server.requests) == 1
        assert dict(rig.counts.lost) == {"rejected": 8}


@pytest.mark.parametrize(
    "words",
    ["request rate limit exceeded", "request failed: context deadline exceeded", "message quota exceeded"],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_limit_that_is_of_no_size_is_no_reason_to_halve(protocol: str, words: str) -> None:
    """A server that has had too many requests would get twice as many."""
    answer = Answer(status=400, code="RESOURCE_EXHAUSTED", message=words)
    with OtlpServer(protocol, answer=answer) as server, rigged(eight(server)) as rig:
        rig.offer(8)
        assert rig.flush()
        assert len(server.requests) == 1
        assert dict(rig.counts.lost) == {"rejected": 8}


def test_a_grpc_answer_that_is_too_large_is_no_request_that_is_too_large() -> None:
    """The words for both are alike in gRPC; halved, the spans would be taken again and again."""
    answer = Answer(body=b"x" * 5_000_000)
    with OtlpServer("grpc", answer=answer) as server, rigged(eight(server)) as rig:
        rig.offer(8)
        assert rig.flush()
        assert len(server.requests) == 1
        assert rig.counts.delivered == 8
        assert "answer of more than" in rig.ledger.health().last_error


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("known", [True, False])
def test_one_span_that_is_too_large_alone_arrives_without_its_bulk_and_marked(
    protocol: str, known: bool
) -> None:
    """Whether the limit is known from the profile or learned from the refusal."""
    answer = TOO_LARGE["grpc-go" if protocol == "grpc" else "413"]
    limit = 100_000 if known else 4 * 1024**2
    with (
        OtlpServer(protocol, answer=limited(answer, 100_000)) as server,
        rigged(backend(server.endpoint, protocol, max_request_bytes=limit)) as rig,
    ):
        rig.offer(1, 300_000)
        rig.offer(3, 100)
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == 4
        [marked] = [span for span in server.spans if LIMITED in span.attributes]
        assert marked.attributes == {LIMITED: ["payload"]}
        assert marked.dropped_attributes == 1
        if known:
            assert max(len(request.body) for request in server.requests) <= 100_000


def test_a_backend_that_takes_no_size_at_all_loses_the_span_as_too_large() -> None:
    with OtlpServer(answer=Answer(status=413)) as server, rigged(backend(server.endpoint)) as rig:
        rig.offer(1, 100_000)
        assert rig.flush()
        assert dict(rig.counts.lost) == {"too_large": 1}
        assert len(server.requests) < 12


def test_the_largest_values_go_first_and_the_small_ones_stay() -> None:
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat")
    span.attributes.add(key="gen_ai.request.model").value.string_value = "gpt-4o"
    span.attributes.add(key="prompt").value.string_value = "p" * 5000
    event = span.events.add(name="exception")
    event.attributes.add(key="stack").value.string_value = "e" * 9000
    smaller = shrink(Rendition(rendition().context, span.SerializeToString(), ENVELOPE), 6000)
    assert smaller is not None
    left = Span.FromString(smaller.span)
    assert [attribute.key for attribute in left.attributes] == ["gen_ai.request.model", "prompt", LIMITED]
    assert left.events[0].dropped_attributes_count == 1
    names = [value.string_value for value in left.attributes[2].value.array_value.values]
    assert names == ["events[exception].stack"]


@given(
    sizes=st.lists(st.integers(0, 3000), max_size=30),
    events=st.integers(0, 20),
    limit=st.integers(0, 20_000),
)
def test_a_shrunk_span_fits_and_keeps_its_place_in_the_trace(
    sizes: list[int], events: int, limit: int
) -> None:
    span = Span(
        trace_id=b"t" * 16, span_id=b"s" * 8, parent_span_id=b"p" * 8, name="n", start_time_unix_nano=1
    )
    for number, size in enumerate(sizes):
        span.attributes.add(key=f"k{number}").value.string_value = "x" * size
    for _ in range(events):
        span.events.add(name="e" * 50)
    smaller = shrink(Rendition(rendition().context, span.SerializeToString(), ENVELOPE), limit)
    if smaller is None:
        assert limit < 20_000
        return
    assert smaller.size <= limit
    left = Span.FromString(smaller.span)
    assert (left.trace_id, left.span_id, left.parent_span_id) == (b"t" * 16, b"s" * 8, b"p" * 8)
    gone = len(sizes) - len([one for one in left.attributes if one.key != LIMITED])
    assert left.dropped_attributes_count == gone
    assert left.dropped_events_count == events - len(left.events)
