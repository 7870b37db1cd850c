"""`rename`, `copy`, `delete`, `keep_only`, `drop_events`: how attributes are called, and which stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ajolo_fanout.steps.attributes import Attributes
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.glob import matches_any
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors.common import MATCH, Change, matching
from ajolo_fanout.values import option

__all__ = ["CopySettings", "DeleteSettings", "DropEventsSettings", "KeepOnlySettings", "RenameSettings"]

_OLD_TO_NEW = '{ "user_id" = "user.id" }'


@attrs.frozen
class RenameSettings:
    """Gives attributes other names. All are taken off first, so that two names can be swapped."""

    attributes: Mapping[str, str] = option(
        "Old name to new name, of span attributes. A value that has the new name already is replaced.",
        factory=dict,
        example=_OLD_TO_NEW,
    )
    resource: Mapping[str, str] = option(
        "Old name to new name, of resource attributes.",
        factory=dict,
        example='{ "env" = "deployment.environment" }',
    )
    match: Match | None = option(MATCH, default=None, example='{ scope = "my.library" }')

    def compile(self) -> Change:
        """The function that renames them."""

        def change(draft: Draft) -> None:
            if self.attributes:
                _move(draft.attributes, self.attributes, keep=False)
            if self.resource:
                _move(draft.resource, self.resource, keep=False)

        return matching(self.match, change)


@attrs.frozen
class CopySettings:
    """Puts values under further names."""

    attributes: Mapping[str, str] = option(
        "Name to further name, of span attributes. A value that has that name already is replaced.",
        factory=dict,
        example=_OLD_TO_NEW,
    )
    resource: Mapping[str, str] = option(
        "Name to further name, of resource attributes.",
        factory=dict,
        example='{ "service.name" = "service" }',
    )
    match: Match | None = option(MATCH, default=None, example='{ scope = "my.library" }')

    def compile(self) -> Change:
        """The function that copies them."""

        def change(draft: Draft) -> None:
            if self.attributes:
                _move(draft.attributes, self.attributes, keep=True)
            if self.resource:
                _move(draft.resource, self.resource, keep=True)

        return matching(self.match, change)


@attrs.frozen
class DeleteSettings:
    """Takes attributes off. For what must never leave, `redaction.drop` is surer: it comes last."""

    attributes: tuple[str, ...] = option(
        "Span attributes to delete, by name: globs of * and ?.",
        default=(),
        example='["http.request.header.*"]',
    )
    resource: tuple[str, ...] = option(
        "Resource attributes to delete, by name: globs of * and ?.", default=(), example='["process.*"]'
    )
    match: Match | None = option(MATCH, default=None, example='{ kind = "client" }')

    def compile(self) -> Change:
        """The function that deletes them."""
        attribute, resource = matches_any(self.attributes), matches_any(self.resource)

        def change(draft: Draft) -> None:
            if self.attributes:
                _delete(draft.attributes, [name for name in draft.attributes.raw() if attribute(name)])
            if self.resource:
                _delete(draft.resource, [name for name in draft.resource.raw() if resource(name)])

        return matching(self.match, change)


@attrs.frozen
class KeepOnlySettings:
    """Keeps the named attributes of a span and takes off all others; events, links and resource stay."""

    attributes: tuple[str, ...] = option(
        "Span attributes to keep, by name: globs of * and ?.",
        default=(),
        example='["gen_ai.*", "http.route"]',
    )
    match: Match | None = option(MATCH, default=None, example='{ kind = "client" }')

    def compile(self) -> Change:
        """The function that takes the others off."""
        kept = matches_any(self.attributes)

        def change(draft: Draft) -> None:
            _delete(draft.attributes, [name for name in draft.attributes.raw() if not kept(name)])

        return matching(self.match, change)


@attrs.frozen
class DropEventsSettings:
    """Takes events off spans."""

    names: tuple[str, ...] = option(
        "Events to drop, by name: globs of * and ?.", default=(), example='["debug.*", "message"]'
    )
    match: Match | None = option(MATCH, default=None, example='{ status = "ok" }')

    def compile(self) -> Change:
        """The function that drops them."""
        dropped = matches_any(self.names)

        def change(draft: Draft) -> None:
            if draft.events:
                draft.events = [event for event in draft.events if not dropped(event.name)]

        return matching(self.match, change)


def _move(attributes: Attributes, names: Mapping[str, str], *, keep: bool) -> None:
    present = attributes.raw()
    found: list[tuple[str, Any]] = [(new, present[old]) for old, new in names.items() if old in present]
    if not keep:
        _delete(attributes, [old for old, new in names.items() if old in present and old != new])
    for new, value in found:
        attributes[new] = value


def _delete(attributes: Attributes, names: list[str]) -> None:
    for name in names:
        del attributes[name]
