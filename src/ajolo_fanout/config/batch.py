"""`batch`: how spans are gathered into requests, in the OpenTelemetry SDK's own terms."""

from __future__ import annotations

import attrs

from ajolo_fanout.values import Duration, Size, option

__all__ = ["BatchSettings"]


@attrs.frozen
class BatchSettings:
    """The knobs of one backend's `BatchSpanProcessor`, and a bound in bytes."""

    max_queue_size: int = option(
        "The most spans that may wait for this backend. What comes beyond it is refused and counted as "
        "queue_full.",
        default=2048,
        minimum=1,
        maximum=1_000_000,
        example="2048",
    )
    max_queue_bytes: Size = option(
        "The most bytes of encoded spans that may wait for this backend. What comes beyond it is refused and "
        "counted as queue_full.",
        default=Size(64 * 1024**2),
        minimum=1024,
        example='"64MiB"',
    )
    max_export_batch_size: int = option(
        "The most spans in one batch. It can't exceed max_queue_size; where only that is written, and is "
        "smaller, it follows.",
        default=512,
        minimum=1,
        maximum=1_000_000,
        example="512",
    )
    schedule_delay: Duration = option(
        "How long a span waits at most for others to fill its batch.",
        default=Duration(5),
        minimum=0.001,
        maximum=86400,
        example='"5s"',
    )
    export_timeout: Duration = option(
        "How long sending one batch may take, all its requests together.",
        default=Duration(30),
        minimum=0.001,
        maximum=86400,
        example='"30s"',
    )
