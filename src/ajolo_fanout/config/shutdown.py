"""`[shutdown]`: how long flushing and leaving may take, and what becomes of spans that never ended."""

from __future__ import annotations

from typing import Literal

import attrs

from ajolo_fanout.values import Duration, option

__all__ = ["ShutdownSettings"]


@attrs.frozen
class ShutdownSettings:
    """The deadline of flush, shutdown and exit."""

    timeout: Duration = option(
        "How long flush() and shutdown() may take, for all backends together, and exit and SIGTERM with "
        "them. What is not delivered by then is counted as lost.",
        default=Duration(5),
        minimum=0.001,
        maximum=86400,
        example='"5s"',
    )
    open_spans: Literal["drop", "send"] = option(
        "What a shutdown does with spans that have started and not ended: they are counted, and with send also "
        "sent as they are, marked ajolo_fanout.unfinished.",
        default="drop",
        choices=("drop", "send"),
        example='"send"',
    )
