"""The HTTP sender: what a request carries, what it never does, answers that no server library writes."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path

import pytest
from tests.delivery.hostile import Hostile, answering, drip, hang_on_answer, read_request
from tests.delivery.support import KEY, PROTOCOLS, backend, http_sender, readable, rigged, with_files

from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.proxy import proxy_for
from ajolo_fanout.testing.server import Answer, OtlpServer, wait_for
from ajolo_fanout.testing.tls import make_tls
from ajolo_fanout.values import Secret


def test_a_request_carries_what_it_must_and_nothing_ambient(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other-vendor=theirs")
    with OtlpServer() as server, rigged(backend(server.endpoint, compression="gzip")) as rig:
        rig.offer(3)
        assert rig.flush()
        [request] = server.requests
        assert (request.method, request.path) == ("POST", "/v1/traces")
        assert request.headers["content-type"] == "application/x-protobuf"
        assert request.headers["content-encoding"] == "gzip"
        assert request.headers["user-agent"].startswith("ajolo-fanout/")
        assert request.headers["x-key"] == KEY
        assert not {"authorization", "x-other-vendor", "cookie", "traceparent"} & set(request.headers)


def test_a_redirect_is_not_followed_and_the_key_stays_here() -> None:
    with OtlpServer() as elsewhere:
        to = Answer(status=307, headers={"Location": elsewhere.endpoint + "/v1/traces"})
        with OtlpServer(answer=to) as server, rigged(backend(server.endpoint)) as rig:
            rig.offer(2)
            assert rig.flush()
            assert dict(rig.counts.lost) == {"rejected": 2}
        assert elsewhere.requests == []


def test_a_rotated_key_is_read_again_after_a_refusal(tmp_path: Path) -> None:
    """The file changed without its time changing; only the refusal makes us look."""
    file = tmp_path / "key"
    file.write_text("old\n")
    secret = Secret.from_file(file)
    headers = {"authorization": secret.derive(lambda key: "Bearer " + key)}

    def answer(request: object) -> Answer:
        return Answer() if request.headers["authorization"] == "Bearer new" else Answer(status=401)  # type: ignore[attr-defined]

    with OtlpServer(answer=answer) as server, rigged(backend(server.endpoint, headers=headers)) as rig:
        rig.offer(1)
        assert rig.flush()
        assert dict(rig.counts.lost) == {"rejected": 1}
        assert len(server.requests) == 1, "with the same key there is nothing to try again"
        file.write_text("new\n")
        rig.offer(1)
        assert rig.flush()
        assert rig.counts.delivered == 1
        assert rig.counts.requests == len(server.requests)


def test_a_rotated_key_is_read_again_after_a_refusal_by_grpc(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    headers = {"authorization": Secret.from_file(file)}

    def answer(request: object) -> Answer:
        file.write_text("new")
        return Answer() if request.headers["authorization"] == "new" else Answer(status=401)  # type: ignore[attr-defined]

    with (
        OtlpServer("grpc", answer=answer) as server,
        rigged(backend(server.endpoint, "grpc", headers=headers)) as rig,
    ):
        rig.offer(1)
        assert rig.flush()
        assert rig.counts.delivered == 1
        assert [request.headers["authorization"] for request in server.requests] == ["old", "new"]
        assert rig.counts.requests == 2


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("value", ["sm\u00fcll\u20ac-secret-value", "two\nlines-secret-value"])
def test_a_header_that_can_t_be_sent_is_an_outcome_without_its_value(
    protocol: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        OtlpServer(protocol) as server,
        rigged(backend(server.endpoint, protocol, headers={"x-key": Secret(value)})) as rig,
    ):
        rig.offer(1)
        wait_for(lambda: rig.ledger.state != "starting", 30, "the outcome")
        assert dict(rig.counts.lost) == {"rejected": 1}
        assert "secret-value" not in rig.ledger.health().last_error
    assert "secret-value" not in caplog.text


def test_a_dripping_answer_ends_at_the_time_out() -> None:
    with Hostile(drip) as server:
        started = time.monotonic()
        outcome = http_sender(server.url).send(b"", 1, 0.4)
        assert outcome.kind == "retry"
        assert outcome.status == "time-out"
        assert time.monotonic() - started < 5, "the whole answer takes half an hour"


def test_an_endless_answer_is_cut_off() -> None:
    def endless(server: Hostile, connection: object, got: bytearray) -> None:
        connection.recv(65536)  # type: ignore[attr-defined]
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")  # type: ignore[attr-defined]
        while not server.woken.is_set():
            connection.sendall(b"x" * 65536)  # type: ignore[attr-defined]

    with Hostile(endless) as server:  # type: ignore[arg-type]
        started = time.monotonic()
        assert http_sender(server.url).send(b"", 1, 60).kind == "delivered"
        assert time.monotonic() - started < 20


FINAL = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints\r\nlink: </x>"])
@pytest.mark.parametrize("times", [1, 3])
def test_interim_answers_are_read_over(interim: bytes, times: int) -> None:
    with Hostile(answering(b"HTTP/1.1 %b\r\n\r\n" % interim * times + FINAL)) as server:
        assert http_sender(server.url).send(b"body", 1, 30).kind == "delivered"


def test_what_follows_an_interim_answer_isn_t_taken_for_the_next_request_s() -> None:
    """The final answer comes a moment later, on a connection that must not be used meanwhile."""

    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        for status in (b"200 OK", b"400 Bad Request"):
            read_request(connection, got)
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            server.woken.wait(0.1)
            connection.sendall(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)

    with Hostile(behave) as server:
        one = http_sender(server.url)
        assert one.send(b"body", 1, 30).status == "200"
        assert one.send(b"body", 1, 30).status == "400"
        assert len(server.received) == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nco", b"HTTP/1.1 103 Ea"])
def test_an_answer_that_is_cut_off_after_an_interim_one_is_no_success(head: bytes) -> None:
    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        read_request(connection, got)
        connection.sendall(head)

    with Hostile(behave) as server:
        outcome = http_sender(server.url).send(b"body", 1, 30)
        assert (outcome.kind, outcome.status) == ("retry", "reset")


def test_a_connection_that_switched_protocols_has_given_no_answer() -> None:
    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        read_request(connection, got)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n\x00\x01\r\n")
        while part := connection.recv(65536):
            got += part

    with Hostile(behave) as server:
        one = http_sender(server.url)
        assert [one.send(b"body", 1, 30).kind for _ in range(2)] == ["retry", "retry"]
        assert len(server.received) == 2, "it isn't used again"


def test_a_partial_success_with_many_words_is_read_to_its_end() -> None:
    """Some intakes give a reason for every span."""
    words = {"errorMessage": "span 7: no such tenant; " * 4000, "rejectedSpans": "5"}
    body = json.dumps({"partialSuccess": words}).encode()
    with OtlpServer(answer=Answer(body=body, content_type="application/json")) as server:
        outcome = http_sender(server.endpoint).send(b"", 10, 30)
        assert (outcome.kind, outcome.rejected) == ("partial", 5)


RAW = [
    b"",
    b"\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 99999999999 X\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd",
    b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\xff\xfe: \x00\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x16\x03\x01\x02\x00",
    b"PRI * HTTP/2.0\r\n\r\n",
]


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: repr(raw[:24]))
def test_no_raw_answer_raises_out_of_the_sender(raw: bytes) -> None:
    with Hostile(answering(raw)) as server:
        outcome = http_sender(server.url).send(b"body", 1, 0.3)
        assert outcome.kind in ("delivered", "retry", "rejected")


def test_tls_files_that_can_t_be_read_are_an_outcome(tmp_path: Path) -> None:
    for protocol in ("http/protobuf", "grpc"):
        plan = with_files(backend("https://127.0.0.1:1", protocol), ca_file=tmp_path / "absent.pem")
        with rigged(plan) as rig:
            rig.offer(1)
            assert rig.flush()
            assert dict(rig.counts.lost) == {"rejected": 1}
            assert "No such file" in rig.ledger.health().last_error


def test_an_encrypted_private_key_asks_nobody(tmp_path: Path) -> None:
    """OpenSSL would ask for the passphrase on the terminal."""
    from cryptography.hazmat.primitives import serialization

    tls = make_tls(tmp_path)
    key = serialization.load_pem_private_key(tls.client_key_file.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hush"),
    )
    tls.client_key_file.write_bytes(encrypted)
    with OtlpServer(tls=tls) as server:
        files = {"cert_file": tls.client_cert_file, "key_file": tls.client_key_file, "ca_file": tls.ca_file}
        with rigged(with_files(backend(server.endpoint), **files)) as rig:
            rig.offer(1)
            assert rig.flush()
            assert "passphrase" in rig.ledger.health().last_error, rig.ledger.health()


def test_a_proxy_of_the_environment_is_used_unless_no_proxy_names_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "http://backend.invalid:4318/v1/traces"
    with OtlpServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint.replace("//", "//me:pass-word@"))
        with rigged(backend(url)) as rig:
            rig.offer(1)
            assert rig.flush()
        [request] = proxy.requests
        assert request.path == url
        assert request.headers["proxy-authorization"].startswith("Basic ")
        monkeypatch.setenv("NO_PROXY", "example.com, .invalid")
        with rigged(backend(url)) as rig:
            rig.offer(1)
            wait_for(lambda: rig.ledger.state == "retrying", 30, "the host that can't be found")
        assert len(proxy.requests) == 1


def test_grpc_uses_the_same_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hostile(hang_on_answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with rigged(backend("http://backend.invalid:4317", "grpc")) as rig:
            rig.offer(1)
            wait_for(lambda: b"\r\n\r\n" in b"".join(map(bytes, proxy.received)), 30, "the proxy's request")
        assert bytes(proxy.received[0]).startswith(b"CONNECT backend.invalid:4317 HTTP/1.1\r\n")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("exporter", ["own", "stock"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_is_on_this_machine_is_never_asked_of_a_proxy(
    protocol: str, exporter: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that is meant for the internet would take the spans, key included, or refuse them."""
    with OtlpServer() as proxy, OtlpServer(protocol) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.endpoint)
        monkeypatch.setenv("NO_PROXY", "example.com")
        url = server.endpoint.replace("127.0.0.1", host)
        with rigged(backend(url, protocol, exporter=exporter)) as rig:
            rig.ledger.seen()
            rig.outlet.offer_all([readable("here")])
            assert rig.flush()
            assert len(server.requests) == 1
        assert proxy.requests == []


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (
            "https://a.example/x",
            {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"},
            "http://low:1",
        ),
        ("https://a.example/x", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://a.example/x", {"ALL_PROXY": "p:1"}, "http://p:1"),
        ("http://a.example/x", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*.example"}, None),
        ("https://bad-example/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example"}, "http://p:1"),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:444"}, "http://p:1"),
        ("https://a.example:444/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:444"}, None),
        ("https://10.1.2.3/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://[::1]:444/x", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "::1"}, None),
    ],
)
def test_proxy_variables_are_read_as_curl_reads_them(
    url: str, environ: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, environ) == proxy


def test_the_trust_store_is_the_system_s_without_a_ca_file() -> None:
    from ajolo_fanout.delivery.tls import make_context

    context = make_context(TlsSettings())
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
