"""The encoder against its reference, the stock one: equal messages wherever that one encodes."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState
from tests.installed import ANY_VALUE

from ajolo_fanout.otlp.anyvalue import CYCLE, TOO_DEEP, TOO_MANY
from ajolo_fanout.otlp.decode import decode_request
from ajolo_fanout.otlp.encode import Tally, encode_span
from ajolo_fanout.otlp.envelopes import Envelopes
from ajolo_fanout.otlp.rendition import Rendition, sampled_context
from ajolo_fanout.otlp.request import requests
from ajolo_fanout.steps.draft import Draft

from . import strategies as our
from .mending import mended, mended_attributes


def our_body(*spans: Any, tally: Tally | None = None) -> bytes:
    tally = tally or Tally()
    envelopes = Envelopes()
    renditions = [
        Rendition(sampled_context(span.context), encode_span(span, tally), envelopes.of(span, tally))
        for span in spans
    ]
    [request] = requests(renditions, 1 << 40)
    return request.body


def canonical(body: bytes) -> bytes:
    """What a parsed message says, as bytes: equal for equal messages, NaN included."""
    return ExportTraceServiceRequest.FromString(body).SerializeToString(deterministic=True)


def stock_body(*spans: Any) -> bytes:
    return encode_spans(spans).SerializeToString()


def decoded_attributes(attributes: Mapping[Any, Any], tally: Tally | None = None) -> dict[str, Any]:
    [span] = decode_request(our_body(our.make_span(attributes=attributes), tally=tally))
    return span.attributes


@settings(max_examples=400)
@given(our.spans())
def test_a_span_parses_equal_to_what_the_stock_encoder_makes_of_it(span: Any) -> None:
    tally = Tally()
    assert canonical(our_body(span, tally=tally)) == canonical(stock_body(span))
    assert tally.repaired == 0


@settings(max_examples=200)
@given(our.hand_made_spans)
def test_an_untouched_draft_is_encoded_as_its_span(span: Any) -> None:
    assert canonical(our_body(Draft(span))) == canonical(our_body(span))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=20_000)
@given(our.spans())
def test_a_great_many_spans_parse_equal(span: Any) -> None:
    assert canonical(our_body(span)) == canonical(stock_body(span))


@settings(max_examples=400)
@given(our.odd_spans)
def test_what_the_stock_encoder_drops_or_refuses_arrives_mended(span: Any) -> None:
    """Half an emoji, 80-bit integers, objects that raise, missing contexts: repaired in place, never lost."""
    assume(_keys_stay_apart(span))
    tally = Tally()
    body = our_body(span, tally=tally)
    plain = mended(span)
    if plain.context is None:
        plain.context = SpanContext(0, 0, is_remote=False)
    unknown_kind = not isinstance(plain.kind, SpanKind)
    if unknown_kind:
        plain.kind = SpanKind.INTERNAL
    plain.get_span_context = lambda: plain.context
    plain.resource = Hashable(plain.resource)
    plain.instrumentation_scope = plain.instrumentation_scope and Hashable(plain.instrumentation_scope)
    expected = encode_spans([plain])
    if unknown_kind:
        expected.resource_spans[0].scope_spans[0].spans[0].kind = SpanMessage.SPAN_KIND_UNSPECIFIED
    assert canonical(body) == expected.SerializeToString(deterministic=True)


class Hashable:
    """A record that the stock encoder can group by."""

    def __init__(self, record: Any) -> None:
        vars(self).update(vars(record))


def _keys_stay_apart(value: Any) -> bool:
    """Whether no two keys of one mapping look alike when mended: 1 and "1" would be one key in a dict."""
    if isinstance(value, Mapping):
        return len(mended_attributes(value)) == len(value) and all(map(_keys_stay_apart, value.values()))
    if isinstance(value, (list, our.UserList)):
        return all(map(_keys_stay_apart, value))
    if isinstance(value, our.SimpleNamespace):
        return all(map(_keys_stay_apart, vars(value).values()))
    return True


@pytest.mark.parametrize("size", [0, 1, 39, 40, 122, 123, 124, 125, 126, 127, 128, 16_380, 16_384, 2_097_152])
def test_lengths_around_those_where_a_varint_grows(size: int) -> None:
    text = "x" * size
    span = our.make_span(
        name=text,
        attributes={"a": text, "b": [text, {"c": text}], "d": text.encode()},
        events=[Event(text, {"a": text}, timestamp=3)],
        status=Status(StatusCode.ERROR, text),
    )
    assert canonical(our_body(span)) == canonical(stock_body(span))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**14, 2**31, 2**32, 2**63 - 1, -1, -(2**63)])
def test_integers_of_every_size(number: int) -> None:
    span = our.make_span(attributes={"n": number, "again": number, "nested": [number, {"n": number}]})
    assert canonical(our_body(span)) == canonical(stock_body(span))


def test_a_value_keeps_its_type_whatever_was_met_before_under_its_key() -> None:
    """1, True and 1.0 are equal to Python; what is remembered of one must not answer for another."""
    nothing = (None,) * ANY_VALUE  # or the stock encoder leaves it out
    for value in (1, True, 1.0, "1", 0, False, -0.0, 0.0, "", *nothing, 1, True, 1.0):
        span = our.make_span(attributes={"same": value})
        assert canonical(our_body(span)) == canonical(stock_body(span)), value


def test_more_keys_and_values_than_are_remembered() -> None:
    for number in range(5000):
        attributes = {f"key.{number}": f"value {number}", "key": f"v{number}", "n": number * 7}
        assert decoded_attributes(attributes) == attributes


def test_half_an_emoji_is_sent_as_a_replacement_and_counted_each_time() -> None:
    for _ in range(2):
        tally = Tally()
        span = our.make_span(
            name="n\ud83d",
            context=SpanContext(1, 2, is_remote=False, trace_state=TraceState([("k", "v")])),
            attributes={"key\ude00": "value\ud83d", "list": ["\ude00\ud83d"], "whole": "\ud83d\ude00"},
            events=[Event("e\ud83d", {"a\ud83d": 1}, timestamp=3)],
            status=Status(StatusCode.ERROR, "s\ud83d"),
            resource=Resource({"r": "\ud83d"}, "u\ud83d"),
            instrumentation_scope=InstrumentationScope("sc\ud83d", "1\ud83d", "su\ud83d", {"sa": "\ud83d"}),
        )
        [decoded] = decode_request(our_body(span, tally=tally))
        assert decoded.name == "n\ufffd"
        assert decoded.attributes == {
            "key\ufffd": "value\ufffd",
            "list": ["\ufffd\ufffd"],
            "whole": "\U0001f600",
        }
        assert decoded.events[0].name == "e\ufffd"
        assert decoded.events[0].attributes == {"a\ufffd": 1}
        assert decoded.status is not None
        assert decoded.status.message == "s\ufffd"
        assert decoded.resource == {"r": "\ufffd"}
        assert decoded.resource_schema_url == "u\ufffd"
        assert (decoded.scope.name, decoded.scope.version, decoded.scope.schema_url) == (
            "sc\ufffd",
            "1\ufffd",
            "su\ufffd",
        )
        assert decoded.scope.attributes == {"sa": "\ufffd"}
        assert tally.repaired == 14


def test_integers_beyond_64_bits_are_decimal_strings() -> None:
    tally = Tally()
    sent = decoded_attributes({"a": 2**63, "b": -(2**63) - 1, "c": [2**64], "d": 2**63 - 1}, tally)
    assert sent == {
        "a": "9223372036854775808",
        "b": "-9223372036854775809",
        "c": ["18446744073709551616"],
        "d": 2**63 - 1,
    }
    assert tally.repaired == 3


def test_an_integer_of_more_digits_than_python_writes_is_hexadecimal() -> None:
    assert decoded_attributes({"a": 10**5000})["a"] == hex(10**5000)


def test_objects_are_sent_as_they_show_themselves_and_else_by_their_types_name() -> None:
    tally = Tally()
    sent = decoded_attributes({"a": our.Colour.RED, "b": our.Shy(), "c": {"x": [our.Shy()]}}, tally)
    assert sent == {"a": "Colour.RED", "b": "Shy", "c": {"x": ["Shy"]}}
    assert tally.repaired == 3


def test_a_container_that_raises_while_it_is_read_is_sent_as_its_types_name() -> None:
    class Broken(our.UserDict[str, int]):
        def items(self) -> Any:
            raise OSError("gone")

    class Endless(our.UserList[int]):
        def __iter__(self) -> Iterator[int]:
            while True:
                yield 1

    tally = Tally()
    sent = decoded_attributes({"a": Broken(x=1), "b": "kept"}, tally)
    assert sent == {"a": "Broken", "b": "kept"}
    assert tally.repaired == 1
    assert decoded_attributes({"e": Endless()})["e"][-1] == TOO_MANY


def test_a_structure_that_contains_itself_ends_at_a_marker() -> None:
    inner: list[Any] = [1]
    inner += [inner, inner]
    around: dict[str, Any] = {"inner": inner, "twice": [2, 2]}
    around["self"] = around
    tally = Tally()
    sent = decoded_attributes({"a": around}, tally)
    assert sent["a"] == {"inner": [1, CYCLE, CYCLE], "twice": [2, 2], "self": CYCLE}
    assert tally.repaired == 3


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}], ids=["lists", "maps"])
def test_depth_ends_where_decoders_would_refuse_the_whole_request(wrap: Any) -> None:
    value: Any = 1
    for _ in range(3000):
        value = wrap(value)
    span = our.make_span(attributes={"a": value}, events=[Event("e", {"a": value}, timestamp=3)])
    [decoded] = decode_request(our_body(span))
    assert TOO_DEEP in str(decoded.attributes["a"])
    assert TOO_DEEP in str(decoded.events[0].attributes["a"])


def test_sharing_can_not_multiply_a_value_beyond_a_bound() -> None:
    """Thirty lists, each twice in the next: a billion values for the price of thirty."""
    value: list[Any] = [1]
    for _ in range(30):
        value = [value, value]
    tally = Tally()
    assert TOO_MANY in str(decoded_attributes({"a": value}, tally))
    assert tally.repaired > 0


def test_missing_and_impossible_fields_never_raise() -> None:
    tally = Tally()
    span = our.make_span(context=None, kind=None, start_time=-5, end_time=2**70, status=None)
    [decoded] = decode_request(our_body(span, tally=tally))
    assert (decoded.trace_id, decoded.span_id, decoded.kind) == ("0" * 32, "0" * 16, "unspecified")
    assert (decoded.start_time, decoded.end_time, decoded.status) == (0, 2**64 - 1, None)
    assert tally.repaired == 4


def test_flags_say_only_whether_the_parent_is_remote_and_links_carry_no_trace_state() -> None:
    state = TraceState([("vendor", "x")])
    remote = SpanContext(1, 3, is_remote=True, trace_state=state)
    local = SpanContext(1, 3, is_remote=False, trace_state=state)
    spans = [
        our.make_span(parent=parent, links=[Link(remote), Link(local)]) for parent in (remote, local, None)
    ]
    decoded = decode_request(our_body(*spans))
    assert [span.flags for span in decoded] == [0x300, 0x100, 0x100]
    assert [(link.flags, link.trace_state) for link in decoded[0].links] == [(0x300, ""), (0x100, "")]
    assert canonical(our_body(*spans)) == canonical(stock_body(*spans))


def test_spans_of_many_scopes_are_grouped_as_the_stock_encoder_groups_them() -> None:
    resources = [Resource({"service.name": name}) for name in "ab"]
    scopes = [InstrumentationScope(name) for name in "xyz"]
    spans = [
        our.make_span(
            name=str(n), resource=resources[n % 2], instrumentation_scope=scopes[n % 3], status=None
        )
        for n in range(20)
    ]
    assert canonical(our_body(*spans)) == canonical(stock_body(*spans))


def test_nan_and_negative_zero_arrive_as_they_are() -> None:
    sent = decoded_attributes({"nan": math.nan, "zero": -0.0})
    assert math.isnan(sent["nan"])
    assert math.copysign(1, sent["zero"]) == -1


def test_encoding_imports_neither_protobuf_nor_the_stock_exporters() -> None:
    script = (
        "import sys, ajolo_fanout.otlp.encode, ajolo_fanout.otlp.envelopes, ajolo_fanout.otlp.request,"
        "ajolo_fanout.otlp.response, ajolo_fanout.otlp.decode, ajolo_fanout.otlp.compress;"
        "print([name for name in sys.modules"
        " if name.startswith(('google.protobuf', 'opentelemetry.proto.', 'opentelemetry.exporter'))])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
