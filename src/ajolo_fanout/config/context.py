"""`[context]`: what every span gets at its start from where it starts."""

from __future__ import annotations

import attrs

from ajolo_fanout.values import option

__all__ = ["ContextSettings"]


@attrs.frozen
class ContextSettings:
    """Which values go from the surroundings of a span onto the span itself."""

    attributes: tuple[str, ...] = option(
        "Attributes that every span gets at its start, where their value is known: from "
        "`with ajolo_fanout.context(…)`, else from OpenTelemetry's baggage, else from the local parent. One "
        "that a span brings itself stays.",
        default=(),
        example='["session.id", "user.id", "tenant"]',
    )
