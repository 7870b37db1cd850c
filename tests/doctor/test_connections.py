"""Names, connections and TLS: what can fail before a backend hears of anything."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import sys
import threading
from pathlib import Path

import pytest
import trustme
from tests.delivery.hostile import Hostile, hang_on_answer
from tests.doctor.support import BOTH, HEAD, SECONDS, Protocol, backend, closed_port, diagnosed, names, one

from ajolo_fanout.config.document import parse
from ajolo_fanout.doctor import network
from ajolo_fanout.doctor.checkup import Step, checkup
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing import OtlpServer, make_tls

both = pytest.mark.parametrize("protocol", BOTH)


@both
def test_a_name_that_nobody_knows(protocol: Protocol) -> None:
    found = diagnosed(backend("http://no-such-host.invalid:4318", protocol))
    assert found.verdict == "name-unknown"
    assert "no-such-host.invalid can't be resolved" in found.said
    assert "check how the host is written" in found.next
    assert names(found) == ["name", "span"], "nothing else makes sense then"
    assert one(found, "span").status == "skipped"


def test_a_name_that_is_known() -> None:
    with OtlpServer() as server:
        found = diagnosed(backend(server.endpoint.replace("127.0.0.1", "localhost")))
    assert found.verdict == "fine"
    assert one(found, "name").said.startswith("localhost is ")


def test_the_profiles_own_words_where_it_is_for_this_host() -> None:
    """A Datadog Agent's receiver is off by default: the most likely reason by far."""
    found = diagnosed(
        f'[backends.a]\ntype = "datadog_agent"\nendpoint = "http://127.0.0.1:{closed_port()}"\n'
    )
    assert "Off by default: set DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT" in found.next


@both
def test_a_port_on_which_nobody_listens(protocol: Protocol) -> None:
    found = diagnosed(backend(f"http://127.0.0.1:{closed_port()}", protocol))
    assert found.verdict == "refused"
    assert "start what should listen there" in found.next


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.0/8 is one address elsewhere; run it on Linux")
@pytest.mark.parametrize(
    ("asked", "listens", "protocol"), [(4317, 4318, "http/protobuf"), (4318, 4317, "grpc")]
)
def test_the_other_otlp_port_is_named_when_it_is_open(asked: int, listens: int, protocol: str) -> None:
    """Two ports and two protocols: half of all that goes wrong with an OTLP endpoint."""
    with socket.create_server(("127.77.13.5", listens)):
        said = network.other_port("127.77.13.5", asked, 10)
    assert said.startswith(f"port {listens}")
    assert f'protocol = "{protocol}"' in said
    assert network.other_port("127.77.13.6", asked, 10) == ""
    assert network.other_port("127.77.13.5", 80, 10) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog refuses elsewhere; run it on Linux")
def test_a_firewall_that_drops_everything_is_no_answer() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:  # fill the backlog: what comes after is left without an answer
            connection.settimeout(0)
            connection.connect_ex(address)
        found = diagnosed(backend(f"http://127.0.0.1:{address[1]}"), seconds=5)
        for connection in waiting:
            connection.close()
    assert found.verdict == "no-answer"
    assert "firewall" in found.next


# -- TLS ---------------------------------------------------------------------------------------------------


@both
def test_a_certificate_that_is_trusted(protocol: Protocol, tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    with OtlpServer(protocol, tls=tls) as server:
        found = diagnosed(backend(server.endpoint, protocol, ca_file=tls.ca_file))
    check = one(found, "tls")
    assert (found.verdict, check.status) == ("fine", "ok")
    assert "TLSv1.3; issued by trustme" in check.said
    assert "days left (" in check.said


def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, days=3.5)
    with OtlpServer(tls=tls) as server:
        found = diagnosed(backend(server.endpoint, ca_file=tls.ca_file))
    assert found.verdict == "fine"
    check = one(found, "tls")
    assert (check.status, check.next) == ("warning", "have the certificate renewed before it ends")
    assert "3 days left" in check.said


@both
def test_a_certificate_that_nobody_here_trusts(protocol: Protocol, tmp_path: Path) -> None:
    with OtlpServer(protocol, tls=make_tls(tmp_path)) as server:
        found = diagnosed(backend(server.endpoint, protocol))
    assert found.verdict == "certificate-untrusted"
    assert "issued by trustme" in found.said
    assert "`tls.ca_file`" in found.next


