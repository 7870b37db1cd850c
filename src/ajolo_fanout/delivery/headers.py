"""Request headers: ours, and those from secrets, revealed where a request is built."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

from ajolo_fanout.values import Secret

__all__ = ["reveal", "user_agent"]


def reveal(headers: Mapping[str, Secret]) -> dict[str, str]:
    """The headers in plain text, for one request."""
    return {name: secret.reveal() for name, secret in headers.items()}


def user_agent() -> str:
    """What our requests say they come from: `ajolo-fanout/1.2.3`."""
    return f"ajolo-fanout/{importlib.metadata.version('ajolo-fanout')}"
