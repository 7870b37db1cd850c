"""`retry`: how much may wait for a backend that can't take it now, and for how long."""

from __future__ import annotations

import attrs

from ajolo_fanout.values import Duration, Size, option

__all__ = ["MAX_AGE_WITH_SPOOL", "RetrySettings"]

MAX_AGE_WITH_SPOOL = Duration(24 * 3600)
"""What `max_age` is by default for a backend that uses the spool."""


@attrs.frozen
class RetrySettings:
    """The only bounds on what is sent again; when that happens is not for a file to say."""

    max_bytes: Size = option(
        "The most bytes of encoded spans that may wait in memory to be sent again. What comes beyond it is "
        "lost and counted as retry_full.",
        default=Size(64 * 1024**2),
        minimum=0,
        example='"64MiB"',
    )
    max_age: Duration = option(
        "How long a span may wait to be sent again, in memory or in the spool; then it is lost and counted "
        "as too_old. For a backend that uses the spool it is 24h unless written otherwise. It never exceeds "
        "what the backend accepts.",
        default=Duration(15 * 60),
        minimum=1,
        maximum=30 * 86400,
        example='"15m"',
    )