def test_a_certificate_of_another_authority_than_the_files(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_tls(tmp_path / "other")
    with OtlpServer(tls=make_tls(tmp_path)) as server:
        found = diagnosed(backend(server.endpoint, ca_file=other.ca_file))
    assert found.verdict == "certificate-untrusted"
    assert "the one of ca.pem didn't" in found.next


@both
def test_a_certificate_that_has_expired(protocol: Protocol, tmp_path: Path) -> None:
    tls = make_tls(tmp_path, days=-2.5)
    with OtlpServer(protocol, tls=tls) as server:
        found = diagnosed(backend(server.endpoint, protocol, ca_file=tls.ca_file))
    assert found.verdict == "certificate-expired"
    assert "ended 2 days ago" in found.said
    assert "have it renewed" in found.next


def test_a_certificate_that_is_not_valid_yet_asks_about_the_clock(tmp_path: Path) -> None:
    """Authorities make none for the future: it is this machine that is in the past."""
    tls = make_tls(tmp_path)
    authority = trustme.CA()
    now = dt.datetime.now(dt.timezone.utc)
    ends = {"not_before": now + dt.timedelta(days=2), "not_after": now + dt.timedelta(days=90)}
    server_certificate = authority.issue_cert("127.0.0.1", **ends)
    authority.cert_pem.write_to_path(tls.ca_file)
    server_certificate.private_key_pem.write_to_path(tls.key_file)
    server_certificate.cert_chain_pems[0].write_to_path(tls.cert_file)
    with OtlpServer(tls=tls) as server:
        found = diagnosed(backend(server.endpoint, ca_file=tls.ca_file))
    assert found.verdict == "certificate-expired"
    assert "isn't valid yet" in found.said
    assert found.next.startswith("is this machine's clock right? It says 20")


@both
def test_a_certificate_for_another_host(protocol: Protocol, tmp_path: Path) -> None:
    tls = make_tls(tmp_path, names=("collector.example", "other.example"))
    with OtlpServer(protocol, tls=tls) as server:
        found = diagnosed(backend(server.endpoint, protocol, ca_file=tls.ca_file))
    assert found.verdict == "certificate-wrong-host"
    assert "for collector.example, other.example, not for 127.0.0.1" in found.said
    assert "issued by trustme" in found.said
    assert "one of these names in `endpoint`" in found.next


def test_verification_that_is_switched_off_is_a_warning(tmp_path: Path) -> None:
    with OtlpServer(tls=make_tls(tmp_path)) as server:
        text = backend(server.endpoint) + "tls.insecure_skip_verify = true\n"
        found = diagnosed(text)
    assert found.verdict == "fine"
    check = one(found, "tls")
    assert check.status == "warning"
    assert "not verified" in check.said
    assert "issued by trustme" in check.said


@both
def test_a_server_that_wants_a_client_certificate(protocol: Protocol, tmp_path: Path) -> None:
    tls = make_tls(tmp_path, client_required=True)
    with OtlpServer(protocol, tls=tls) as server:
        without = diagnosed(backend(server.endpoint, protocol, ca_file=tls.ca_file))
        files = {"ca_file": tls.ca_file, "cert_file": tls.client_cert_file, "key_file": tls.client_key_file}
        with_one = diagnosed(backend(server.endpoint, protocol, **files))
    assert (without.verdict, with_one.verdict) == ("client-certificate", "fine")
    assert "`tls.cert_file` and `tls.key_file`" in without.next


def test_an_older_tls_wants_the_client_certificate_in_the_handshake(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, client_required=True)
    context = tls.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        with context.wrap_socket(connection, server_side=True):
            server.woken.wait(10)

    with Hostile(behave) as server:
        found = diagnosed(backend(server.url.replace("http:", "https:"), ca_file=tls.ca_file))
    assert found.verdict == "client-certificate"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"", "cut-off"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "tls-failed"),  # alert, TLS 1.2, 2 bytes: fatal, internal_error
    ],
)
def test_a_handshake_that_the_server_ends(answer: bytes, verdict: str) -> None:
    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        got += connection.recv(65536)
        connection.sendall(answer)

    with Hostile(behave) as server:
        found = diagnosed(backend(server.url.replace("http:", "https:")))
    assert found.verdict == verdict
    assert "`endpoint`" in found.next


