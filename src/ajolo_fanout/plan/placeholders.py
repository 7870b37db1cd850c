"""A plan on a machine that lacks the variables and secret files of the one it is meant for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.substitution import Unset, substitute
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve

__all__ = ["resolve_with_placeholders"]

_ABSENT = frozenset(("unset-variable", "secret-file", "tls-file"))
"""The codes of what placeholders can stand for."""


def resolve_with_placeholders(
    document: Document, environ: Mapping[str, str]
) -> tuple[Plan, tuple[Problem, ...]]:
    """The plan as it is here; with placeholders only where something it needs is absent.

    Optional backends whose variables are unset are off as long as nothing else is absent; once placeholders
    stand anyway, they are on, so that all of the file can be seen.

    Returns:
        The plan, and a warning for each place where a placeholder stands.

    Raises:
        ConfigError: with everything that is wrong beside what is absent.
    """
    try:
        return resolve(document, environ), ()
    except ConfigError as error:
        absent = [one for one in error.problems if one.severity == "error" and one.code in _ABSENT]
        if not absent:
            raise
    plan = resolve(document, environ, allow_unset=True)
    absent += _of_optional(plan, document, environ)
    warnings = dict.fromkeys(
        attrs.evolve(one, severity="warning", message=f"{one.message}; a placeholder stands in")
        for one in absent
    )
    return plan, ConfigError(warnings).problems


def _of_optional(plan: Plan, document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    for backend in plan.backends:
        if backend.settings.optional:
            path = ("backends", backend.name)
            _, flaws = substitute(document.data["backends"][backend.name], environ.get)
            for flaw in flaws:
                if isinstance(flaw, Unset):
                    yield document.place((*path, *flaw.path)).problem(flaw.message, flaw.code)
