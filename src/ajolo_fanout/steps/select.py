"""Select: which spans a backend gets at all, whatever it samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs

from ajolo_fanout.steps.match import MatchOrPreset, compile_any
from ajolo_fanout.values import option

__all__ = ["Against", "SelectSettings", "selector"]


@attrs.frozen
class SelectSettings:
    """`select` of one backend; with nothing written, it gets every span."""

    include: tuple[MatchOrPreset, ...] = option(
        'Only spans that one of these means: matches, or "llm", "errors", "roots". Empty means all.',
        default=(),
        example='["llm", { name = "POST /chat" }]',
    )
    exclude: tuple[MatchOrPreset, ...] = option(
        "No span that one of these means, even if it is included.",
        default=(),
        example='[{ name = "GET /health" }]',
    )
    orphans: Literal["keep", "reparent", "promote", "drop"] = option(
        "What becomes of a span whose parent was left out: it stays as it is, hangs from the nearest "
        "ancestor that is sent, becomes a root, or is left out, too.",
        default="keep",
        choices=("keep", "reparent", "promote", "drop"),
        example='"reparent"',
    )
    remote_parent: Literal["keep", "promote"] = option(
        "Whether a span whose parent is in another service stays its child, or becomes a root here.",
        default="keep",
        choices=("keep", "promote"),
        example='"promote"',
    )


Against = Literal["include", "exclude"]
"""The key that is against a span."""


def selector(settings: SelectSettings) -> Callable[[Any], Against | None] | None:
    """A function that names the key that is against a span, or None; itself None where no key ever is."""
    if not settings.include and not settings.exclude:
        return None
    included = compile_any(settings.include) if settings.include else None
    excluded = compile_any(settings.exclude) if settings.exclude else None

    def select(span: Any) -> Against | None:
        if excluded is not None and excluded(span):
            return "exclude"
        if included is not None and not included(span):
            return "include"
        return None

    return select
