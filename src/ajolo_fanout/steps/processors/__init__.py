"""Processors: steps that change a draft for one backend. `PROCESSORS` is where they register."""

from __future__ import annotations

from typing import Any

from ajolo_fanout.steps.processors.common import Change, Processor
from ajolo_fanout.steps.processors.dialect import DialectSettings
from ajolo_fanout.steps.processors.media import MediaSettings
from ajolo_fanout.steps.processors.names import (
    CopySettings,
    DeleteSettings,
    DropEventsSettings,
    KeepOnlySettings,
    RenameSettings,
)
from ajolo_fanout.steps.processors.own import OwnSettings
from ajolo_fanout.steps.processors.set import SetSettings
from ajolo_fanout.steps.processors.split_json import SplitJsonSettings

__all__ = [
    "PROCESSORS",
    "Change",
    "CopySettings",
    "DeleteSettings",
    "DialectSettings",
    "DropEventsSettings",
    "KeepOnlySettings",
    "MediaSettings",
    "OwnSettings",
    "Processor",
    "RenameSettings",
    "SetSettings",
    "SplitJsonSettings",
    "type_of",
]

PROCESSORS: dict[str, type[Any]] = {
    "set": SetSettings,
    "rename": RenameSettings,
    "copy": CopySettings,
    "delete": DeleteSettings,
    "keep_only": KeepOnlySettings,
    "drop_events": DropEventsSettings,
    "split_json": SplitJsonSettings,
    "media": MediaSettings,
    "dialect": DialectSettings,
}
"""`type` in the file -> the settings class, whose `compile()` gives the function that changes a draft. A
user's own have `OwnSettings`."""


def type_of(settings: Any) -> str:
    """The `type` in the file that stands for the settings of a processor."""
    if isinstance(settings, OwnSettings):
        return settings.type
    return next(name for name, cls in PROCESSORS.items() if cls is type(settings))
