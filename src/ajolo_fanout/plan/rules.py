"""Rules of a plan tried on recorded spans: one that means all of them or none is likely a slip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.places import KeyPath, Place
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.plan.written import place_of
from ajolo_fanout.steps.keep import is_local_root
from ajolo_fanout.steps.match import Match, compile_match
from ajolo_fanout.values import key_of

__all__ = ["idle_rules", "rules"]


def idle_rules(
    plan: Plan, document: Document, read: Callable[[], Iterable[Any]], recording: str
) -> Iterator[Problem]:
    """Rules that tell no recorded span from another.

    Durations have no say: recordings were made with models that answer at once.

    Args:
        plan: Whose rules.
        document: Where they stand.
        read: Gives the spans; called once, only where there is a rule, and asked for no more spans than
            tell its rules' spans from the others.
        recording: What the spans are, for the message.
    """
    spans = _Once(read)
    tried: dict[Place, Problem | None] = {}
    for backend in plan.backends:
        for path, match in rules(backend):
            place = place_of(document, backend.name, path)
            # Without its durations a rule means more spans: if it still means none, it means none with them.
            timeless = attrs.evolve(match, min_duration=None, max_duration=None)
            if place in tried or _timed(timeless) or (timeless == Match() and _timed(match)):
                continue
            problem = _judged(timeless, path, spans, recording, place)
            all_of_them = problem is not None and problem.code == "matches-all"
            tried[place] = None if all_of_them and _timed(match) else problem
    yield from (problem for problem in tried.values() if problem is not None)


def rules(backend: BackendPlan) -> Iterator[tuple[KeyPath, Match]]:
    """The matches that a backend's steps take, each with its path below the backend."""
    for key in ("select", "sampling", "processors"):
        yield from _matches(getattr(backend.settings, key), (key,))


def _matches(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Match]]:
    if isinstance(value, Match):
        yield path, value
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _matches(getattr(value, field.name), (*path, key_of(field)))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _matches(inner, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _matches(inner, (*path, index))


class _Once:
    """Spans that are read as they are asked for, and only once however often."""

    def __init__(self, read: Callable[[], Iterable[Any]]) -> None:
        self._read = read
        self._rest: Iterator[Any] | None = None
        self._known: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        yield from self._known
        if self._rest is None:
            self._rest = iter(self._read())
        for span in self._rest:
            self._known.append(span)
            yield span


def _judged(
    match: Match, path: KeyPath, spans: Iterable[Any], recording: str, place: Place
) -> Problem | None:
    roots_only = path[-1] == "root"
    test = compile_match(match)
    asked = matched = 0
    for span in spans:
        if roots_only and not is_local_root(span):
            continue
        asked += 1
        matched += bool(test(span))
        if 0 < matched < asked:
            return None  # it tells spans apart: no more of them need be read
    what = "roots among the " if roots_only else ""
    hint = "see whether that is meant, or try the rule on spans of your own with --spans FILE"
    if asked and not matched:
        message = f"matches none of the {asked} {what}{recording}; {hint}"
        return place.problem(message, "matches-none", "warning")
    if asked:
        message = f"matches all {asked} {what}{recording}; {hint}"
        return place.problem(message, "matches-all", "warning")
    return None


def _timed(match: Match) -> bool:
    """Whether durations have a say, at any depth."""
    return (
        match.min_duration is not None
        or match.max_duration is not None
        or any(map(_timed, match.any))
        or (match.not_ is not None and _timed(match.not_))
    )
