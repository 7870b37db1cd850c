"""Keys and certificates whose files change under a running program: read again, and used where they can be."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping

import attrs

from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.headers import reveal
from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.delivery.tls import TlsFiles, make_context
from ajolo_fanout.values import Secret

__all__ = ["renewed_context", "with_current_keys"]

_log = logging.getLogger("ajolo_fanout.delivery")


def with_current_keys(
    headers: Mapping[str, Secret], once: Callable[[], tuple[Outcome, Mapping[str, str]]]
) -> Outcome:
    """The outcome of a request, made once more when a key was refused and its file holds another one now.

    Args:
        headers: Those of the request.
        once: Makes it, and tells with the outcome what was revealed of `headers`.
    """
    outcome, sent = once()
    if outcome.refused_key:
        for secret in headers.values():
            secret.refresh()
        if reveal(headers) != sent:
            again, _ = once()
            return attrs.evolve(again, times=outcome.times + again.times)
    return outcome


def renewed_context(
    settings: TlsSettings, files: TlsFiles, whose: str, *, in_use: bool
) -> ssl.SSLContext | None:
    """The context of the files as they are now; None where they can't be used, and what is in use stays.

    Args:
        settings: Which files.
        files: Told that these were seen.
        whose: Whose connections they are for, in the warning that says so.
        in_use: Whether there are connections of earlier files, which can stay.

    Raises:
        OSError: the files can't be used, and never could.
    """
    files.changed()
    try:
        return make_context(settings)
    except OSError as error:
        if not in_use:
            raise
        _log.warning("%s: the changed TLS files can't be used, the old ones stay: %s", whose, error)
        return None
