"""Requests in plain Python and in OTLP JSON, there and back."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

from ajolo_fanout.otlp.compress import compress
from ajolo_fanout.otlp.decode import (
    DecodedEvent,
    DecodedLink,
    DecodedScope,
    DecodedSpan,
    DecodedStatus,
    decode_request,
    from_json,
    to_json_line,
)

from . import strategies as our
from .test_encode import our_body

SPAN = our.make_span(
    name="chat gpt-4o",
    context=SpanContext(0xABC, 0xDEF, is_remote=False, trace_state=TraceState([("ot", "th:8"), ("k", "v")])),
    parent=SpanContext(0xABC, 0x123, is_remote=True),
    kind=SpanKind.CLIENT,
    start_time=1_795_450_533_879_494_520,
    end_time=1_795_450_535_129_494_520,
    attributes={
        "s": "é",
        "b": True,
        "i": 2**60,
        "f": 0.5,
        "raw": b"\x00\xff",
        "l": ["a", None],
        "m": {"k": [1]},
    },
    events=[Event("exception", {"exception.type": "ValueError"}, timestamp=7)],
    links=[Link(SpanContext(1, 2, is_remote=False), {"why": "retry"})],
    status=Status(StatusCode.ERROR, "no"),
    resource=Resource({"service.name": "agent"}, "https://example.com/r"),
    instrumentation_scope=InstrumentationScope("ajolopy", "0.1.8", "https://example.com/s", {"x": 1}),
)
DECODED = DecodedSpan(
    name="chat gpt-4o",
    trace_id=f"{0xABC:032x}",
    span_id=f"{0xDEF:016x}",
    parent_id=f"{0x123:016x}",
    trace_state="ot=th:8,k=v",
    flags=0x300,
    kind="client",
    start_time=1_795_450_533_879_494_520,
    end_time=1_795_450_535_129_494_520,
    attributes={
        "s": "é",
        "b": True,
        "i": 2**60,
        "f": 0.5,
        "raw": b"\x00\xff",
        "l": ["a", None],
        "m": {"k": [1]},
    },
    events=(DecodedEvent("exception", 7, {"exception.type": "ValueError"}),),
    links=(DecodedLink(f"{1:032x}", f"{2:016x}", {"why": "retry"}, flags=0x100),),
    status=DecodedStatus("error", "no"),
    resource={"service.name": "agent"},
    resource_schema_url="https://example.com/r",
    scope=DecodedScope("ajolopy", "0.1.8", {"x": 1}, "https://example.com/s"),
)


def test_every_field_of_a_span_is_decoded() -> None:
    [decoded] = decode_request(our_body(SPAN))
    assert decoded == DECODED
    assert not decoded.is_root
    assert decoded.duration == pytest.approx(1.25)


def test_json_is_otlps_own_form() -> None:
    """Ids in hexadecimal, enums as integers, 64-bit integers as strings, lowerCamelCase, one line."""
    line = to_json_line(our_body(SPAN))
    assert "\n" not in line
    assert line.isascii()
    [in_resource] = json.loads(line)["resourceSpans"]
    [in_scope] = in_resource["scopeSpans"]
    [span] = in_scope["spans"]
    assert span["traceId"] == f"{0xABC:032x}"
    assert span["parentSpanId"] == f"{0x123:016x}"
    assert span["links"][0]["spanId"] == f"{2:016x}"
    assert span["kind"] == 3
    assert span["status"] == {"message": "no", "code": 2}
    assert span["startTimeUnixNano"] == "1795450533879494520"
    assert {"key": "i", "value": {"intValue": str(2**60)}} in span["attributes"]
    assert {"key": "raw", "value": {"bytesValue": "AP8="}} in span["attributes"]


def _same(value: Any) -> Any:
    """`value` so that NaN equals NaN."""
    return repr(value)


@given(st.lists(our.spans(), min_size=1, max_size=3))
def test_json_says_the_same_as_the_bytes(spans: list[Any]) -> None:
    body = our_body(*spans)
    line = to_json_line(body)
    decoded = decode_request(body)
    assert _same(from_json(line)) == _same(decoded)
    assert _same(from_json(f"{line}\n\n{line}\n")) == _same([*decoded, *decoded])


@pytest.mark.parametrize(
    "text",
    ["", "  \n", '{"resourceSpans": []}', '{"resourceSpans": null}', '{"unknown": [1], "resourceSpans": []}'],
)
def test_json_without_spans_has_none(text: str) -> None:
    assert from_json(text) == []


def test_json_of_other_writers_is_read() -> None:
    """Numbers for 64-bit integers, upper-case ids, enum names, fields we don't know: all are allowed."""
    span = {
        "traceId": "ABCDEF" + "0" * 26,
        "spanId": "0" * 15 + "A",
        "name": "n",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": 5,
        "attributes": [{"key": "i", "value": {"intValue": 7}}],
        "invented": {"a": 1},
    }
    [decoded] = from_json(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    assert (decoded.trace_id, decoded.span_id) == ("abcdef" + "0" * 26, "0" * 15 + "a")
    assert (decoded.kind, decoded.start_time, decoded.attributes) == ("server", 5, {"i": 7})
    assert decoded.status is None
    assert decoded.is_root


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", 1),
        ('{"resourceSpans": []}\n\nnot json', 3),
        ('{"resourceSpans": []}\n[1]', 2),
        ("7", 1),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}', 1),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 7}]}]}]}', 1),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 7}]}]}]}', 1),
        ('{"resourceSpans": [{"scopeSpans": "x"}]}', 1),
        ('{"resourceSpans": 7}', 1),
        ("[" * 100_000, 1),
    ],
)
def test_json_that_is_no_request_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"^line {line}: "):
        from_json(text)


def test_bytes_that_are_no_request_are_refused() -> None:
    with pytest.raises(DecodeError):
        decode_request(b"\xff\xff")
    assert decode_request(b"") == []


def test_numbers_of_a_later_protocol_are_read_as_unspecified() -> None:
    body = our_body(SPAN).replace(b"\x30\x03", b"\x30\x2a").replace(b"\x18\x02", b"\x18\x2a")
    [decoded] = decode_request(body)
    assert decoded.kind == "unspecified"
    assert decoded.status == DecodedStatus("unset", "no")


@given(st.binary(max_size=4000))
def test_gzip_gives_back_the_body_and_is_the_same_every_time(body: bytes) -> None:
    packed = compress(body, "gzip")
    assert gzip.decompress(packed) == body
    assert packed == compress(body, "gzip")
    assert packed[4:8] == bytes(4)  # no time of day in it
    assert compress(body, "none") is body
