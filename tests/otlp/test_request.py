"""Joining and splitting: nothing lost, nothing over the limit, nothing sent in more requests than needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, TraceFlags

from ajolo_fanout.otlp.decode import decode_request
from ajolo_fanout.otlp.encode import Tally, encode_resource, encode_scope, encode_span
from ajolo_fanout.otlp.rendition import Envelope, Rendition, sampled_context
from ajolo_fanout.otlp.request import Request, requests
from ajolo_fanout.otlp.wire import delimited

from .strategies import make_span, short

SAMPLED = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))
UNLIMITED = 1 << 40


def _envelope(resource: int, scope: int, padding: int) -> Envelope:
    url = f"https://example.com/{'u' * padding}".encode() if padding else b""
    return Envelope(
        encode_resource({"service.name": f"service-{resource}"}, Tally()),
        delimited(b"\x1a", url) if url else b"",
        encode_scope(make_span().instrumentation_scope, Tally())
        if scope == 0
        else b"\x0a\x03\x0a\x01%d" % scope,
        delimited(b"\x1a", url) if url else b"",
    )


ENVELOPES = [
    _envelope(resource, scope, padding) for resource in (1, 2) for scope in (0, 1, 2) for padding in (0, 99)
]


def _rendition(number: int, envelope: Envelope, size: int, *, extra: bool) -> Rendition:
    """A span named after its place in the list, with about `size` bytes of padding."""
    span = encode_span(make_span(name=str(number), attributes={"p": "x" * size}), Tally())
    more = b"\x4a\x09\x0a\x02%2d\x12\x03\x18\x80\x01" % (number % 100) if extra else b""
    return Rendition(SAMPLED, span, envelope, more)


batches = short(
    st.lists(
        st.tuples(
            st.sampled_from(ENVELOPES),
            st.one_of(
                st.integers(0, 40), st.integers(60, 140), st.sampled_from([1000, 16_200, 16_384, 70_000])
            ),
            st.booleans(),
        ),
        max_size=30,
    )
).map(
    lambda drawn: [
        _rendition(n, envelope, size, extra=extra) for n, (envelope, size, extra) in enumerate(drawn)
    ]
)


@settings(max_examples=300)
@given(batches, st.one_of(st.integers(0, 3000), st.integers(3000, 200_000), st.just(UNLIMITED)))
def test_every_span_travels_once_and_no_request_is_over_the_limit(batch: list[Rendition], limit: int) -> None:
    made = list(requests(batch, limit))
    assert sorted(id(one) for request in made for one in request.renditions) == sorted(map(id, batch))
    for request in made:
        assert request.renditions
        names = [span.name for span in decode_request(request.body)]
        assert sorted(names) == sorted(str(batch.index(one)) for one in request.renditions)
        if request.too_large:
            assert len(request.renditions) == 1
            assert len(request.body) > limit
        else:
            assert len(request.body) <= limit


@settings(max_examples=200)
@given(batches, st.integers(300, 20_000))
def test_a_request_is_cut_only_where_the_next_span_would_not_have_fitted(
    batch: list[Rendition], limit: int
) -> None:
    fitting = [request for request in requests(batch, limit) if not request.too_large]
    for request, following in pairwise(fitting):
        [whole] = requests([*request.renditions, following.renditions[0]], UNLIMITED)
        assert len(whole.body) > limit


@given(batches)
def test_a_limit_of_exactly_the_size_is_kept_to_the_byte(batch: list[Rendition]) -> None:
    if not batch:
        assert list(requests(batch, 0)) == []
        return
    [whole] = requests(batch, UNLIMITED)
    [same] = requests(batch, len(whole.body))
    assert same.body == whole.body
    assert not same.too_large
    smaller = list(requests(batch, len(whole.body) - 1))
    assert len(smaller) > 1 or smaller[0].too_large


@given(batches)
def test_spans_keep_their_order_and_groups_come_as_first_seen(batch: list[Rendition]) -> None:
    order: dict[tuple[bytes, bytes], dict[Envelope, list[str]]] = {}
    for number, one in enumerate(batch):
        key = (one.envelope.resource, one.envelope.resource_schema_url)
        order.setdefault(key, {}).setdefault(one.envelope, []).append(str(number))
    expected = [name for scopes in order.values() for names in scopes.values() for name in names]
    assert [
        span.name for request in requests(batch, UNLIMITED) for span in decode_request(request.body)
    ] == expected


def test_a_span_over_the_limit_does_not_cut_the_request_under_way() -> None:
    batch = [_rendition(n, ENVELOPES[0], 5000 if n == 1 else 10, extra=False) for n in range(3)]
    made: Sequence[Request] = list(requests(batch, 1000))
    assert [(request.too_large, list(request.renditions)) for request in made] == [
        (True, [batch[1]]),
        (False, [batch[0], batch[2]]),
    ]


def test_extra_fields_are_part_of_the_span_they_stand_behind() -> None:
    shared = _rendition(1, ENVELOPES[0], 10, extra=False)
    weighted = shared.with_extra(b"\x4a\x0c\x0a\x06weight\x12\x02\x18\x05")
    [request] = requests([weighted, shared], UNLIMITED)
    first, second = decode_request(request.body)
    assert first.attributes == {"p": "x" * 10, "weight": 5}
    assert second.attributes == {"p": "x" * 10}
    assert weighted.size == shared.size + 14
    assert shared.extra == b""


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 0xFE])
def test_a_rendition_is_sampled_to_the_sdk_whatever_the_span_was(flags: int) -> None:
    """RECORD_ONLY spans that a keep rule wants would else be dropped by the BatchSpanProcessor."""
    context = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(flags))
    sampled = sampled_context(context)
    assert sampled.trace_flags.sampled
    assert sampled.trace_flags | 1 == flags | 1
    assert (sampled.trace_id, sampled.span_id, sampled.is_remote) == (5, 6, True)
    assert (sampled is context) == bool(flags & 1)
    assert sampled_context(None).trace_flags.sampled
