"""Rules of a plan tried on recorded spans: one that means all of them or none is likely a slip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    plan: Plan, document: Document, read: Callable[[], Sequence[Any]], recording: str
) -> Iterator[Problem]:
    """Rules that tell no recorded span from another.

    Durations have no say: recordings were made with models that answer at once.

    Args:
        plan: Whose rules.
        document: Where they stand.
        read: Gives the spans; called once, and only where there is a rule.
        recording: What the spans are, for the message.
    """
    spans: Sequence[Any] | None = None
    tried: dict[Place, Problem | None] = {}
    for backend in plan.backends:
        for path, match in rules(backend):
            place = place_of(document, backend.name, path)
            # Without its durations a rule means more spans: if it still means none, it means none with them.
            timeless = attrs.evolve(match, min_duration=None, max_duration=None)
            if place in tried or _timed(timeless) or (timeless == Match() and _timed(match)):
                continue
            spans = read() if spans is None else spans
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


def _judged(
    match: Match, path: KeyPath, spans: Sequence[Any], recording: str, place: Place
) -> Problem | None:
    roots_only = path[-1] == "root"
    asked = [span for span in spans if is_local_root(span)] if roots_only else spans
    what = "roots among the " if roots_only else ""
    test = compile_match(match)
    count = sum(bool(test(span)) for span in asked)
    hint = "see whether that is meant, or try the rule on spans of your own with --spans FILE"
    if asked and not count:
        message = f"matches none of the {len(asked)} {what}{recording}; {hint}"
        return place.problem(message, "matches-none", "warning")
    if asked and count == len(asked):
        message = f"matches all {len(asked)} {what}{recording}; {hint}"
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
