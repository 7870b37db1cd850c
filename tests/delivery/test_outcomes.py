"""What servers answer, and what is made of it. Nothing that they send ever raises, or gets a secret shown."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.delivery.support import KEY

from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.delivery.grpc_outcome import grpc_failure, grpc_success
from ajolo_fanout.delivery.http_outcome import http_outcome, retry_after
from ajolo_fanout.delivery.outcome import EXCERPT_LENGTH, Outcome, excerpt
from ajolo_fanout.delivery.rpc_status import retry_delay
from ajolo_fanout.profiles.model import Answer
from ajolo_fanout.values import Mask, Secret

ANSWERS = (
    Answer(meaning="rejected", hint="the key belongs to another site; run `ajolo-fanout doctor`", status=403),
    Answer(meaning="too_large", hint="lower batch.max_export_batch_size", status=400, contains="Too Big"),
    Answer(meaning="retry", hint="ingestion is paused", status=422),
    Answer(meaning="rejected", hint="the tenant is unknown", grpc="UNKNOWN", contains="no org id"),
)
READING = Reading.of(ANSWERS, (Secret(KEY), Secret("Bearer " + KEY)), "Datadog (otlp.datadoghq.eu)")


def read(status: int, body: bytes = b"", *, count: int = 10, **headers: str) -> Outcome:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http_outcome(READING, status, named, body, count, now=lambda: 1_000_000_000.0)


def test_the_profile_s_hint_stands_in_the_message() -> None:
    outcome = read(403, b"Forbidden")
    assert outcome.kind == "rejected"
    assert outcome.refused_key
    assert outcome.message == (
        '403 Forbidden from Datadog (otlp.datadoghq.eu): "Forbidden" '
        "(the key belongs to another site; run `ajolo-fanout doctor`)"
    )


def test_the_profile_may_give_an_answer_another_meaning() -> None:
    assert read(400, b"payload TOO BIG").too_large
    assert not read(400, b"something else").too_large
    assert read(422).kind == "retry"
    assert "tenant" in grpc_failure(READING, "UNKNOWN", "no org id", []).message


@pytest.mark.parametrize(("status", "kind"), [(429, "retry"), (502, "retry"), (503, "retry"), (504, "retry")])
def test_four_statuses_are_worth_another_try(status: int, kind: str) -> None:
    assert read(status).kind == kind


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 307, 308, 400, 401, 404, 405, 408, 415, 418, 500, 501, 505]
)
def test_every_other_status_is_not(status: int) -> None:
    assert read(status).kind == "rejected"


def test_a_redirect_says_where_to_and_why_it_is_not_followed() -> None:
    assert "https://login.example" in read(302, Location="https://login.example").message


def test_a_body_that_is_a_status_shows_its_message() -> None:
    body = b"\x08\x0e\x12\x17the server is too busy!"
    message = read(503, body, Content_Type="application/x-protobuf").message
    assert '"the server is too busy!"' in message


def test_a_partial_success_that_is_set_but_empty_is_full_success() -> None:
    body = ExportTraceServiceResponse()
    body.partial_success.SetInParent()
    outcome = read(200, body.SerializeToString(), Content_Type="application/x-protobuf")
    assert outcome == Outcome("delivered", "200")
    assert grpc_success(READING, body.SerializeToString(), 10).kind == "delivered"


def test_a_message_beside_no_rejected_span_is_a_warning() -> None:
    body = ExportTraceServiceResponse()
    body.partial_success.error_message = "deprecated"
    for outcome in (
        read(200, body.SerializeToString(), Content_Type="application/x-protobuf"),
        grpc_success(READING, body.SerializeToString(), 10),
    ):
        assert outcome.kind == "delivered"
        assert "deprecated" in outcome.message


def test_more_rejected_than_sent_is_all_of_them() -> None:
    body = json.dumps({"partialSuccess": {"rejectedSpans": 99}}).encode()
    assert read(200, body, Content_Type="application/json").rejected == 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 2 ", 2.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Sun, 09 Sep 2001 01:46:50 GMT", 10.0),
        ("Sun, 09 Sep 2001 01:46:30 GMT", 0.0),  # in the past
        ("", None),
        ("-5", None),
        ("soon", None),
        ("١٢", None),
        ("9" * 400, None),
        ("Sun, 99 Sep 2001 01:46:50 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    assert retry_after(text, lambda: 1_000_000_000.0) == seconds


FORMS = [
    KEY,
    "Bearer " + KEY,
    base64.b64encode(KEY.encode()).decode(),
    "".join(f"\x00{letter}" for letter in KEY),
    "\u200b".join(KEY),
    "\u00ad".join(KEY),
    "\U000e0001".join(KEY),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_echoes_the_key_doesn_t_get_it_shown(form: str) -> None:
    body = f"you sent {form} and it is wrong".encode()
    for outcome in (
        read(401, body),
        read(503, body),
        read(200, body),
        read(302, Location=f"https://x/?k={form}"),
    ):
        assert KEY not in outcome.message
        assert base64.b64encode(KEY.encode()).decode() not in outcome.message
    assert KEY not in grpc_failure(READING, "UNAUTHENTICATED", body.decode(), []).message


def test_no_half_of_a_secret_slips_past_at_the_end_of_the_excerpt() -> None:
    for offset in range(EXCERPT_LENGTH - len(KEY) - 2, EXCERPT_LENGTH + 2):
        shown = excerpt("." * offset + KEY, Mask((Secret(KEY),)))
        assert KEY[:6] not in shown
        assert len(shown) <= EXCERPT_LENGTH


def test_an_excerpt_is_one_line_without_control_characters() -> None:
    shown = excerpt("a\x1b[2Jb\r\nc\u202ed\u2028e" + "f" * 500, lambda text: text)
    assert shown.startswith("a[2Jb cd")
    assert len(shown) == EXCERPT_LENGTH
    assert shown.isprintable()


# Fuzzing: whatever a server sends.

status = st.integers(100, 999)
header = st.dictionaries(
    st.sampled_from(["Content-Type", "Retry-After", "Location", "content-type", "X"]), st.text(max_size=50)
)
content_types = st.sampled_from(
    ["", "application/x-protobuf", "application/json", "text/html", "text/plain; charset=utf-16", "\x00"]
)
body = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=5).map(
        lambda value: json.dumps({"partialSuccess": value}).encode()
    ),
    st.integers(-(2**63), 2**63 - 1).map(
        lambda n: json.dumps({"partialSuccess": {"rejectedSpans": str(n), "errorMessage": "m"}}).encode()
    ),
)


@given(status, header, content_types, body, st.integers(1, 600))
def test_no_http_answer_raises(code: int, headers: Any, kind: str, content: bytes, count: int) -> None:
    outcome = http_outcome(READING, code, {**headers, "content-type": kind}, content, count)
    _holds(outcome, count)


@given(
    st.sampled_from(
        ["OK", "CANCELLED", "UNKNOWN", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "UNAVAILABLE", "NEW"]
    ),
    st.text(max_size=100),
    st.lists(
        st.tuples(
            st.sampled_from(["grpc-status-details-bin", "google.rpc.retryinfo-bin", "x"]),
            st.binary(max_size=60) | st.text(max_size=20),
        ),
        max_size=4,
    ),
)
def test_no_grpc_answer_raises(code: str, details: str, trailers: Any) -> None:
    _holds(grpc_failure(READING, code, details, trailers), 1)
    allowed, delay = retry_delay(trailers)
    assert delay is None or (allowed and delay >= 0)


@given(st.binary(max_size=200), st.integers(1, 600))
def test_no_grpc_success_raises(content: bytes, count: int) -> None:
    _holds(grpc_success(READING, content, count), count)


def _holds(outcome: Outcome, count: int) -> None:
    assert outcome.kind in ("delivered", "partial", "retry", "rejected")
    assert 0 <= outcome.rejected <= count
    assert (outcome.kind == "partial") == (outcome.rejected > 0)
    assert outcome.delay is None or (outcome.kind == "retry" and outcome.delay >= 0)
    assert outcome.kind == "delivered" or outcome.message
    assert "\n" not in outcome.message
