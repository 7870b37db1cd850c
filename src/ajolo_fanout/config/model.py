"""The file as a whole, apart from what its backends say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from opentelemetry.util.types import AttributeValue

from ajolo_fanout.config.context import ContextSettings
from ajolo_fanout.config.convert import register
from ajolo_fanout.config.faults import Fault
from ajolo_fanout.config.limits import ProviderLimits
from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.config.scalars import read_integer
from ajolo_fanout.config.service import ServiceSettings
from ajolo_fanout.config.shutdown import ShutdownSettings
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.config.tests import InFileTest
from ajolo_fanout.values import option

__all__ = ["KNOWN_SCHEMAS", "FileSettings", "Schema"]

KNOWN_SCHEMAS = (1,)
"""The versions of the file's grammar that this version of the package reads."""


_NOT_SHOWN = frozenset({"defaults", "backends", "tests"})


class Schema(int):
    """The version of the grammar that a file is written in."""

    __slots__ = ()


def _read_schema(value: Any) -> Schema:
    number = read_integer(value)
    if number not in KNOWN_SCHEMAS:
        known = ", ".join(str(schema) for schema in KNOWN_SCHEMAS)
        raise Fault(
            f"this version of ajolo_fanout reads schema {known}; a newer file needs a newer ajolo_fanout",
            "unknown-schema",
        )
    return Schema(number)


register(Schema, _read_schema)


@attrs.frozen
class FileSettings:
    """The tables on top of a `tracing.toml`.

    `defaults` and `backends` are kept as they are written: what they hold depends on the profiles, and is
    merged before it is read (see the plan).
    """

    schema: Schema = option("The version of this file's grammar. It is always 1.", example="1")
    service: ServiceSettings = option("What the program is called.", factory=ServiceSettings)
    resource: Mapping[str, AttributeValue] = option(
        "Further attributes of the program, sent with every span: strings, booleans, numbers, and arrays "
        "of one of these. Names with dots are written in quotes.",
        factory=dict,
        example='{ "team.name" = "agents" }',
    )
    shutdown: ShutdownSettings = option("How long flushing and leaving may take.", factory=ShutdownSettings)
    limits: ProviderLimits = option("How much one span may hold when it is recorded.", factory=ProviderLimits)
    defaults: Mapping[str, Any] = option(
        "Keys for every backend that doesn't say otherwise: all common keys except type, endpoint, headers "
        "and enabled.",
        factory=dict,
    )
    backends: Mapping[str, Mapping[str, Any]] = option(
        "The places where traces go, each under a name of your choice.", factory=dict
    )
    tests: tuple[InFileTest, ...] = option(
        "Tests of this file, run by `ajolo-fanout test` and by pytest; nothing of them matters to a program.",
        default=(),
    )
    context: ContextSettings = option(
        "What every span gets at its start from where it starts.", factory=ContextSettings
    )
    sampling: BufferSettings = option(
        "What holds for the sampling of all backends together.", factory=BufferSettings
    )
    spool: SpoolSettings | None = option(
        "Where batches wait on disk for backends that can't take them now. Each backend says for itself "
        "whether it uses it.",
        default=None,
    )

    def __repr__(self) -> str:
        """Without what is kept as it is written, and may hold secrets, and without the texts of tests."""
        read = (field.name for field in attrs.fields(type(self)) if field.name not in _NOT_SHOWN)
        return f"FileSettings({', '.join(f'{name}={getattr(self, name)!r}' for name in read)})"
