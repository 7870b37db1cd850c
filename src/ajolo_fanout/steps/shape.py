"""The shape of a pipeline, and the one function that gives a span this shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import attrs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import AttributeValue

from ajolo_fanout.steps.additions import Addition
from ajolo_fanout.steps.draft import NO_USAGE, Draft, Usage
from ajolo_fanout.steps.limits import LimitsSettings, apply_limits
from ajolo_fanout.steps.processors.dialect import DialectSettings
from ajolo_fanout.steps.processors.own import OwnSettings
from ajolo_fanout.steps.redaction import RedactionSettings, Removal, by_reason, redactor
from ajolo_fanout.steps.values import identity, same

__all__ = ["Shape", "Shaped", "Shaper", "shape_span", "shaper"]

_MAX_KEPT = 256


@attrs.frozen(eq=False)
class Shape:
    """What a pipeline does to a span's content. Backends of equal shape share their renditions.

    Attributes:
        processors: Their settings, in order; each has `compile()`.
        redaction: What is removed after them.
        limits: What is cut after that.
        resource: Attributes laid over the span's own resource: the profile's fixed ones and, attached to
            another's provider, the file's.
    """

    processors: tuple[Any, ...] = ()
    redaction: RedactionSettings = attrs.field(factory=RedactionSettings)
    limits: LimitsSettings = attrs.field(factory=LimitsSettings)
    resource: Mapping[str, AttributeValue] = attrs.field(factory=dict)
    _key: Any = attrs.field(init=False, repr=False)

    @_key.default
    def _identity(self) -> Any:
        # Python's own equality would have `set` to 1 and `set` to true share the bytes of one of them.
        return tuple(
            [identity(part) for part in (self.processors, self.redaction, self.limits, self.resource)]
        )

    @property
    def own(self) -> bool:
        """Whether a processor of the user's own is part of it: then no other backend's is equal to it."""
        return any(isinstance(processor, OwnSettings) for processor in self.processors)

    @property
    def needs_lineage(self) -> bool:
        """Whether it asks which spans carry the tokens and the cost of others."""
        return any(isinstance(one, DialectSettings) and one.usage == "leaf" for one in self.processors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape):
            return NotImplemented
        return bool(self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)


@attrs.frozen
class Shaped:
    """A span in a shape.

    Attributes:
        draft: What became of it.
        removed: What redaction took out of it, resource and scope included.
    """

    draft: Draft
    removed: tuple[Removal, ...] = ()

    @property
    def redacted(self) -> int:
        """How many values redaction removed."""
        return len(self.removed)

    @property
    def redacted_by(self) -> Mapping[str, int]:
        """The same by reason."""
        return by_reason(self.removed)


class Shaper:
    """A shape, compiled. What it does to a resource or a scope is remembered, since many spans share them.

    Attributes:
        passive: Whether it leaves every span's own content and scope alone, so that no draft is needed.
    """

    def __init__(self, shape: Shape) -> None:
        self._processors = tuple([processor.compile() for processor in shape.processors])
        self._redactor = redactor(shape.redaction)
        self._limits = None if shape.limits.none else shape.limits
        self._fixed = shape.resource
        self.passive = not self._processors and self._redactor.idle and self._limits is None
        # By identity; what an identity belongs to is kept beside it, so that it stays that one's.
        self._laid: dict[int, tuple[Resource, Resource]] = {}
        self._resources: dict[Any, tuple[Resource, Resource, list[Removal]]] = {}
        self._scopes: dict[int, tuple[Any, InstrumentationScope | None, list[Removal]]] = {}

    def __call__(
        self, span: ReadableSpan, *, usage_below: Usage = NO_USAGE, watch: Watch | None = None
    ) -> Shaped:
        """Give `span` this shape: process, redact, limit.

        Args:
            span: An ended span.
            usage_below: What of tokens and cost other spans carry (`Lineage`).
            watch: Is shown the draft after each step, by the step's key; must not change it.

        Raises:
            Exception: whatever a processor raises; the span must not be sent then.
        """
        draft = Draft(span, self.laid(span.resource), usage_below=usage_below)
        if self.passive:
            return Shaped(draft)
        if watch is None:
            for change in self._processors:
                change(draft)
        else:
            for number, change in enumerate(self._processors):
                change(draft)
                watch(f"processors[{number}]", draft)
        removed = self._redactor.span(draft)
        removed += self._settle_resource(draft)
        removed += self._settle_scope(draft)
        if watch is not None:
            watch("redaction", draft)
        if self._limits is not None:
            apply_limits(draft, self._limits)
        return Shaped(draft, tuple(removed))

    def addition(self, addition: Addition) -> tuple[Addition, Sequence[Removal]]:
        """What is added to a span of this shape, redacted, and what that removed.

        A reason given in code (`ajolo_fanout.keep`) may say anything.
        """
        removed: list[Removal] = []
        attributes = self._redactor.texts(addition.attributes, removed)
        if not removed:
            return addition, ()
        return attrs.evolve(addition, attributes=attributes), removed

    def laid(self, resource: Resource) -> Resource:
        """`resource` with the fixed attributes over it; itself where they change nothing."""
        if not self._fixed:
            return resource
        found = self._laid.get(id(resource))
        if found is None:
            found = (resource, self._lay(resource))
            _keep(self._laid, id(resource), found)
        return found[1]

    def _lay(self, resource: Resource) -> Resource:
        present = resource.attributes
        if all(name in present and same(present[name], value) for name, value in self._fixed.items()):
            return resource
        return Resource({**present, **self._fixed}, resource.schema_url)

    def _settle_resource(self, draft: Draft) -> list[Removal]:
        attributes = draft.resource
        if self._redactor.idle and not attributes.changed:
            return []
        base = draft.sdk_base_resource
        key = (id(base), attributes.writes())
        found = self._resources.get(key)
        if found is None:
            removed = self._redactor.resource(attributes)
            found = (base, draft.sdk_resource(), removed)
            _keep(self._resources, key, found)
        draft.settle_resource(found[1])
        return found[2]

    def _settle_scope(self, draft: Draft) -> list[Removal]:
        if self._redactor.idle:
            return []
        if draft.scope_changed:
            return self._redactor.scope(draft.scope)
        base = draft.instrumentation_scope
        found = self._scopes.get(id(base))
        if found is None:
            removed = self._redactor.scope(draft.scope)
            found = (base, draft.instrumentation_scope, removed)
            _keep(self._scopes, id(base), found)
        if found[1] is not base:
            draft.settle_scope(found[1])
        return found[2]


Watch = Callable[[str, Draft], None]
"""Looks on while a span is shaped."""


@lru_cache(maxsize=256)
def shaper(shape: Shape) -> Shaper:
    """The shaper of `shape`; equal shapes share one."""
    return Shaper(shape)


def shape_span(span: ReadableSpan, shape: Shape, *, usage_below: Usage = NO_USAGE) -> Shaped:
    """Give `span` the `shape`: process, redact, limit. The span itself is never changed."""
    return shaper(shape)(span, usage_below=usage_below)


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    if len(kept) >= _MAX_KEPT:
        kept.clear()
    kept[key] = value
