"""Redaction at work: one pass over everything of a draft that leaves.

Whatever a rule fails on goes: the value becomes `[redaction failed]`, or is removed with its attribute where
nothing can stand for it, and the span goes on without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ajolo_fanout.steps.attributes import Attributes
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.notes import REDACTED, write_note
from ajolo_fanout.steps.parts import DraftEvent, DraftScope
from ajolo_fanout.steps.redaction.content import is_content_event
from ajolo_fanout.steps.redaction.hashing import Hasher
from ajolo_fanout.steps.redaction.removal import FAILED, MASKED, Removal
from ajolo_fanout.steps.redaction.rules import NameRules, Rule
from ajolo_fanout.steps.redaction.settings import RedactionSettings
from ajolo_fanout.steps.redaction.texts import Texts

__all__ = ["Redactor", "redact", "redactor"]


class Redactor:
    """The redaction of one shape, compiled.

    Keeps nothing of a span but names of attributes and short texts in which nothing was found, so many of
    each.

    The resource and the scope are apart from the rest: many spans share them, so that the caller can have
    them done once. For the same reason what is taken out of them is noted on them, not on each span.

    Attributes:
        idle: Whether it does nothing at all.
    """

    def __init__(self, settings: RedactionSettings) -> None:
        self.idle = settings.idle
        self._texts = Texts(settings) if settings.scans else None
        self._hasher = Hasher(settings.hash_key) if settings.hash_key is not None else None
        self._rules = NameRules(settings, self._texts, allowing=True)
        self._shared_rules = NameRules(settings, self._texts)
        self._content = settings.content

    def span(self, draft: Draft) -> list[Removal]:
        """Remove what has to go from the span's own content, and note it on the span."""
        removed: list[Removal] = []
        if self.idle:
            return removed
        if self._texts is not None:
            draft.name = self._text(draft.name, "name", removed)
            status = draft.status
            if status.description is not None:
                description = self._text(status.description, "status.description", removed)
                if description != status.description:
                    draft.status_description = description
        self._attributes(draft.attributes, self._rules, "attributes", removed)
        if draft.events:
            self._events(draft, removed)
        for index, link in enumerate(draft.links):
            self._attributes(link.attributes, self._rules, f"links.{index}.attributes", removed)
        _note(draft.attributes, removed)
        return removed

    def resource(self, attributes: Attributes) -> list[Removal]:
        """Remove what has to go from a resource's attributes, and note it there."""
        removed: list[Removal] = []
        if not self.idle:
            self._attributes(attributes, self._shared_rules, "resource.attributes", removed)
            _note(attributes, removed)
        return removed

    def scope(self, scope: DraftScope) -> list[Removal]:
        """Remove what has to go from a scope, and note it among its attributes."""
        removed: list[Removal] = []
        if self.idle:
            return removed
        if self._texts is not None:
            scope.name = self._text(scope.name, "scope.name", removed)
            if scope.version is not None:
                scope.version = self._text(scope.version, "scope.version", removed)
        self._attributes(scope.attributes, self._shared_rules, "scope.attributes", removed)
        _note(scope.attributes, removed)
        return removed

    def texts(self, attributes: Mapping[str, Any], removed: list[Removal]) -> Mapping[str, Any]:
        """`attributes` that are put on a span behind its redaction, less what is found in their texts."""
        if self._texts is None:
            return attributes
        return {
            name: self._text(value, f"attributes.{name}", removed) if isinstance(value, str) else value
            for name, value in attributes.items()
        }

    def _text(self, text: Any, path: str, removed: list[Removal]) -> Any:
        """A name or a description."""
        if text is None:
            return None
        try:
            assert self._texts is not None  # asked by who calls
            return str(self._texts.value(text, "", path, removed))
        except Exception:  # fails closed, whatever the text's own methods do
            removed.append(Removal(path, "failed"))
            return FAILED

    def _events(self, draft: Draft, removed: list[Removal]) -> None:
        gone = set()
        for index, event in enumerate(draft.events):
            message = self._content != "keep" and is_content_event(event.name)
            if message and self._content == "drop":
                removed.append(Removal(f"events.{index}", "content"))
                gone.add(index)
                continue
            self._event(event, f"events.{index}", removed, message=message)
        if gone:
            draft.events = [event for index, event in enumerate(draft.events) if index not in gone]

    def _event(self, event: DraftEvent, path: str, removed: list[Removal], *, message: bool) -> None:
        """An event; of a `message` every value is content, whatever its name."""
        if self._texts is not None:
            event.name = self._text(event.name, f"{path}.name", removed)
        forced = self._content if message else None
        self._attributes(event.attributes, self._rules, f"{path}.attributes", removed, forced)

    def _attributes(
        self, attributes: Attributes, rules: NameRules, path: str, removed: list[Removal], forced: Any = None
    ) -> None:
        """Apply each attribute's rule; `forced` is what happens to all that would stay otherwise."""
        if not attributes:
            return
        changes: list[tuple[Any, Rule, Any]] = []
        for name, value in attributes.raw().items():
            rule = rules.of(name)
            if forced is not None and rule.action in ("scan", "keep", "mask"):
                rule = rule._replace(action=forced, reason="content")
            renamed = type(name) is not str or rule.name != name
            if rule.action == "keep" and not renamed:
                continue
            here = f"{path}.{rule.name}"
            if rule.action == "drop":
                removed.append(Removal(here, rule.reason))
                changes.append((name, rule, None))
                continue
            removed.extend([Removal(here, reason) for reason in rule.found])
            kept = self._value(value, rule, str.__str__(name), here, removed)
            if kept is not value or renamed:
                changes.append((name, rule, kept))
        for name, rule, kept in changes:
            _change(attributes, name, rule, kept, removed, path)

    def _value(self, value: Any, rule: Rule, name: str, path: str, removed: list[Removal]) -> Any:
        """What becomes of a value that stays in some form."""
        before = len(removed)
        try:
            if rule.action == "scan":
                assert self._texts is not None  # or the rule would be another
                return self._texts.value(value, name, path, removed)
            if rule.action == "keep":
                return value
            if rule.action == "mask":
                kept = MASKED
            else:
                if self._hasher is None:
                    raise ValueError("there is no hash_key")  # noqa: TRY301 - fails closed, as everything here
                kept = self._hasher(value)
        except Exception:  # fails closed, whatever the value's own methods do
            removed[before:] = [Removal(path, "failed")]
            return FAILED
        removed.append(Removal(path, rule.reason))
        return kept


