"""Request headers from secrets: revealed where a request is built, read again when a key was refused."""

from __future__ import annotations

from collections.abc import Mapping

from ajolo_fanout.values import Secret

__all__ = ["changed_after_refresh", "reveal"]


def reveal(headers: Mapping[str, Secret]) -> dict[str, str]:
    """The headers in plain text, for one request."""
    return {name: secret.reveal() for name, secret in headers.items()}


def changed_after_refresh(headers: Mapping[str, Secret], sent: Mapping[str, str]) -> bool:
    """Read the secrets that come from files again, and say whether any differs from what was sent."""
    for secret in headers.values():
        secret.refresh()
    return reveal(headers) != dict(sent)
