"""The embedded OTLP server: real clients against it, every script, and nothing left behind."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.delivery.hostile import RESET

from ajolo_fanout.testing import Answer, OtlpServer, ReceivedRequest, Tls, make_tls, recorded_spans, wait_for
from ajolo_fanout.testing.collector_run import free_ports
from ajolo_fanout.testing.server import GRPC_METHOD

PROTOBUF = {"content-type": "application/x-protobuf"}
BODY = encode_spans(recorded_spans("ok")).SerializeToString()
LIMIT = 30.0
"""Seconds for anything to happen: two cores may be shared with a whole test run."""
NAMES = ["chat gpt-4o", "execute_tool get_weather", "chat gpt-4o", "agent.invoke WeatherAgent"]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    """Every server stops completely: no thread of its own survives the test."""
    yield
    left = [thread for thread in threading.enumerate() if thread.name.startswith("otlp-server")]
    assert left == []


def post(server: OtlpServer, body: bytes = BODY, **options: Any) -> urllib3.BaseHTTPResponse:
    options.setdefault("headers", PROTOBUF)
    context = options.pop("context", None)
    with urllib3.PoolManager(retries=False, ssl_context=context) as pool:
        return pool.request("POST", server.endpoint + "/v1/traces", body=body, timeout=LIMIT, **options)


def call(server: OtlpServer, body: bytes = BODY, *, method: str = GRPC_METHOD, tls: Tls | None = None) -> Any:
    """The gRPC answer: an object with code(), details(), trailing_metadata(), and result() where it is OK."""
    address = server.endpoint.partition("//")[2]
    if tls is None:
        channel = grpc.insecure_channel(address)
    else:
        credentials = grpc.ssl_channel_credentials(
            tls.ca_file.read_bytes(), tls.client_key_file.read_bytes(), tls.client_cert_file.read_bytes()
        )
        channel = grpc.secure_channel(address, credentials)
    with channel:
        future = channel.unary_unary(method).future(body, timeout=LIMIT, metadata=[("x-tenant", "agents")])
        future.exception()  # waits
        return future


def test_http_keeps_the_request_and_its_spans(otlp_server: OtlpServer) -> None:
    response = post(otlp_server, headers={**PROTOBUF, "X-Key": "abc"})
    assert response.status == 200
    assert ExportTraceServiceResponse.FromString(response.data) == ExportTraceServiceResponse()
    [request] = otlp_server.requests
    assert (request.method, request.path, request.headers["x-key"]) == ("POST", "/v1/traces", "abc")
    assert request.body == BODY
    assert [span.name for span in otlp_server.wait_for_spans(4)] == NAMES


@pytest.mark.parametrize("answer", [None, Answer(body=b"{}")], ids=["as ever", "scripted"])
def test_metrics_are_taken_and_are_no_spans(answer: Answer | None) -> None:
    """As messages the two look alike: a metric would be a span without a name."""
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="a count")
    metric.sum.data_points.add(as_int=1)
    with OtlpServer(answer=answer) as server:
        for path in ("/v1/metrics", "/v1/traces"):
            body = metrics.SerializeToString() if path == "/v1/metrics" else BODY
            assert urllib3.request("POST", server.endpoint + path, body=body, headers=PROTOBUF).status == 200
        assert [request.path for request in server.requests] == ["/v1/metrics", "/v1/traces"]
        assert [span.name for span in server.spans] == NAMES


def test_gzip_is_undone_and_the_size_on_the_wire_kept(otlp_server: OtlpServer) -> None:
    packed = gzip.compress(BODY)
    assert post(otlp_server, packed, headers={**PROTOBUF, "content-encoding": "gzip"}).status == 200
    [request] = otlp_server.requests
    assert (request.body, request.wire_size) == (BODY, len(packed))


def test_a_connection_is_kept_for_many_requests(otlp_server: OtlpServer) -> None:
    with urllib3.PoolManager(maxsize=1) as pool:
        for _ in range(20):
            pool.request("POST", otlp_server.endpoint + "/v1/traces", body=BODY, headers=PROTOBUF)
        [connections] = [pool.connection_from_url(otlp_server.endpoint).num_connections]
    assert connections == 1
    assert len(otlp_server.spans) == 80


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("GET", PROTOBUF, b"", 405),
        ("POST", {"content-type": "text/plain"}, BODY, 415),
        ("POST", PROTOBUF, b"\xff\xff", 400),
        ("POST", {**PROTOBUF, "content-encoding": "gzip"}, b"no gzip", 400),
        ("POST", {**PROTOBUF, "content-encoding": "br"}, BODY, 400),
    ],
)
def test_http_refuses_what_the_specification_refuses(
    otlp_server: OtlpServer, method: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    with urllib3.PoolManager(retries=False) as pool:
        response = pool.request(method, otlp_server.endpoint + "/v1/traces", headers=headers, body=body)
    assert response.status == status
    assert otlp_server.spans == []


def test_grpc_keeps_the_request_its_metadata_and_its_spans(otlp_grpc_server: OtlpServer) -> None:
    answer = call(otlp_grpc_server)
    assert answer.code() is grpc.StatusCode.OK
    [request] = otlp_grpc_server.requests
    assert (request.protocol, request.path, request.headers["x-tenant"]) == ("grpc", GRPC_METHOD, "agents")
    assert request.body == BODY
    assert [span.name for span in otlp_grpc_server.wait_for_spans(4)] == NAMES


def test_grpc_refuses_another_method_and_a_broken_message(otlp_grpc_server: OtlpServer) -> None:
    assert call(otlp_grpc_server, method="/some.Service/Export").code() is grpc.StatusCode.UNIMPLEMENTED
    assert call(otlp_grpc_server, b"\xff\xff").code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(otlp_grpc_server.requests) == 2
    assert otlp_grpc_server.spans == []


def test_http_over_tls_is_for_those_who_trust_the_authority(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    with OtlpServer(tls=tls) as server:
        assert server.endpoint.startswith("https://")
        assert post(server, context=tls.client_context(with_certificate=False)).status == 200
        with pytest.raises(urllib3.exceptions.SSLError):
            post(server, context=ssl.create_default_context())
        wait_for(lambda: server.refused, what="the refused handshake")
    assert len(server.requests) == 1


def test_http_with_client_certificates_refuses_a_client_without(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, client_required=True)
    with OtlpServer(tls=tls) as server:
        with pytest.raises((urllib3.exceptions.SSLError, urllib3.exceptions.ProtocolError)):
            post(server, context=tls.client_context(with_certificate=False))
        assert post(server, context=tls.client_context()).status == 200
        assert len(server.requests) == 1


def test_grpc_with_client_certificates(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, client_required=True)
    with OtlpServer("grpc", tls=tls) as server:
        assert call(server, tls=tls).code() is grpc.StatusCode.OK
        assert len(server.spans) == 4


def test_private_keys_are_for_the_owner_only(fanout_tls: Tls) -> None:
    assert fanout_tls.key_file.stat().st_mode & 0o077 == 0
    assert fanout_tls.client_key_file.stat().st_mode & 0o077 == 0


def test_without_trustme_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trustme", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ajolo-fanout\[testing\]'"):
        make_tls(tmp_path)


def test_a_sequence_is_used_up_and_then_all_is_well() -> None:
    script = [Answer(status=503, retry_after=1.2, message="later"), Answer(status=429)]
    with OtlpServer(answer=script) as server:
        first = post(server)
        assert (first.status, first.headers["retry-after"], first.data) == (503, "2", b"later")
        assert post(server).status == 429
        assert server.spans == []
        assert post(server).status == 200
        assert len(server.spans) == 4
        assert len(server.requests) == 3


def test_a_function_decides_by_the_request_and_may_leave_it_to_the_server() -> None:
    def answer(request: ReceivedRequest) -> Answer | None:
        return None if request.headers.get("x-key") == "right" else Answer(status=401, message="who?")

    with OtlpServer(answer=answer) as server:
        assert post(server).status == 401
        assert post(server, headers={**PROTOBUF, "x-key": "right"}).status == 200


def test_one_answer_for_all_can_be_replaced_while_it_runs() -> None:
    with OtlpServer(answer=Answer(status=500)) as server:
        assert post(server).status == post(server).status == 500
        server.answer = None
        assert post(server).status == 200


def test_headers_and_body_of_an_answer_are_sent_as_written() -> None:
    page = Answer(status=302, body=b"<html>", content_type="text/html", headers={"Location": "/login"})
    with OtlpServer(answer=page) as server:
        response = post(server, redirect=False)
    assert (response.status, response.data, response.headers["location"]) == (302, b"<html>", "/login")
    assert response.headers["content-type"] == "text/html"
    assert server.spans == []


def test_partial_success_takes_all_but_the_rejected() -> None:
    with OtlpServer(answer=Answer(rejected=3, message="too old")) as server:
        response = ExportTraceServiceResponse.FromString(post(server).data)
        assert response.partial_success.rejected_spans == 3
        assert response.partial_success.error_message == "too old"
        assert len(server.spans) == 1
    with OtlpServer("grpc", answer=Answer(rejected=4)) as server:
        result = ExportTraceServiceResponse.FromString(call(server).result())
        assert result.partial_success.rejected_spans == 4
        assert server.spans == []


def test_a_grpc_failure_carries_code_message_and_retry_info() -> None:
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    with OtlpServer(
        "grpc", answer=Answer(code="RESOURCE_EXHAUSTED", message="slow down", retry_after=2.5)
    ) as server:
        answer = call(server)
    assert (answer.code(), answer.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")
    details = Status.FromString(dict(answer.trailing_metadata())["grpc-status-details-bin"])
    info = RetryInfo()
    assert details.details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 2500


def test_delay_holds_the_answer_back() -> None:
    with OtlpServer(answer=Answer(delay=0.2)) as server:
        began = time.monotonic()
        assert post(server).status == 200
        assert time.monotonic() - began >= 0.2


def test_what_hangs_is_answered_on_release() -> None:
    with OtlpServer(answer=Answer(hang=True)) as server:
        answers: list[int] = []
        client = threading.Thread(target=lambda: answers.append(post(server).status))
        client.start()
        server.wait_for_requests(1)
        assert server.spans == []
        server.release()
        client.join(LIMIT)
        assert answers == [200]
        assert len(server.spans) == 4


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_stopping_ends_what_hangs_at_once(protocol: Any) -> None:
    """A server with a hanging request stops without waiting for it, and its client sees a lost connection."""
    server = OtlpServer(protocol, answer=Answer(hang=True))
    seen: list[object] = []

    def client() -> None:
        try:
            seen.append(call(server).code() if protocol == "grpc" else post(server))
        except urllib3.exceptions.ProtocolError as error:
            seen.append(error)

    thread = threading.Thread(target=client)
    thread.start()
    server.wait_for_requests(1)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < LIMIT
    thread.join(LIMIT)
    [outcome] = seen
    assert isinstance(outcome, urllib3.exceptions.ProtocolError) or outcome in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
    )
    assert server.spans == []
    server.stop()  # twice is fine


def test_drop_closes_the_connection_without_an_answer() -> None:
    with OtlpServer(answer=[Answer(drop=True)]) as server:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            post(server)
        assert post(server).status == 200


def test_a_protocol_that_it_does_not_speak_is_told() -> None:
    with pytest.raises(ValueError, match='"http/protobuf" or "grpc", not \'GRPC\''):
        OtlpServer("GRPC")  # type: ignore[arg-type]


def test_a_server_comes_back_on_its_port() -> None:
    [port] = free_ports(1)  # which nobody else gets meanwhile
    with OtlpServer(port=port) as first:
        assert post(first).status == 200
    with pytest.raises(urllib3.exceptions.NewConnectionError):
        post(first)
    with OtlpServer(port=port) as second:
        assert second.endpoint == first.endpoint
        assert post(second).status == 200


def test_a_client_that_leaves_in_the_middle_is_no_request(otlp_server: OtlpServer) -> None:
    with socket.create_connection(("127.0.0.1", otlp_server.port)) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    otlp_server.wait_for(lambda: otlp_server.refused)
    assert otlp_server.requests == []


@pytest.mark.parametrize("way", ["closes", "resets"])
def test_a_client_that_leaves_before_the_handshake_is_nobodys_error(way: str, tmp_path: Path) -> None:
    """Nor is one whose connection the server's own end overtakes; a few of these thousand always are.

    No socket stays open either: Python would warn of it, in whatever test it finds it.
    """
    tls = make_tls(tmp_path)
    for _ in range(100):
        with OtlpServer(tls=tls) as server:
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    if way == "resets":
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def test_an_answer_function_that_raises_fails_the_test_that_wrote_it() -> None:
    def answer(_: ReceivedRequest) -> Answer:
        raise RuntimeError("a mistake in a test")

    with pytest.raises(RuntimeError, match="a mistake in a test"), OtlpServer(answer=answer) as server:
        assert post(server).status == 500


def test_waiting_in_vain_says_what_had_arrived(otlp_server: OtlpServer) -> None:
    post(otlp_server)
    with pytest.raises(TimeoutError, match="1 requests and 4 spans had arrived"):
        otlp_server.wait_for_spans(5, timeout=0.05)
    with pytest.raises(TimeoutError, match=r"waited 0\.01 s in vain for rain"):
        wait_for(lambda: False, timeout=0.01, what="rain")


def test_clear_forgets(otlp_server: OtlpServer) -> None:
    post(otlp_server)
    otlp_server.clear()
    assert (otlp_server.requests, otlp_server.spans) == ([], [])