def test_a_server_that_is_slow_to_miss_a_certificate(tmp_path: Path) -> None:
    """It is loaded, or far away: the handshake has long been called good when it ends the connection."""
    tls = make_tls(tmp_path)
    context = tls.server_context()
    called_good = threading.Event()

    def behave(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        with context.wrap_socket(connection, server_side=True):
            called_good.wait(30)
            server.woken.wait(0.7)

    def tell(step: Step) -> None:
        if step.name == "tls" and step.check is not None:
            called_good.set()

    with Hostile(behave) as server:
        url = server.url.replace("http:", "https:")
        found = diagnosed(backend(url, ca_file=tls.ca_file), tell=tell)
    assert one(found, "tls").status == "ok"
    assert found.verdict == "client-certificate"
    assert "`tls.cert_file` and `tls.key_file`" in found.next


@both
def test_a_client_certificate_of_another_authority(protocol: Protocol, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tls, other = make_tls(tmp_path, client_required=True), make_tls(tmp_path / "other")
    files = {"ca_file": tls.ca_file, "cert_file": other.client_cert_file, "key_file": other.client_key_file}
    with OtlpServer(protocol, tls=tls) as server:
        found = diagnosed(backend(server.endpoint, protocol, **files))
    assert found.verdict == "client-certificate"
    assert "its authority has to be one that the server trusts" in found.next


@both
def test_https_where_the_server_speaks_plainly(protocol: Protocol) -> None:
    with OtlpServer(protocol) as server:
        found = diagnosed(backend(server.endpoint.replace("http:", "https:"), protocol))
    assert found.verdict in ("wrong-scheme", "cut-off")
    if protocol == "http/protobuf":
        assert (found.verdict, found.next) == ("wrong-scheme", "write http:// in `endpoint`")


@both
def test_http_where_the_server_wants_tls(protocol: Protocol, tmp_path: Path) -> None:
    with OtlpServer(protocol, tls=make_tls(tmp_path)) as server:
        found = diagnosed(backend(server.endpoint.replace("https:", "http:"), protocol))
    assert found.verdict == "wrong-scheme"
    assert "write https://" in found.next


@both
def test_the_other_protocol_behind_tls(protocol: Protocol, tmp_path: Path) -> None:
    """GRPC's core closes a connection without HTTP/2 in silence, as it does without a client certificate."""
    tls = make_tls(tmp_path)
    other = BOTH[1 - BOTH.index(protocol)]
    with OtlpServer(other, tls=tls) as server:
        found = diagnosed(backend(server.endpoint, protocol, ca_file=tls.ca_file))
    assert found.verdict == "wrong-protocol"
    assert f'protocol = "{other}"' in found.next


@both
def test_a_server_that_refuses_the_protocol_in_the_handshake(protocol: Protocol, tmp_path: Path) -> None:
    """By TLS's own word for it, no_application_protocol."""
    tls = make_tls(tmp_path)

    # OpenSSL sends that alert only for a callback, which Python doesn't have; so it is written by hand.
    def refuse(server: Hostile, connection: socket.socket, got: bytearray) -> None:
        got += connection.recv(65536)
        connection.sendall(b"\x15\x03\x03\x00\x02\x02\x78")  # alert, TLS 1.2, 2 bytes: fatal, 120

    with Hostile(refuse) as server:
        url = server.url.replace("http:", "https:")
        found = diagnosed(backend(url, protocol, ca_file=tls.ca_file))
    assert found.verdict == "wrong-protocol"
    assert f'protocol = "{BOTH[1 - BOTH.index(protocol)]}"' in found.next


def test_a_handshake_without_an_answer_ends_by_itself() -> None:
    with Hostile(hang_on_answer) as server:
        found = diagnosed(backend(server.url.replace("http:", "https:")), seconds=5)
    assert found.verdict == "no-answer"
    assert "TLS" in found.said


def test_tls_files_that_cannot_be_used_any_more(tmp_path: Path) -> None:
    """They were right when the file was read, and are in the middle of being exchanged."""
    tls = make_tls(tmp_path)
    with OtlpServer(tls=tls) as server:
        text = backend(server.endpoint, ca_file=tls.ca_file)
        plan = resolve(parse(HEAD + text, "tracing.toml"), {})
        tls.ca_file.write_text("half a certifi")
        [found] = checkup(plan, seconds=SECONDS).backends
    assert found.verdict == "tls-failed"
    assert "`tls` can't be used" in found.said
