"""A document, the profiles and the environment become a plan, or every problem there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.places import KeyPath
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.plan import checks, environment
from ajolo_fanout.plan.backend import Base, Resolved, check_defaults, resolve_backend
from ajolo_fanout.plan.model import Off, Plan
from ajolo_fanout.plan.tests import check_tests
from ajolo_fanout.plan.top import Top, resolve_top

__all__ = ["resolve"]


def resolve(
    document: Document, environ: Mapping[str, str], *, tolerant: bool = False, allow_unset: bool = False
) -> Plan:
    """Make the plan of a file.

    Args:
        document: The parsed file.
        environ: The environment: for `${…}`, and for the `OTEL_*` variables that are obeyed.
        tolerant: Leave out what is wrong instead of raising: a backend with errors is off, its problems
            become warnings. Redaction fails closed: whatever was wrong in `[defaults]` counts for each
            backend that takes it.
        allow_unset: Let placeholders stand for unset variables and for missing secret files; optional
            backends stay on. For tests of a file, never to send anything.

    Raises:
        ConfigError: with all problems, errors and warnings, in the order of the file. With `tolerant` only
            when nothing of the file can be used.
    """
    problems: list[Problem] = []
    top = resolve_top(document, environ, environ.get, problems, allow_unset=allow_unset)
    batch = environment.batch_layer(environ, problems)
    base = Base(document, environ.get, batch, allow_unset, top.spool, top.service)
    found, for_all = check_defaults(base)
    problems += found
    tables = _tables(document, problems)
    resolved = [resolve_backend(base, name, table) for name, table in tables.items()]
    resolved = [attrs.evolve(one, problems=(*one.problems, *for_all)) for one in resolved]
    plans = [one.plan for one in resolved if one.plan is not None]
    places = {plan.name: document.place(("backends", plan.name)) for plan in plans}
    problems += checks.duplicates(plans, places)
    problems += environment.ambient(environ)
    problems += check_tests(document, top.tests, tables)
    everything = _unique([*problems, *(found for one in resolved for found in one.problems)])
    if any(one.severity == "error" for one in everything):
        if not tolerant or not top.usable or not _right(resolved):
            raise ConfigError(everything)
        everything = _unique(attrs.evolve(one, severity="warning") for one in everything)
    return _plan(document, top, resolved, everything)


def _tables(document: Document, problems: list[Problem]) -> Mapping[str, Any]:
    """The backends as they are written; what isn't a table is reported with the top tables."""
    found = document.data.get("backends", {})
    if isinstance(found, Mapping) and found:
        return found
    if isinstance(found, Mapping):
        key: KeyPath = ("backends",) if "backends" in document.data else ()
        message = 'there is no backend; write one, such as [backends.console] with type = "console"'
        problems.append(document.place(key).problem(message, "no-backends"))
    return {}


def _right(resolved: Iterable[Resolved]) -> list[Resolved]:
    """The backends that are there to be used."""
    return [one for one in resolved if one.plan is not None and not _errors(one.problems)]


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"]


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, in the order of the file.

    What stands in `[defaults]` is found again for each backend that inherits it, and may be worded for it.
    """
    found: dict[Any, Problem] = {}
    for one in problems:
        inherited = one.key.startswith("defaults.")
        found.setdefault((one.file, one.line, one.column, one.key, one.code) if inherited else one, one)
    return sorted(found.values(), key=lambda one: (one.file, one.line or 0, one.column or 0))


def _plan(document: Document, top: Top, resolved: list[Resolved], warnings: list[Problem]) -> Plan:
    backends = tuple(one.plan for one in _right(resolved) if one.plan is not None)
    names = {backend.name for backend in backends}
    off = tuple(_off(one) for one in resolved if one.name not in names)
    if not backends:
        message = "no backend gets any spans: " + "; ".join(f"{one.name} is off ({one.why})" for one in off)
        warnings = [*warnings, document.place(("backends",)).problem(message, "all-off", "warning")]
    return Plan(
        file=document.name,
        path=document.path,
        resource=top.resource,
        limits=top.limits,
        shutdown=top.shutdown,
        backends=backends,
        off=off,
        warnings=tuple(warnings),
        ratio=max((backend.steps.sampling.ratio for backend in backends), default=0.0),
        origins=top.origins,
        context=top.context,
        sampling=top.sampling,
        spool=top.spool,
        tests=tuple(top.tests.values()),
    )


def _off(resolved: Resolved) -> Off:
    """Why a backend that isn't used is off: as it was written, or for its first error."""
    if resolved.off is not None:
        return resolved.off
    errors = _errors(resolved.problems)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Off(resolved.name, f"not usable: {errors[0]}{more}", "broken")
