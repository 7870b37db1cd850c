"""A spooled request is split and joined like any other."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ajolo_fanout.delivery.spool import renditions_of
from ajolo_fanout.otlp.request import requests


def request(resources: int = 2, scopes: int = 2, spans: int = 3) -> ExportTraceServiceRequest:
    whole = ExportTraceServiceRequest()
    for number in range(resources):
        resource = whole.resource_spans.add(schema_url=f"https://example.test/{number}")
        resource.resource.attributes.append(
            KeyValue(key="service.name", value=AnyValue(string_value=f"s{number}"))
        )
        for part in range(scopes):
            scope = resource.scope_spans.add(schema_url="" if part else "https://example.test/scope")
            scope.scope.name = f"scope {part}"
            for count in range(spans):
                span = scope.spans.add(name=f"span {number}.{part}.{count}", trace_state="a=b")
                span.trace_id, span.span_id = bytes([number + 1]) * 16, bytes([10 * part + count + 1]) * 8
                span.events.add(name="event", time_unix_nano=5)
    return whole


def test_joined_again_it_is_the_same_message() -> None:
    whole = request()
    renditions = renditions_of(whole.SerializeToString())
    assert len(renditions) == 12
    assert all(rendition.context.trace_flags.sampled for rendition in renditions)
    [again] = requests(renditions, 10**6)
    assert ExportTraceServiceRequest.FromString(again.body) == whole


def test_it_can_be_sent_in_smaller_requests() -> None:
    whole = request()
    renditions = renditions_of(whole.SerializeToString())
    parts = list(requests(renditions, 300))
    assert len(parts) > 2
    names = [
        span.name
        for part in parts
        for resource in ExportTraceServiceRequest.FromString(part.body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sorted(names) == sorted(
        span.name
        for resource in whole.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


def test_fields_of_a_later_otlp_travel_on() -> None:
    whole = request(1, 1, 1)
    span = whole.resource_spans[0].scope_spans[0].spans[0]
    span.MergeFromString(b"\xfa\x3e\x05later")  # field 1007
    [rendition] = renditions_of(whole.SerializeToString())
    assert b"later" in rendition.span


def test_what_is_no_request_is_said() -> None:
    with pytest.raises(DecodeError):
        renditions_of(b"\xff\xff\xff")


def test_a_request_without_spans_has_no_renditions() -> None:
    assert renditions_of(b"") == []
