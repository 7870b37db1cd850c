"""Match: the small table that says which spans are meant, the same one wherever spans are chosen.

Its keys are and-ed; `any = [tables]` and `not = { … }` stand inside it. Where a list of matches is taken, an
element is a match or the name of a preset. A match is compiled once, to closures over spans and drafts alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from ajolo_fanout.steps.condition import MISSING, Condition
from ajolo_fanout.steps.glob import compile_glob, is_glob
from ajolo_fanout.steps.presets import PRESETS
from ajolo_fanout.values import Duration, option

__all__ = [
    "Kind",
    "Kinds",
    "Match",
    "MatchOrPreset",
    "Matches",
    "StatusName",
    "Statuses",
    "compile_any",
    "compile_match",
    "event_names",
]

Kind = Literal["internal", "server", "client", "producer", "consumer"]
StatusName = Literal["unset", "ok", "error"]
Preset = Literal["llm", "errors", "roots"]
Kinds: TypeAlias = Kind | tuple[Kind, ...]
Statuses: TypeAlias = StatusName | tuple[StatusName, ...]
"""One, or a list of which any has to hold."""

Matches = Callable[[Any], bool]
"""Whether a ReadableSpan or a Draft is meant."""


@attrs.frozen
class Match:
    """Which spans are meant; without any key, every one."""

    name: Condition | None = option("The span's name.", default=None, example='"chat *"')
    scope: Condition | None = option(
        "The name of the instrumentation scope: of the library that made the span.",
        default=None,
        example='"openinference.*"',
    )
    kind: Kinds | None = option(
        "The span's kind; of a list any.",
        default=None,
        choices=("internal", "server", "client", "producer", "consumer"),
        example='"server"',
    )
    status: Statuses | None = option(
        "The span's status; of a list any.", default=None, choices=("unset", "ok", "error"), example='"error"'
    )
    min_duration: Duration | None = option("The span took at least this long.", default=None, example='"2s"')
    max_duration: Duration | None = option("The span took at most this long.", default=None, example='"1ms"')
    attributes: Mapping[str, Condition] = option(
        "What its attributes have to be. A name with * or ? is a glob: one that fits it has to hold.",
        factory=dict,
        example='{ "gen_ai.usage.output_tokens" = ">= 1000" }',
    )
    resource: Mapping[str, Condition] = option(
        "What the attributes of its resource have to be.", factory=dict, example='{ "service.name" = "web" }'
    )
    event: Condition | None = option("The name of one of its events.", default=None, example='"exception"')
    root: bool | None = option(
        "Whether it is a local root: a span without a parent, or with a remote one.",
        default=None,
        example="true",
    )
    any: tuple[Match, ...] = option(
        "One of these has to match, too.", default=(), example='[{ status = "error" }]'
    )
    not_: Match | None = option("This must not match.", default=None, example='{ name = "GET /health" }')


MatchOrPreset: TypeAlias = Match | str
"""An element of a list of matches: a match, or `"llm"`, `"errors"` or `"roots"`."""


def compile_match(match: Match) -> Matches:
    """A function that says whether a span, or a draft, is meant."""
    tests = [*_of_span(match), *_of_time(match)]
    tests += [_attribute(_span_attributes, name, condition) for name, condition in match.attributes.items()]
    tests += [_attribute(_resource_attributes, name, condition) for name, condition in match.resource.items()]
    if match.any:
        tests.append(compile_any(match.any))
    if match.not_ is not None:
        tests.append(_negated(compile_match(match.not_)))
    if len(tests) == 1:
        return tests[0]
    return lambda span: all(test(span) for test in tests)


def compile_any(matches: Iterable[MatchOrPreset]) -> Matches:
    """A function that says whether any of `matches` means a span.

    Raises:
        KeyError: when a string among them names no preset.
    """
    each = [PRESETS[one] if isinstance(one, str) else compile_match(one) for one in matches]
    if len(each) == 1:
        return each[0]
    return lambda span: any(test(span) for test in each)


def event_names(span: Any) -> list[str]:
    """The names of a span's events."""
    return [event.name for event in span.events]


def _of_span(match: Match) -> list[Matches]:
    tests: list[Matches] = []
    if match.root is not None:
        tests.append(PRESETS["roots"] if match.root else _negated(PRESETS["roots"]))
    if match.kind is not None:
        kinds = _upper(match.kind)
        tests.append(lambda span: span.kind.name in kinds)
    if match.status is not None:
        statuses = _upper(match.status)
        tests.append(lambda span: span.status.status_code.name in statuses)
    if match.name is not None:
        tests.append(_on(match.name, lambda span: span.name))
    if match.scope is not None:
        tests.append(_on(match.scope, _scope_name))
    if match.event is not None:
        tests.append(_on(match.event, lambda span: event_names(span) or MISSING))
    return tests


def _upper(names: str | tuple[str, ...]) -> frozenset[str]:
    """As OpenTelemetry's enumerations call them."""
    return frozenset(name.upper() for name in ((names,) if isinstance(names, str) else names))


def _of_time(match: Match) -> list[Matches]:
    tests: list[Matches] = []
    if match.min_duration is not None:
        least = float(match.min_duration) * 1e9
        tests.append(lambda span: (span.end_time or 0) - (span.start_time or 0) >= least)
    if match.max_duration is not None:
        most = float(match.max_duration) * 1e9
        tests.append(lambda span: (span.end_time or 0) - (span.start_time or 0) <= most)
    return tests


def _on(condition: Condition, read: Callable[[Any], Any]) -> Matches:
    holds = condition.holds
    return lambda span: holds(read(span))


def _attribute(read: Callable[[Any], Mapping[str, Any]], name: str, condition: Condition) -> Matches:
    holds = condition.holds
    if not is_glob(name):
        return lambda span: holds(read(span).get(name, MISSING))
    fits = compile_glob(name)
    if condition.wants_absence:
        return lambda span: not any(fits(key) for key in read(span))
    return lambda span: any(holds(value) for key, value in read(span).items() if fits(key))


def _negated(test: Matches) -> Matches:
    return lambda span: not test(span)


def _span_attributes(span: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = span.attributes
    return found


def _resource_attributes(span: Any) -> Mapping[str, Any]:
    resource = span.resource  # the SDK's Resource, or a draft's mapping
    found: Mapping[str, Any] = getattr(resource, "attributes", resource)
    return found


def _scope_name(span: Any) -> str:
    scope = span.instrumentation_scope
    return scope.name if scope is not None else ""
