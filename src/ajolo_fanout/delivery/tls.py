"""The TLS context of one backend, made again when its files change (rotated certificates)."""

from __future__ import annotations

import ssl
from pathlib import Path

from ajolo_fanout.config.tls import TlsSettings

__all__ = ["TlsFiles", "make_context"]

Stamp = tuple[tuple[int, ...] | None, ...]


class TlsFiles:
    """Notices when a file of the TLS settings was replaced."""

    def __init__(self, settings: TlsSettings) -> None:
        self._files = tuple(
            Path(file)
            for file in (settings.ca_file, settings.cert_file, settings.key_file)
            if file is not None
        )
        self._seen: Stamp | None = None

    def changed(self) -> bool:
        """Whether any file differs from the last call; True at the first."""
        now = tuple(_stamp(file) for file in self._files)
        changed = now != self._seen
        self._seen = now
        return changed


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()
    except OSError:
        return None  # said when it is read
    # The size, too: of a file that is written in two steps, both may bear the same time.
    return status.st_mtime_ns, status.st_ino, status.st_size


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """A client's context: the system's trust store, or the authority of `ca_file` alone.

    Raises:
        OSError: when a file can't be read (`ssl.SSLError`, which is one, when it can't be used).
    """
    ca_file = None if settings.ca_file is None else str(settings.ca_file)
    context = ssl.create_default_context(cafile=ca_file)
    if settings.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file is not None:
        key_file = None if settings.key_file is None else str(settings.key_file)
        context.load_cert_chain(str(settings.cert_file), key_file, password=_no_password)
    return context


def _no_password() -> str:
    """Instead of OpenSSL's question on the terminal, which would stop the program."""
    raise ssl.SSLError("the private key is encrypted; write it without a passphrase")
