"""What a port speaks, asked only after a request there failed in a way that another protocol would explain."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from socket import socket as Socket  # noqa: N812 - for annotations

from ajolo_fanout.doctor.certificate import tls_reason

__all__ = ["speaks_http2", "speaks_tls"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""What an HTTP/2 client says first (RFC 9113, 3.4), with an empty SETTINGS frame."""

_SETTINGS = 4
"""The type of the frame that an HTTP/2 server says first."""

Open = Callable[[], Socket]


def speaks_tls(open_socket: Open, host: str) -> bool:
    """Whether a TLS handshake comes about, with whatever certificate.

    Raises:
        OSError: when no connection comes about.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with open_socket() as raw, context.wrap_socket(raw, server_hostname=host):
            return True
    except ssl.SSLError as error:
        return "ALERT" in tls_reason(error)  # it wants something else of us, in TLS


def speaks_http2(open_socket: Open) -> bool:
    """Whether the server answers HTTP/2's preface as HTTP/2 does; gRPC without TLS is that.

    Raises:
        OSError: when no connection comes about.
    """
    with open_socket() as raw:
        raw.sendall(_PREFACE)
        head = raw.recv(9)
    return len(head) == 9 and head[3] == _SETTINGS
