"""`tls`: whom a backend's connection trusts, and as whom it comes."""

from __future__ import annotations

from pathlib import Path

import attrs

from ajolo_fanout.values import option

__all__ = ["TlsSettings"]


@attrs.frozen
class TlsSettings:
    """Certificates of one backend. Files are PEM; relative paths start at the configuration file's folder."""

    ca_file: Path | None = option(
        "A file of certificates of the authorities to trust, instead of the system's.",
        default=None,
        example='"ca.pem"',
    )
    cert_file: Path | None = option(
        "A file with the client certificate to present, where the backend asks for one.",
        default=None,
        example='"client.pem"',
    )
    key_file: Path | None = option(
        "A file with the client certificate's private key; not needed where cert_file holds the key as well.",
        default=None,
        example='"client.key"',
    )
    insecure_skip_verify: bool = option(
        "Whether to accept any certificate. Anyone on the way can then read and change what is sent; use "
        "ca_file instead. It works over HTTP only.",
        default=False,
        example="true",
    )
