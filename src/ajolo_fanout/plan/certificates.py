"""Whether the files of `tls` can be used, found out offline rather than at the first request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ajolo_fanout.config.tls import TlsSettings

__all__ = ["flaws"]

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")
_DER = b"\x30"  # how both begin in binary form
_NAMES: Mapping[bytes, str] = {_CERTIFICATE: "certificate", _KEY: "private key"}


def flaws(tls: TlsSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with files that are there: the key of `tls`, and the message.

    Says nothing of files that can't be read, or are empty.
    """
    ca, cert, key = map(_read, (tls.ca_file, tls.cert_file, tls.key_file))
    found: list[tuple[str, str]] = []
    if tls.ca_file is not None and ca:
        found += [("ca_file", why) for why in _of_certificates(tls.ca_file, ca)]
    if tls.cert_file is not None and cert:
        found += [("cert_file", why) for why in _of_certificates(tls.cert_file, cert)]
    if tls.key_file is not None and key:
        found += [("key_file", why) for why in _of_key(tls.key_file, key)]
    if tls.cert_file and tls.key_file and cert and key and not found:
        found += [("key_file", why) for why in _of_pair(tls.cert_file, tls.key_file)]
    yield from found


def _read(file: Path | None) -> bytes:
    try:
        return file.read_bytes() if file is not None else b""
    except OSError:
        return b""


def _lacks(file: Path, content: bytes, what: bytes) -> Iterator[str]:
    """Whether `what` isn't in a file, and what is in it instead."""
    if what in content:
        return
    wanted = _NAMES[what]
    other = next((name for mark, name in _NAMES.items() if mark in content), None)
    if other is not None:
        yield f"the file {file} holds a {other}, and no {wanted}"
    elif content.startswith(_DER):
        command = "openssl x509 -inform der" if what == _CERTIFICATE else "openssl pkey -inform der"
        yield f"the file {file} is no PEM; if it is DER, `{command} -in {file.name}` makes PEM of it"
    else:
        yield f"the file {file} holds no {wanted} as PEM, which has a line -----BEGIN {wanted.upper()}-----"


def _of_certificates(file: Path, content: bytes) -> Iterator[str]:
    import ssl  # for those alone who name such files

    lacking = list(_lacks(file, content, _CERTIFICATE))
    if lacking:
        yield from lacking
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(file))
    except (OSError, ValueError) as error:
        yield f"the file {file} holds a certificate that can't be read: {_words(error)}"


def _of_key(file: Path, content: bytes) -> Iterator[str]:
    if any(mark in content for mark in _ENCRYPTED):
        yield f"the private key in {file} is encrypted, and nobody is there to ask; write it without a passphrase"
    else:
        yield from _lacks(file, content, _KEY)


def _of_pair(cert: Path, key: Path) -> Iterator[str]:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            yield f"the key in {key} is not that of the certificate in {cert}"
        else:
            yield f"{cert} and {key} can't be used together: {_words(error)}"


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).replace("_", " ").lower()
