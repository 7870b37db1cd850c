"""`[sampling]`: what holds for all backends together: the flag that goes out, the bounds of the buffer."""

from __future__ import annotations

from typing import Literal

import attrs

from ajolo_fanout.values import Duration, Size, option

__all__ = ["BufferSettings"]


@attrs.frozen
class BufferSettings:
    """The flag for other services, and how much of unfinished traces is held.

    One buffer serves all backends that need whole traces: those with `sampling.keep`, and those that mend
    orphans.
    """

    propagate: Literal["ratio", "all"] = option(
        "Which traces other services are told to record: those in the largest ratio of any backend "
        '("ratio"), or all that are recorded here, also for keep rules and for backends that ignore what was '
        'decided upstream ("all").',
        default="ratio",
        choices=("ratio", "all"),
        example='"all"',
    )
    max_traces: int = option(
        "The most unfinished traces that are held. Beyond it, the oldest is decided with what is there.",
        default=10_000,
        minimum=1,
        maximum=10_000_000,
        example="10000",
    )
    max_spans_per_trace: int = option(
        "The most spans of one trace that are held. A trace that reaches it is decided with what is there.",
        default=2_000,
        minimum=1,
        maximum=10_000_000,
        example="2000",
    )
    max_bytes: Size = option(
        "The most bytes that held spans may take, roughly counted. Beyond it, the oldest trace is decided "
        "with what is there.",
        default=Size(256 * 1024**2),
        minimum=1024,
        example='"256MiB"',
    )
    max_wait: Duration = option(
        "How long a trace is held at most, from its first span that ended. Then it is decided with what is "
        "there, and what ends later follows.",
        default=Duration(60),
        minimum=0.001,
        maximum=86400,
        example='"30s"',
    )
