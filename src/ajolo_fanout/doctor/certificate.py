"""The TLS handshake as the sender makes it, and a closer look at a certificate that it refuses."""

from __future__ import annotations

import datetime as dt
import ssl
import time
from collections.abc import Callable, Mapping
from socket import socket as Socket  # noqa: N812 - for annotations, beside variables of that name
from typing import Any

from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.tls import make_context
from ajolo_fanout.doctor.findings import Check, Trouble

__all__ = ["shake_hands", "tls_reason"]

_SOON = 14
"""Days before its end at which a certificate is worth a word."""

_DAY = 86400

_PATIENCE = 0.25
"""Seconds in which a server usually says that it misses a certificate: TLS 1.3 does so after the handshake."""

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python's `ssl` has no name for."""

_EXPIRED, _NOT_YET = 10, 9
_WRONG_HOST = frozenset({62, 63, 64})
"""OpenSSL's X509_V_ERR_*: hostname, email and IP address mismatch."""

_PLAIN = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "UNSUPPORTED_CERTIFICATE")

Open = Callable[[], Socket]
"""Makes a new connection to the backend."""


def shake_hands(
    open_socket: Open, host: str, tls: TlsSettings, protocol: str, *, patience: float = _PATIENCE
) -> Check:
    """The check `tls`.

    Args:
        open_socket: Makes a connection with a time-out; called once or a few times.
        host: Whose certificate it should be.
        tls: As the backend has it.
        protocol: `"grpc"` or `"http/protobuf"`.
        patience: Seconds in which the server may end the connection again.

    Raises:
        Trouble: when no connection comes about that the sender would use.
    """
    context = _context(tls, protocol)
    try:
        with open_socket() as raw, context.wrap_socket(raw, server_hostname=host) as secured:
            version = secured.version() or "TLS"
            certificate: Mapping[str, Any] = secured.getpeercert() or {}
            left_alone = _hears_an_end(secured, patience)
    except ssl.SSLCertVerificationError as error:
        raise _unverified(error, _look_closely(open_socket, host), host, tls) from None
    except (ssl.SSLError, OSError) as error:
        raise _failed(error, tls, protocol) from None
    if left_alone and protocol != "grpc" and _takes_http2(open_socket, _context(tls, "grpc"), host, patience):
        raise Trouble("wrong-protocol", "the server speaks HTTP/2 alone, as gRPC does", _TAKE_GRPC)
    if left_alone:
        raise _without_certificate(tls, "the server closes the connection right after the TLS handshake")
    if tls.insecure_skip_verify:
        seen = _words(_look_closely(open_socket, host))
        advice = "name the authority with `tls.ca_file` instead"
        return Check("tls", "warning", f"{version}; not verified (tls.insecure_skip_verify){seen}", advice)
    said = f"{version}{_words(certificate)}"
    if _ends_soon(certificate):
        return Check("tls", "warning", said, "have the certificate renewed before it ends")
    return Check("tls", "ok", said)


_TAKE_GRPC = 'write protocol = "grpc", or the port of its OTLP over HTTP'
_TAKE_HTTP = 'write protocol = "http/protobuf", or the port of its gRPC'


def _context(tls: TlsSettings, protocol: str) -> ssl.SSLContext:
    """The sender's own context; offers what its protocol speaks, for a server of gRPC refuses anything else."""
    try:
        context = make_context(tls)
    except OSError as error:
        advice = "check the files of `tls`: PEM, readable by this user"
        raise Trouble("tls-failed", f"`tls` can't be used: {error.strerror or error}", advice) from None
    context.set_alpn_protocols(["h2"] if protocol == "grpc" else ["http/1.1"])
    return context


def _takes_http2(open_socket: Open, context: ssl.SSLContext, host: str, patience: float) -> bool:
    """Whether a server agrees on HTTP/2 with this context, and then keeps the connection."""
    try:
        with open_socket() as raw, context.wrap_socket(raw, server_hostname=host) as secured:
            return secured.selected_alpn_protocol() == "h2" and not _hears_an_end(secured, patience)
    except (OSError, Trouble):
        return False


def _hears_an_end(secured: ssl.SSLSocket, patience: float) -> bool:
    """Wait a moment for a server that ends the connection because it misses a client certificate.

    Returns:
        Whether it just closed the connection, as gRPC's core does.

    Raises:
        ssl.SSLError: It said so, as TLS wants it.
    """
    if secured.version() != "TLSv1.3":
        return False  # where the certificate is part of the handshake
    secured.settimeout(patience)
    try:
        return secured.recv(1) == b""
    except TimeoutError:
        return False  # it waits for a request, as it should


