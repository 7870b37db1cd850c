"""A throw-away certificate authority, for tests of TLS and of client certificates.

Wants `trustme`, which comes with `pip install 'ajolo-fanout[testing]'`.
"""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Sequence
from pathlib import Path

import attrs

__all__ = ["Tls", "make_tls"]


@attrs.frozen
class Tls:
    """A server's certificate, a client's, and the authority that signed both; all PEM files.

    Attributes:
        ca_file: What a client that is to trust the server is given (`tls.ca_file`).
        cert_file: The server's certificate.
        key_file: The server's private key.
        client_cert_file: A client's certificate (`tls.cert_file`).
        client_key_file: A client's private key (`tls.key_file`).
        client_required: Whether the server refuses a client that shows no certificate of this authority.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path
    client_cert_file: Path
    client_key_file: Path
    client_required: bool = False

    def server_context(self) -> ssl.SSLContext:
        """For the HTTP server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        if self.client_required:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context

    def client_context(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        """For a client that trusts this authority only, with or without a certificate of its own."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if with_certificate:
            context.load_cert_chain(self.client_cert_file, self.client_key_file)
        return context


def make_tls(
    folder: Path,
    *,
    client_required: bool = False,
    names: Sequence[str] = ("127.0.0.1", "localhost", "::1"),
    days: float | None = None,
) -> Tls:
    """Make an authority and two certificates in `folder`, which must exist; keys are for the owner only.

    Args:
        folder: Where the five PEM files go, such as pytest's `tmp_path`.
        client_required: Whether a server with this refuses clients that show no certificate.
        names: Host names and addresses that the server's certificate is good for.
        days: How long from now it is valid; a negative number for one that has expired. None: for years.

    Raises:
        ModuleNotFoundError: when `trustme` is not installed; the message says how to get it.
    """
    try:
        import trustme
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "throw-away certificates want trustme: pip install 'ajolo-fanout[testing]'", name=error.name
        ) from error
    authority = trustme.CA()
    end = None if days is None else dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=days)
    server = authority.issue_cert(*names, not_after=end)
    client = authority.issue_cert("client@ajolo-fanout.invalid")
    tls = Tls(
        ca_file=folder / "ca.pem",
        cert_file=folder / "server.pem",
        key_file=folder / "server.key",
        client_cert_file=folder / "client.pem",
        client_key_file=folder / "client.key",
        client_required=client_required,
    )
    _write(tls.ca_file, authority.cert_pem.bytes())
    _write(tls.cert_file, b"".join(blob.bytes() for blob in server.cert_chain_pems))
    _write(tls.key_file, server.private_key_pem.bytes())
    _write(tls.client_cert_file, b"".join(blob.bytes() for blob in client.cert_chain_pems))
    _write(tls.client_key_file, client.private_key_pem.bytes())
    return tls


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
