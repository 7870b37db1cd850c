"""Request headers: ours, and those from secrets, revealed where a request is built, read again after a refusal."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping

from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.values import Secret

__all__ = ["reveal", "user_agent", "with_current_keys"]


def reveal(headers: Mapping[str, Secret]) -> dict[str, str]:
    """The headers in plain text, for one request."""
    return {name: secret.reveal() for name, secret in headers.items()}


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
            outcome, _ = once()
    return outcome


def user_agent() -> str:
    """What our requests say they come from: `ajolo-fanout/1.2.3`."""
    return f"ajolo-fanout/{importlib.metadata.version('ajolo-fanout')}"
