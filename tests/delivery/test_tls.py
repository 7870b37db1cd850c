"""TLS as it is lived with: certificates are rotated under a running program, authorities are one's own."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.delivery.hostile import Hostile, lead_on, read_request
from tests.delivery.support import PROTOCOLS, backend, rigged, with_files

from ajolo_fanout.testing.collector_run import free_ports
from ajolo_fanout.testing.server import OtlpServer, wait_for
from ajolo_fanout.testing.tls import Tls, make_tls


def made(folder: Path, **how: Any) -> Tls:
    folder.mkdir()
    return make_tls(folder, **how)


def put(source: Path, target: Path) -> None:
    """Replace a file as a rotation does: the new one is complete before it has the name."""
    fresh = target.with_name(target.name + ".new")
    shutil.copyfile(source, fresh)
    fresh.replace(target)


@contextlib.contextmanager
def serving(protocol: str, tls: Tls, port: int) -> Iterator[OtlpServer]:
    """A server on a port that another one has just left."""
    with OtlpServer(protocol, tls=tls, port=port) as server:
        yield server


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_rotated_authority_is_trusted_without_a_restart(protocol: str, tmp_path: Path) -> None:
    old, new = made(tmp_path / "old"), made(tmp_path / "new")
    ca_file = tmp_path / "ca.pem"
    put(old.ca_file, ca_file)
    [port] = free_ports(1)
    with OtlpServer(protocol, tls=old, port=port) as server:
        rigs = rigged(with_files(backend(server.endpoint, protocol), ca_file=ca_file))
        rig = rigs.__enter__()
        rig.offer(1)
        assert rig.flush(), rig.ledger.health()
    try:
        put(new.ca_file, ca_file)
        with serving(protocol, new, port):
            rig.offer(1)
            assert rig.flush(), rig.ledger.health()
            assert rig.counts.delivered == 2
    finally:
        rigs.__exit__(None, None, None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_rotated_client_certificate_is_shown_without_a_restart(protocol: str, tmp_path: Path) -> None:
    """The server trusts another authority for clients from now on."""
    old = made(tmp_path / "old", client_required=True)
    new = made(tmp_path / "new", client_required=True)
    files = {name: tmp_path / f"{name}.pem" for name in ("ca_file", "cert_file", "key_file")}

    def rotate(tls: Tls) -> None:
        put(tls.ca_file, files["ca_file"])
        put(tls.client_cert_file, files["cert_file"])
        put(tls.client_key_file, files["key_file"])

    rotate(old)
    [port] = free_ports(1)
    with OtlpServer(protocol, tls=old, port=port) as server:
        rigs = rigged(with_files(backend(server.endpoint, protocol), **files))
        rig = rigs.__enter__()
        rig.offer(1)
        assert rig.flush(), rig.ledger.health()
    try:
        rotate(new)
        with serving(protocol, new, port):
            rig.offer(1)
            assert rig.flush(), rig.ledger.health()
            assert rig.counts.delivered == 2
    finally:
        rigs.__exit__(None, None, None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("how", ["gone", "damaged", "half"])
def test_a_rotation_that_is_not_finished_costs_nothing(how: str, protocol: str, tmp_path: Path) -> None:
    """The file is away for a moment, no PEM, or a certificate without its key yet: the old ones stay."""
    tls = made(tmp_path / "one", client_required=True)
    other = made(tmp_path / "two", client_required=True)
    files = {name: tmp_path / f"{name}.pem" for name in ("ca_file", "cert_file", "key_file")}
    put(tls.ca_file, files["ca_file"])
    put(tls.client_cert_file, files["cert_file"])
    put(tls.client_key_file, files["key_file"])
    with (
        OtlpServer(protocol, tls=tls) as server,
        rigged(with_files(backend(server.endpoint, protocol), **files)) as rig,
    ):
        rig.offer(1)
        assert rig.flush(), rig.ledger.health()
        if how == "gone":
            files["ca_file"].unlink()
        elif how == "damaged":
            files["ca_file"].write_text("half a fi")
        else:
            put(other.client_cert_file, files["cert_file"])
        for _ in range(2):
            rig.offer(1)
            assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == 3, rig.ledger.health()
        put(tls.ca_file, files["ca_file"])
        put(tls.client_cert_file, files["cert_file"])
        rig.offer(1)
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_system_s_trust_store_is_used_without_a_ca_file(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL's own variable stands for the store here; nobody's is changed for a test."""
    tls = made(tmp_path / "one")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_file))
    with OtlpServer(protocol, tls=tls) as server, rigged(backend(server.endpoint, protocol)) as rig:
        rig.offer(1)
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == 1


def tunnel(port: int) -> Any:
    """A proxy that understands CONNECT and leads every tunnel to `port` of this machine."""

    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        if read_request(connection, got):
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            lead_on(connection, port)

    return behave


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_https_goes_through_the_environment_s_proxy_and_is_verified_beyond_it(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees a host and a port; neither key nor span."""
    tls = made(tmp_path / "one")
    trusted = make_tls(tmp_path, names=["collector.invalid"])
    with (
        OtlpServer(protocol, tls=trusted) as server,
        OtlpServer(protocol, tls=tls) as impostor,
        Hostile(tunnel(server.port)) as proxy,
        Hostile(tunnel(impostor.port)) as astray,
    ):
        plan = with_files(backend("https://collector.invalid:4318", protocol), ca_file=trusted.ca_file)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:pass@"))
        with rigged(plan) as rig:
            rig.offer(2)
            assert rig.flush(), rig.ledger.health()
            assert rig.counts.delivered == 2
        head = bytes(proxy.received[0]).partition(b"\r\n\r\n")[0]
        assert head.startswith(b"CONNECT collector.invalid:4318 HTTP/1.")
        assert b"roxy-" in head
        assert b"x-key" not in head
        monkeypatch.setenv("HTTPS_PROXY", astray.url)
        with rigged(plan) as rig:
            rig.offer(2)
            wait_for(lambda: rig.counts.lost.get("rejected") == 2, 30, "the refusal")
            assert "verified" in rig.ledger.health().last_error
        assert impostor.requests == []
