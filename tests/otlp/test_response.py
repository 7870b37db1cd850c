"""Reading what an intake says of a success: OTLP, a vendor's own words, or somebody who is no intake."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from ajolo_fanout.otlp.response import Response, read_response

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def partial(rejected: int, message: str = "") -> bytes:
    """An answer in protobuf."""
    success = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=success).SerializeToString()


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (PROTOBUF, b"", Response(kind="empty")),
        ("", b"", Response(kind="empty")),
        (None, b"", Response(kind="empty")),
        (PROTOBUF, partial(0), Response(0, "", "otlp")),
        (PROTOBUF, partial(3, "too old"), Response(3, "too old", "otlp")),
        (PROTOBUF, partial(0, "a warning"), Response(0, "a warning", "otlp")),
        ("Application/X-Protobuf; charset=x", partial(3), Response(3, "", "otlp")),
        ("application/octet-stream", partial(3, "no"), Response(3, "no", "otlp")),
        ("", partial(3, "no"), Response(3, "no", "otlp")),
        (PROTOBUF, partial(-4), Response(0, "", "otlp")),
        (PROTOBUF, partial(2**63 - 1), Response(2**63 - 1, "", "otlp")),
        (JSON, b"{}", Response(0, "", "otlp")),
        (JSON, b'{"partialSuccess": {}}', Response(0, "", "otlp")),
        (JSON, b'{"partialSuccess": null}', Response(0, "", "otlp")),
        (JSON, b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "m"}}', Response(3, "m", "otlp")),
        (JSON, b'{"partial_success": {"rejected_spans": 3, "error_message": "m"}}', Response(3, "m", "otlp")),
        (JSON, b'\xef\xbb\xbf {"partialSuccess": {"rejectedSpans": 3}}', Response(3, "", "otlp")),
        ("", b'{"partialSuccess": {"rejectedSpans": 3}}', Response(3, "", "otlp")),
        (PROTOBUF, b'{"partialSuccess": {"rejectedSpans": 3}}', Response(3, "", "otlp")),
        (JSON, b'{"partialSuccess": {"rejectedSpans": "-3", "errorMessage": 7}}', Response(0, "", "otlp")),
        (JSON, b'{"partialSuccess": {"rejectedSpans": 1e400}}', Response(0, "", "otlp")),
        (JSON, b'{"partialSuccess": "yes"}', Response(kind="json")),
        (JSON, b'{"message": "OK"}', Response(kind="json")),  # Langfuse
        (PROTOBUF, b'{"message": "OK"}', Response(kind="json")),
        (JSON, b'["ok"]', Response(kind="json")),
        (JSON, b'"ok"', Response(kind="json")),
        (JSON, b"ok", Response(kind="other")),
        (JSON, b"{", Response(kind="other")),
        (JSON, b"[" * 100_000, Response(kind="other")),
        ("text/html; charset=utf-8", b"hello", Response(kind="html")),
        ("text/html", b"", Response(kind="empty")),  # what a framework calls an answer that says nothing
        ("text/html", b"\r\n", Response(kind="empty")),
        ("text/html", b'{"partialSuccess": {"rejectedSpans": 3}}', Response(3, "", "otlp")),
        ("text/html", b"{{ not filled in }}", Response(kind="html")),
        ("", b"\n <!DOCTYPE HTML><p>", Response(kind="html")),
        (JSON, b"<HTML lang=en>", Response(kind="html")),
        (PROTOBUF, b"<html>", Response(kind="html")),
        ("text/plain", b"OK", Response(kind="other")),
        ("", b"OK", Response(kind="other")),
        ("", b"zOK", Response(kind="other")),
        (PROTOBUF, b"\xff\xff\xff", Response(kind="other")),
    ],
)
def test_what_a_body_is(content_type: str | None, body: bytes, expected: Response) -> None:
    assert read_response(content_type, body) == expected


content_types = st.one_of(
    st.none(),
    st.sampled_from(["", PROTOBUF, JSON, "text/html", "text/plain", ";;", "a/b; c=d"]),
    st.text(max_size=9),
)
nested = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["partialSuccess", "partial_success", "rejectedSpans", "errorMessage", "x"]),
            inner,
        ),
    ),
    max_leaves=8,
)


@example(JSON, b'{"partialSuccess": {"rejectedSpans": "\xc2\xb2"}}')
@example(JSON, b'{"partialSuccess": {"rejectedSpans": NaN}}')
@given(
    content_types,
    st.one_of(
        st.binary(max_size=60),
        nested.map(lambda value: json.dumps(value).encode()),
        st.builds(
            lambda rejected, cut: partial(rejected, "message")[:cut], st.integers(-9, 9), st.integers(0, 20)
        ),
    ),
)
def test_garbage_never_raises_nor_counts_backwards(content_type: str | None, body: bytes) -> None:
    response = read_response(content_type, body)
    assert isinstance(response.rejected, int)
    assert 0 <= response.rejected < 2**63
    assert isinstance(response.message, str)
    assert response.kind in ("otlp", "empty", "json", "html", "other")
    if response.rejected or response.message:
        assert response.kind == "otlp"
