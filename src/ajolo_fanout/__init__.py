"""One `tracing.toml`, many tracing backends.

    import ajolo_fanout

    ajolo_fanout.install_from_config()   # reads ./tracing.toml; call it once, early, in the main thread

Every name is loaded when it is first used: importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ajolo_fanout.errors import ConfigError, FanoutError, InstallError, Problem
    from ajolo_fanout.fanout import Fanout
    from ajolo_fanout.health.report import Health, Report
    from ajolo_fanout.install import install_from_config
    from ajolo_fanout.pipeline.context import context, exclude, keep, only
    from ajolo_fanout.steps.draft import Draft

    __version__: str

__all__ = [
    "ConfigError",
    "Draft",
    "Fanout",
    "FanoutError",
    "Health",
    "InstallError",
    "Problem",
    "Report",
    "__version__",
    "context",
    "exclude",
    "install_from_config",
    "keep",
    "only",
]

_HOMES = {
    "ConfigError": "errors",
    "Draft": "steps.draft",
    "Fanout": "fanout",
    "FanoutError": "errors",
    "Health": "health.report",
    "InstallError": "errors",
    "Problem": "errors",
    "Report": "health.report",
    "context": "pipeline.context",
    "exclude": "pipeline.context",
    "install_from_config": "install",
    "keep": "pipeline.context",
    "only": "pipeline.context",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("ajolo-fanout")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"ajolo_fanout.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
