"""Whatever a server sends over a real connection, a sender answers with an outcome: nothing ever raises."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import LONG
from tests.delivery.hostile import Hostile, read_request
from tests.delivery.support import KEY

from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.delivery.grpc import GrpcSender
from ajolo_fanout.delivery.http import HttpSender
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.values import Secret

SECRETS = {"x-key": Secret(KEY)}
READING = Reading.of((), tuple(SECRETS.values()), "the backend")
COUNT = 10

# A connection each: fewer than where only a function is called.
connected = settings(
    max_examples=300 if LONG else 40,
    deadline=None,
    suppress_health_check=(HealthCheck.function_scoped_fixture, HealthCheck.too_slow),
)


def holds(outcome: Outcome) -> None:
    assert outcome.kind in ("delivered", "partial", "retry", "rejected")
    assert 0 <= outcome.rejected <= COUNT
    assert (outcome.kind == "partial") == (outcome.rejected > 0)
    assert outcome.delay is None or outcome.delay >= 0
    assert outcome.kind == "delivered" or outcome.message
    assert outcome.message.isprintable()
    assert KEY not in outcome.message


class Saying:
    """Answers each request with the bytes it was given last, and closes."""

    def __init__(self, *, reads: bool) -> None:
        self.answer = b""
        self._reads = reads

    def __call__(self, server: Hostile, connection: Any, got: bytearray) -> None:
        if self._reads:
            read_request(connection, got)
        else:
            got += connection.recv(65536)
        connection.sendall(self.answer)


@pytest.fixture
def saying(request: pytest.FixtureRequest) -> Iterator[tuple[str, Saying]]:
    """Where a server listens, and what says what it answers."""
    says = Saying(reads=request.param)
    with Hostile(says) as server:
        yield server.url, says


# HTTP.

token = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
name = st.sampled_from(
    ["content-type", "retry-after", "location", "content-encoding", "transfer-encoding", "connection"]
)
value = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    st.sampled_from(
        [
            b"application/x-protobuf",
            b"application/json",
            b"text/html; charset=nonsense",
            b"gzip",
            b"deflate",
            b"br",
            b"chunked",
            b"120",
            b"-1",
            b"Fri, 31 Dec 9999 23:59:59 GMT",
            KEY.encode(),
        ]
    ),
)
body = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"<html>", b'{"partialSuccess":{"rejectedSpans":"4"}}', b"{}", b"", KEY.encode() * 9]),
)


@connected
@pytest.mark.parametrize("saying", [True], indirect=True)
@given(
    status=st.integers(100, 999),
    reason=st.binary(max_size=20).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    headers=st.lists(st.tuples(name.map(str.encode) | token.map(str.encode), value), max_size=6),
    content=body,
    length=st.sampled_from(["right", "short", "long", "none"]),
)
def test_no_http_answer_raises_out_of_the_sender(
    saying: tuple[str, Saying],
    status: int,
    reason: bytes,
    headers: list[tuple[bytes, bytes]],
    content: bytes,
    length: str,
) -> None:
    url, says = saying
    lines = [b"HTTP/1.1 %d %s" % (status, reason), *(b"%s: %s" % header for header in headers)]
    if length != "none":
        number = len(content) + {"right": 0, "short": -1, "long": 5}[length]
        lines.append(b"content-length: %d" % max(0, number))
    says.answer = b"\r\n".join([*lines, b"", content])
    holds(HttpSender(url, SECRETS, READING, tls=TlsSettings()).send(b"body", COUNT, 0.3))


@connected
@pytest.mark.parametrize("saying", [True], indirect=True)
@given(raw=st.binary(max_size=300))
def test_no_bytes_in_place_of_an_http_answer_raise(saying: tuple[str, Saying], raw: bytes) -> None:
    url, says = saying
    says.answer = raw
    holds(HttpSender(url, SECRETS, READING, tls=TlsSettings()).send(b"body", COUNT, 0.3))


# gRPC.


class Answering(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc brings no types
    """Answers every call as it was told last."""

    def __init__(self) -> None:
        self.code: Any = grpc.StatusCode.OK
        self.details = ""
        self.trailers: tuple[tuple[str, Any], ...] = ()
        self.body = b""

    def service(self, handler_call_details: Any) -> Any:
        def handle(request: bytes, context: Any) -> bytes:
            context.set_trailing_metadata(self.trailers)
            context.set_code(self.code)
            context.set_details(self.details)
            return self.body

        return grpc.unary_unary_rpc_method_handler(handle)


@pytest.fixture(scope="module")
def answering() -> Iterator[tuple[GrpcSender, Answering]]:
    handler, workers = Answering(), ThreadPoolExecutor(2)
    server = grpc.server(workers, handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sender = GrpcSender(f"http://127.0.0.1:{port}", SECRETS, READING, tls=TlsSettings())
    yield sender, handler
    sender.close()
    server.stop(grace=None).wait()
    workers.shutdown()


trailer = st.one_of(
    st.tuples(
        st.sampled_from(["grpc-status-details-bin", "google.rpc.retryinfo-bin", "other-bin"]),
        st.binary(max_size=60),
    ),
    st.tuples(st.sampled_from(["retry-after", "other"]), st.text("abc 019", max_size=20)),
)


@connected
@given(
    code=st.sampled_from(list(grpc.StatusCode)),
    details=st.text(max_size=60) | st.just(f"you sent {KEY}"),
    trailers=st.lists(trailer, max_size=4),
    content=st.binary(max_size=120),
)
def test_no_grpc_answer_raises_out_of_the_sender(
    answering: tuple[GrpcSender, Answering],
    code: Any,
    details: str,
    trailers: list[tuple[str, Any]],
    content: bytes,
) -> None:
    sender, handler = answering
    handler.code, handler.details = code, details.encode("utf-8", "replace").decode()
    handler.trailers, handler.body = tuple(trailers), content
    outcome = sender.send(b"body", COUNT, 30)
    holds(outcome)
    if code is grpc.StatusCode.OK:
        assert outcome.kind in ("delivered", "partial")


SETTINGS = struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
frame = st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 7), st.binary(max_size=40)).map(
    lambda one: struct.pack(">I", len(one[3]))[1:] + bytes(one[:2]) + struct.pack(">I", one[2]) + one[3]
)


@settings(connected, max_examples=100 if LONG else 12)
@pytest.mark.parametrize("saying", [False], indirect=True)
@given(raw=st.binary(max_size=200) | st.lists(frame, max_size=6).map(lambda all_: SETTINGS + b"".join(all_)))
def test_no_bytes_in_place_of_a_grpc_answer_raise(saying: tuple[str, Saying], raw: bytes) -> None:
    """Neither plain noise nor frames of HTTP/2 with anything in them."""
    url, says = saying
    says.answer = raw
    sender = GrpcSender(url, SECRETS, READING, tls=TlsSettings(), timeout=0.3)
    try:
        outcome = sender.send(b"body", COUNT, 0.3)
    finally:
        sender.close()
    holds(outcome)
    assert outcome.kind in ("retry", "rejected")
