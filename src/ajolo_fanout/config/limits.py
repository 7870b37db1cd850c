"""`[limits]`: how much one span may hold when it is recorded."""

from __future__ import annotations

import attrs

from ajolo_fanout.values import option

__all__ = ["ProviderLimits"]


@attrs.frozen
class ProviderLimits:
    """The limits of the provider; None is no limit.

    The SDK's own 128 attributes don't apply: it throws the oldest away first, so that model, tokens and cost
    would go before the hundredth message.
    """

    attribute_count_limit: int | None = option(
        "The most attributes that one span may have when it is recorded. The oldest go first beyond it.",
        default=2048,
        minimum=1,
        maximum=1_000_000,
        example="2048",
    )
    event_count_limit: int | None = option(
        "The most events that one span may have when it is recorded. The oldest go first beyond it.",
        default=1024,
        minimum=1,
        maximum=1_000_000,
        example="1024",
    )
    link_count_limit: int | None = option(
        "The most links that one span may have when it is recorded. The oldest go first beyond it.",
        default=1024,
        minimum=1,
        maximum=1_000_000,
        example="1024",
    )
    attribute_value_length_limit: int | None = option(
        "The most characters that a text in an attribute may have when it is recorded; what is longer is "
        "cut. Without it nothing is cut.",
        default=None,
        minimum=1,
        example="100000",
    )