def _change(
    attributes: Attributes, name: Any, rule: Rule, kept: Any, removed: list[Removal], path: str
) -> None:  # fmt: skip
    """Have `kept` in the place of what `name` holds, under the name that the rule leaves."""
    if rule.action == "drop":
        del attributes[name]
        return
    free, number = rule.name, 1
    if rule.name != name:
        del attributes[name]
        while free in attributes:  # two names that held a secret must not become one
            number += 1
            free = f"{rule.name} {number}"
    try:
        attributes[free] = kept
    except Exception:  # no name, or a value that no draft takes: it goes, counted
        attributes.pop(free, None)
        removed.append(Removal(f"{path}.{rule.name}", "failed"))


def _note(attributes: Attributes, removed: list[Removal]) -> None:
    if removed:
        write_note(attributes, REDACTED, (f"{one.path}: {one.reason}" for one in removed))


def redactor(settings: RedactionSettings) -> Redactor:
    """The redactor of `settings`. To be kept: with detectors it takes milliseconds to compile."""
    return Redactor(settings)


def redact(draft: Draft, settings: RedactionSettings) -> int:
    """Remove from `draft` what `settings` say, resource and scope included, once.

    Returns:
        How many values were removed; an event that went as a whole is one.
    """
    made = redactor(settings)
    return len([*made.span(draft), *made.resource(draft.resource), *made.scope(draft.scope)])
