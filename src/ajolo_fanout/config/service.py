"""`[service]`: what the program is called wherever its traces arrive."""

from __future__ import annotations

import attrs

from ajolo_fanout.values import option

__all__ = ["ServiceSettings"]


@attrs.frozen
class ServiceSettings:
    """The program's name, version and environment, as resource attributes."""

    name: str | None = option(
        "The program's name, sent as service.name. Without one anywhere it is unknown_service, with a "
        "warning.",
        default=None,
        example='"my-agent"',
    )
    version: str | None = option(
        "The program's version, sent as service.version.", default=None, example='"${APP_VERSION:-dev}"'
    )
    environment: str | None = option(
        "Where the program runs, such as production. It is sent as deployment.environment.name and as "
        "deployment.environment, because backends read one or the other.",
        default=None,
        example='"production"',
    )