def _unverified(
    error: ssl.SSLCertVerificationError, certificate: Mapping[str, Any], host: str, tls: TlsSettings
) -> Trouble:
    known = _words(certificate)
    if error.verify_code == _EXPIRED:
        advice = f"have it renewed; or is this machine's clock right? It says {_today()}"
        return Trouble("certificate-expired", f"the certificate of {host} has expired{known}", advice)
    if error.verify_code == _NOT_YET:
        advice = f"is this machine's clock right? It says {_today()}"
        return Trouble("certificate-expired", f"the certificate of {host} isn't valid yet{known}", advice)
    if error.verify_code in _WRONG_HOST:
        names = [str(value) for _, value in certificate.get("subjectAltName", ())]
        listed = ", ".join(names[:5]) or "another name"
        advice = "write one of these names in `endpoint`, or have the certificate made for this one"
        return Trouble(
            "certificate-wrong-host", f"the certificate is for {listed}, not for {host}{known}", advice
        )
    if tls.ca_file is not None:
        advice = f"name the authority that signed it with `tls.ca_file`; the one of {tls.ca_file.name} didn't"
    else:
        advice = (
            "name its authority with `tls.ca_file`: a private one, or that of a proxy on the way which opens "
            "TLS connections"
        )
    said = f"the certificate of {host} isn't trusted: {error.verify_message}{known}"
    return Trouble("certificate-untrusted", said, advice)


def _failed(error: OSError, tls: TlsSettings, protocol: str) -> Trouble:
    reason = tls_reason(error)
    if any(one in reason for one in _PLAIN):
        return Trouble("wrong-scheme", "the server speaks without TLS", "write http:// in `endpoint`")
    if "NO_APPLICATION_PROTOCOL" in reason:
        grpc = protocol == "grpc"
        said = f"the server doesn't speak {'HTTP/2, as gRPC does' if grpc else 'HTTP/1.1'}"
        return Trouble("wrong-protocol", said, _TAKE_HTTP if grpc else _TAKE_GRPC)
    if any(one in reason for one in _WANTS_CERTIFICATE) or (
        tls.cert_file is None and "HANDSHAKE_FAILURE" in reason
    ):
        return _without_certificate(tls, f"the server ends the TLS handshake ({_said(error)})")
    if isinstance(error, TimeoutError):
        return Trouble("no-answer", "the TLS handshake got no answer", "is it a TLS port? Check `endpoint`")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        advice = "it may not be a TLS port, or something on the way allows no TLS; check `endpoint`"
        return Trouble("cut-off", "the connection was closed in the TLS handshake", advice)
    return Trouble("tls-failed", f"no TLS connection: {_said(error)}", "check `endpoint` and `tls`")


def _without_certificate(tls: TlsSettings, what: str) -> Trouble:
    if tls.cert_file is None:
        said, advice = (
            f"{what}: it wants a client certificate",
            "name it with `tls.cert_file` and `tls.key_file`",
        )
    else:
        said = f"{what}: it doesn't take this client certificate"
        advice = "check `tls.cert_file`: its authority has to be one that the server trusts"
    return Trouble("client-certificate", said, advice)


def tls_reason(error: OSError) -> str:
    """OpenSSL's name of what went wrong, such as `TLSV1_ALERT_UNKNOWN_CA`; Python has it for most, words for all."""
    return str(getattr(error, "reason", None) or error).upper().replace(" ", "_")


def _said(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error).replace("_", " ").lower()


def _look_closely(open_socket: Open, host: str) -> Mapping[str, Any]:
    """The server's certificate whatever is wrong with it; empty where it can't be had.

    Python takes a certificate apart only once it is verified. So it is asked for twice: first without
    verifying, then trusting exactly what came. Nothing is sent on either connection.
    """
    try:
        context = _lax()
        context.verify_mode = ssl.CERT_NONE
        with open_socket() as raw, context.wrap_socket(raw, server_hostname=host) as secured:
            raw_certificate = secured.getpeercert(binary_form=True)
        if raw_certificate is None:
            return {}
        context = _lax()
        context.load_verify_locations(cadata=raw_certificate)
        context.verify_flags = ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
        with open_socket() as raw, context.wrap_socket(raw, server_hostname=host) as secured:
            return secured.getpeercert() or {}
    except (OSError, ValueError, Trouble):
        return {}  # the first handshake has said what is wrong; this is for a better sentence


def _lax() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return context


def _words(certificate: Mapping[str, Any]) -> str:
    """Issuer and end of a certificate; empty where it isn't known."""
    if not certificate:
        return ""
    issuer = {name: value for part in certificate.get("issuer", ()) for name, value in part}
    name = issuer.get("organizationName") or issuer.get("commonName") or "an authority without a name"
    end = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((end - time.time()) / _DAY)
    left = f"{days} days left" if end > time.time() else f"ended {-days} days ago"
    return f"; issued by {name}, {left} ({_date(end)})"


def _ends_soon(certificate: Mapping[str, Any]) -> bool:
    return ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time() < _SOON * _DAY


def _today() -> str:
    return _date(time.time())


def _date(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.timezone.utc).date().isoformat()
