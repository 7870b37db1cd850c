"""A proxy between the doctor and a backend: asked in its place, and told as what is in the way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.delivery.hostile import Hostile, hang_on_answer, lead_on, read_request
from tests.doctor.support import BOTH, Protocol, backend, closed_port, diagnosed, names, one

from ajolo_fanout.testing import OtlpServer, Tls, make_tls


class Tunnels:
    """A proxy that takes CONNECT and leads everything to one server, or refuses it."""

    def __init__(self, to: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.asked: list[bytes] = []
        self.port = 0
        self._to = to
        self._answer = answer

    def __call__(self, server: Hostile, connection: socket.socket, got: bytearray) -> None:
        if not read_request(connection, got):
            return
        self.asked.append(bytes(got))
        connection.sendall(self._answer)
        if b" 200 " in self._answer:
            lead_on(connection, self._to)


@contextmanager
def proxied(
    tls: Tls, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Tunnels, OtlpServer]]:
    with OtlpServer(protocol, tls=tls) as server:
        tunnels = Tunnels(server.port)
        with Hostile(tunnels) as proxy:
            tunnels.port = proxy.port
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:pass-word-1@"))
            yield tunnels, server


@pytest.mark.parametrize("protocol", BOTH)
def test_a_proxy_is_what_is_connected_to(
    protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend's own name need not be known here, and its certificate is looked at through the proxy."""
    tls = make_tls(tmp_path, names=("backend.invalid",))
    with proxied(tls, protocol, monkeypatch) as (tunnels, server):
        found = diagnosed(backend("https://backend.invalid:8443", protocol, ca_file=tls.ca_file))
        assert len(server.spans) == 1
    assert found.verdict == "fine"
    assert names(found)[:3] == ["proxy", "connect", "tls"]
    assert one(found, "connect").said == f"127.0.0.1 port {tunnels.port}"
    assert "pass-word-1" not in str(found.to_dict())
    assert all(asked.startswith(b"CONNECT backend.invalid:8443 ") for asked in tunnels.asked)
    assert all(b"Basic bWU6cGFzcy13b3JkLTE=" in asked for asked in tunnels.asked), "me:pass-word-1"


def test_a_proxy_that_does_not_let_it_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = b"HTTP/1.1 403 Not for me:pass-word-1\r\n\r\n"
    with Hostile(Tunnels(0, said)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:pass-word-1@"))
        found = diagnosed(backend("https://backend.invalid"))
    assert found.verdict == "proxy-refused"
    assert "403" in found.said
    assert "pass-word-1" not in str(found.to_dict())
    assert "NO_PROXY" in found.next


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
    found = diagnosed(backend("https://backend.invalid"))
    assert found.verdict == "refused"
    assert "is the proxy running?" in found.next


def test_a_proxy_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hostile(hang_on_answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        found = diagnosed(backend("https://backend.invalid"), seconds=5)
    assert found.verdict == "no-answer"
    assert "the proxy" in found.said


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://:1", "http://host:port", "http://[::1"])
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    found = diagnosed(backend("https://backend.invalid"))
    assert found.verdict == "proxy-refused"
    assert "write http://host:port" in found.next


def test_a_proxy_with_tls_of_its_own_is_left_to_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend's certificate can't be looked at through it; what the request meets is told."""
    with OtlpServer(tls=make_tls(tmp_path)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.endpoint)
        found = diagnosed(backend("https://backend.invalid"))
    assert one(found, "tls").status == "skipped"
    assert found.verdict == "certificate-untrusted", "the proxy's"


def test_plain_requests_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
        found = diagnosed(backend("http://backend.invalid:4318"))
        paths = {request.path for request in proxy.requests}
    assert found.verdict == "fine"
    assert paths == {"http://backend.invalid:4318/v1/traces"}
