"""What a span holds, flat: a path for each value, so that two states of a span can be compared."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ajolo_fanout.steps.notes import REDACTED
from ajolo_fanout.steps.values import same

__all__ = ["ABSENT", "Change", "Content", "State", "changes", "content", "flat", "without_notes"]

Content = Mapping[str, Any]
"""Path -> value. Paths are those of `Removal`, and `parent` (16 digits, empty for a root), `status`
(`unset`, `ok`, `error`) and `trace_state`."""


class _Absent:
    """Stands for a value that isn't there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@attrs.frozen
class Change:
    """One value that differs.

    Attributes:
        path: Where it stands.
        before: What it was, `ABSENT` where it wasn't.
        after: What it is, `ABSENT` where it is gone.
    """

    path: str
    before: Any
    after: Any


@attrs.frozen(eq=False)
class State:
    """A span at one moment: what can be said by name, and its events and links in their order."""

    plain: Mapping[str, Any]
    events: Sequence[tuple[Any, Mapping[str, Any]]]
    links: Sequence[tuple[Any, Mapping[str, Any]]]


def content(span: Any) -> State:
    """What `span` holds now, a ReadableSpan or a Draft."""
    plain: dict[str, Any] = {"name": span.name, "status": span.status.status_code.name.lower()}
    if span.status.description:
        plain["status.description"] = span.status.description
    plain["parent"] = "" if span.parent is None else f"{span.parent.span_id:016x}"
    state = None if span.context is None else span.context.trace_state
    if state:
        plain["trace_state"] = state.to_header()
    plain |= _named("attributes", span.attributes)
    resource = span.resource  # the SDK's Resource, or a draft's mapping
    plain |= _named("resource.attributes", getattr(resource, "attributes", resource))
    scope = span.instrumentation_scope
    if scope is not None:
        plain |= {"scope.name": scope.name, "scope.version": scope.version or ""}
        plain |= _named("scope.attributes", scope.attributes)
    events = [
        (event.timestamp, {"name": event.name, **_named("attributes", event.attributes)})
        for event in span.events
    ]
    links = [
        ((link.context.trace_id, link.context.span_id), _named("attributes", link.attributes))
        for link in span.links
    ]
    return State(plain, events, links)


def flat(state: State) -> Content:
    """All of a state under paths: events and links by their number."""
    found = dict(state.plain)
    for kind, parts in (("events", state.events), ("links", state.links)):
        for number, (_, values) in enumerate(parts):
            found |= {f"{kind}.{number}.{path}": value for path, value in values.items()}
    return found


def without_notes(state: State) -> State:
    """A state without what redaction noted on it."""
    plain = {path: value for path, value in state.plain.items() if not path.endswith(f".{REDACTED}")}
    return attrs.evolve(state, plain=plain)


def changes(before: State, after: State) -> tuple[Change, ...]:
    """What differs, in the order of `after`; an event's number is the one it had before."""
    if before is after:
        return ()
    found = list(_differences("", before.plain, after.plain))
    found += _parts("events", before.events, after.events)
    found += _parts("links", before.links, after.links)
    return tuple(found)


def _parts(kind: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
    """Differences between lists of events or links: those of one key are one and the same."""
    paired = _paired([key for key, _ in before], [key for key, _ in after])
    for number, (_, values) in enumerate(before):
        new = after[paired[number]][1] if number in paired else {}
        yield from _differences(f"{kind}.{number}.", values, new)
    fresh = [values for number, (_, values) in enumerate(after) if number not in paired.values()]
    for number, values in enumerate(fresh, len(before)):
        yield from _differences(f"{kind}.{number}.", {}, values)


def _paired(before: list[Any], after: list[Any]) -> dict[int, int]:
    """The number that each part of `before` has in `after`, where it is still there."""
    if before == after:
        return {number: number for number in range(len(before))}
    found: dict[int, int] = {}
    for block in difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        found |= {block.a + step: block.b + step for step in range(block.size)}
    return found


def _differences(prefix: str, before: Content, after: Content) -> Iterator[Change]:
    for path, value in after.items():
        if path not in before:
            yield Change(prefix + path, ABSENT, value)
        elif not _alike(before[path], value):
            yield Change(prefix + path, before[path], value)
    for path, value in before.items():
        if path not in after:
            yield Change(prefix + path, value, ABSENT)


def _alike(one: Any, other: Any) -> bool:
    return same(one, other) or (type(one) is type(other) and repr(one) == repr(other))


def _named(prefix: str, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in (attributes or {}).items()}
