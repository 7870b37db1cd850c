"""The tables on top of the file: service, resource, limits, shutdown; with the environment below them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ajolo_fanout.config.context import ContextSettings
from ajolo_fanout.config.convert import structure
from ajolo_fanout.config.document import Document
from ajolo_fanout.config.limits import ProviderLimits
from ajolo_fanout.config.model import FileSettings
from ajolo_fanout.config.places import dotted
from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.config.shutdown import ShutdownSettings
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.config.substitution import Unset
from ajolo_fanout.config.tests import InFileTest
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan import environment
from ajolo_fanout.plan.layers import Lookup, Merged, file_layer, merge
from ajolo_fanout.plan.origins import leaves
from ajolo_fanout.values import Origin

__all__ = ["Top", "resolve_top"]

_UNTOUCHED = frozenset(("defaults", "backends", "tests"))
"""Tables in which `${…}` is not replaced here: for each backend by itself, or by nobody."""

_SERVICE: Mapping[str, tuple[str, ...]] = {
    "name": ("service.name",),
    "version": ("service.version",),
    "environment": ("deployment.environment.name", "deployment.environment"),
}
"""The resource attributes that each key of `[service]` sets."""


@attrs.frozen
class Top:
    """What holds for all backends.

    Attributes:
        resource: The resource's attributes.
        limits: The provider's limits.
        shutdown: How long flush and shutdown may take.
        context: What every span gets at its start.
        sampling: The flag for other services, and the bounds of the trace buffer.
        spool: The folder for batches that wait on disk; None where there is none.
        tests: The file's tests by their number, less those with mistakes.
        origins: Where each value came from, by dotted key.
        usable: False where the file can't be read at all, whatever its backends say.
    """

    resource: Mapping[str, Any]
    limits: ProviderLimits
    shutdown: ShutdownSettings
    context: ContextSettings
    sampling: BufferSettings
    spool: SpoolSettings | None
    tests: Mapping[int, InFileTest]
    origins: Mapping[str, Origin]
    usable: bool

    @property
    def service(self) -> str:
        """The program's name; the SDK's word where it has none."""
        return str(self.resource.get("service.name") or "unknown_service")


def resolve_top(
    document: Document,
    environ: Mapping[str, str],
    lookup: Lookup,
    problems: list[Problem],
    *,
    allow_unset: bool,
) -> Top:
    """Read the top tables; what is wrong leaves the built-in value in its place.

    Args:
        document: The file.
        environ: The environment.
        lookup: The same, for `${…}`.
        problems: Errors and warnings are appended here.
        allow_unset: Let placeholders stand for unset variables.
    """
    table = {key: value for key, value in document.data.items() if key not in _UNTOUCHED}
    own = file_layer(document, (), table, lookup)
    merged = merge([own, environment.limits_layer(environ, problems)])
    for layer, flaw in merged.flaws():
        if not (allow_unset and isinstance(flaw, Unset)):
            problems.append(layer.place(flaw.path).problem(flaw.message, flaw.code))
    whole = {**merged.table, **{key: document.data[key] for key in _UNTOUCHED & document.data.keys()}}
    settings, usable = _settings(document, whole, merged, problems)
    resource, origins = _resource(settings, merged, environ, problems)
    for key in ("limits", "shutdown", "context", "sampling", "spool"):
        found = getattr(settings, key)
        for path in () if found is None else leaves(found, (key,)):
            origins[dotted(path)] = merged.origin(path)
    return Top(
        MappingProxyType(resource),
        settings.limits,
        settings.shutdown,
        settings.context,
        settings.sampling,
        settings.spool,
        _tests(document, settings),
        MappingProxyType(origins),
        usable,
    )


def _settings(
    document: Document, table: Mapping[str, Any], merged: Merged, problems: list[Problem]
) -> tuple[FileSettings, bool]:
    """The typed tables, and whether `schema` was right; a table with mistakes is left out."""
    arguments: Any = {"place": merged.place, "folder": document.folder}
    settings = structure(FileSettings, table, problems=problems, **arguments)
    if settings is not None:
        return settings, True
    right = {
        key: value
        for key, value in {"schema": 1, **table}.items()
        if structure(FileSettings, {"schema": 1, key: value}, problems=[], **arguments) is not None
    }
    usable = "schema" in right and "schema" in table
    right.setdefault("schema", 1)
    settings = structure(FileSettings, right, problems=[], **arguments)
    assert settings is not None
    return settings, usable


def _tests(document: Document, settings: FileSettings) -> Mapping[int, InFileTest]:
    """The tests that are right: where the table as a whole isn't, each is read by itself."""
    written = document.data.get("tests", ())
    if settings.tests or not isinstance(written, list):
        return MappingProxyType(dict(enumerate(settings.tests)))
    read = {
        number: structure(InFileTest, table, place=document.place, problems=[], folder=document.folder)
        for number, table in enumerate(written)
    }
    return MappingProxyType({number: one for number, one in read.items() if one is not None})


def _resource(
    settings: FileSettings, merged: Merged, environ: Mapping[str, str], problems: list[Problem]
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """The resource: the environment's attributes, and over them what the file says."""
    resource: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, (value, variable) in environment.resource_attributes(environ, problems).items():
        resource[name] = value
        origins[dotted(("resource", name))] = Origin("environment", variable)
    for key, names in _SERVICE.items():
        text = getattr(settings.service, key)
        if text is None:
            continue
        path = ("service", key)
        for name in names:
            if name in settings.resource:
                message = f"service.{key} says this already; write it in one of the two places"
                problems.append(merged.place(("resource", name)).problem(message, "written-twice"))
            resource[name] = str(text)
            origins[dotted(("resource", name))] = merged.origin(path)
    resource |= settings.resource
    origins |= {dotted(("resource", name)): merged.origin(("resource", name)) for name in settings.resource}
    if not resource.get("service.name"):
        message = 'no service name anywhere, so backends show unknown_service; write [service] name = "…"'
        problems.append(merged.top.place(("service",)).problem(message, "no-service-name", "warning"))
    return resource, origins
