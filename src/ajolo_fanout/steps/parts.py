"""What else a draft is made of: events, links and the scope, each changeable, none of it the source's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from typing import Any, Generic, TypeVar, cast, overload

from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import AnyValue

from ajolo_fanout.steps.attributes import Attributes

__all__ = ["DraftEvent", "DraftLink", "DraftScope", "Parts"]


class DraftEvent:
    """An event of a draft. To add one: `draft.events.append(DraftEvent("retry", {"attempt": 2}))`."""

    __slots__ = ("_attributes", "_dropped_attributes", "_name", "_timestamp", "_touched")

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, AnyValue] | None = None,
        timestamp: int | None = None,
        dropped_attributes: int = 0,
    ) -> None:
        """An event.

        Args:
            name: Its name.
            attributes: Its attributes; they are looked at, never changed.
            timestamp: Nanoseconds since the epoch; None for now.
            dropped_attributes: How many attributes were lost to a limit.
        """
        self._name = name
        self._timestamp = time.time_ns() if timestamp is None else timestamp
        self._attributes = Attributes(attributes)
        self._dropped_attributes = dropped_attributes
        self._touched = False

    @classmethod
    def of(cls, event: Any) -> DraftEvent:
        """The view of an SDK event."""
        return cls(event.name, event.attributes, event.timestamp, event.dropped_attributes)

    @property
    def name(self) -> str:
        """The event's name."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if name != self._name:
            self._name = name
            self._touched = True

    @property
    def timestamp(self) -> int:
        """Nanoseconds since the epoch; can't be changed."""
        return self._timestamp

    @property
    def attributes(self) -> Attributes:
        """The event's attributes."""
        return self._attributes

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were lost to a limit."""
        return self._dropped_attributes

    @dropped_attributes.setter
    def dropped_attributes(self, number: int) -> None:
        if number != self._dropped_attributes:
            self._dropped_attributes = number
            self._touched = True

    @property
    def changed(self) -> bool:
        """Whether it differs from what it was made from."""
        return self._touched or self._attributes.changed

    def __repr__(self) -> str:
        return f"DraftEvent({self._name!r}, {self._attributes!r}, {self._timestamp})"


class DraftLink:
    """A link of a draft. To where it leads can't be changed, only what it says."""

    __slots__ = ("_attributes", "_context", "_dropped_attributes", "_touched")

    def __init__(
        self,
        context: SpanContext,
        attributes: Mapping[str, AnyValue] | None = None,
        dropped_attributes: int = 0,
    ) -> None:
        """A link to the span of `context`."""
        self._context = context
        self._attributes = Attributes(attributes)
        self._dropped_attributes = dropped_attributes
        self._touched = False

    @classmethod
    def of(cls, link: Any) -> DraftLink:
        """The view of an SDK link."""
        return cls(link.context, link.attributes, link.dropped_attributes)

    @property
    def context(self) -> SpanContext:
        """The span it leads to; can't be changed."""
        return self._context

    @property
    def attributes(self) -> Attributes:
        """The link's attributes."""
        return self._attributes

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were lost to a limit."""
        return self._dropped_attributes

    @dropped_attributes.setter
    def dropped_attributes(self, number: int) -> None:
        if number != self._dropped_attributes:
            self._dropped_attributes = number
            self._touched = True

    @property
    def changed(self) -> bool:
        """Whether it differs from what it was made from."""
        return self._touched or self._attributes.changed

    def __repr__(self) -> str:
        return f"DraftLink({self._context.span_id:016x}, {self._attributes!r})"


class DraftScope:
    """The instrumentation scope of a draft: the library that made the span."""

    __slots__ = ("_attributes", "_made", "_name", "_source", "_touched", "_version")

    def __init__(self, scope: InstrumentationScope | None) -> None:
        """The view of `scope`; of None it is an unnamed one."""
        self._source = scope
        self._name = scope.name if scope is not None else ""
        self._version = scope.version if scope is not None else None
        self._attributes = Attributes(scope.attributes if scope is not None else None)
        self._touched = False
        self._made: tuple[Any, InstrumentationScope] | None = None

    @property
    def name(self) -> str:
        """The library's name."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if name != self._name:
            self._name = name
            self._touched = True

    @property
    def version(self) -> str | None:
        """The library's version."""
        return self._version

    @version.setter
    def version(self, version: str | None) -> None:
        if version != self._version:
            self._version = version
            self._touched = True

    @property
    def attributes(self) -> Attributes:
        """The scope's attributes."""
        return self._attributes

    @property
    def schema_url(self) -> str:
        """The schema URL; can't be changed."""
        return (self._source.schema_url or "") if self._source is not None else ""

    @property
    def changed(self) -> bool:
        """Whether it differs from what it was made from."""
        return self._touched or self._attributes.changed

    def sdk(self) -> InstrumentationScope | None:
        """It as the SDK has it; the source itself when nothing changed."""
        if not self.changed:
            return self._source
        key = (self._name, self._version, self._attributes.writes())
        if self._made is None or self._made[0] != key:
            made = InstrumentationScope(self._name, self._version, self.schema_url, self._attributes.copy())
            self._made = (key, made)
        return self._made[1]

    def __repr__(self) -> str:
        return f"DraftScope({self._name!r}, {self._version!r}, {self._attributes!r})"


Part = TypeVar("Part", DraftEvent, DraftLink)


class Parts(MutableSequence[Part], Generic[Part]):
    """The events or the links of a draft: a list whose items are made when they are first looked at."""

    __slots__ = ("_items", "_make", "_sources", "_touched")

    def __init__(self, sources: Sequence[Any], make: Callable[[Any], Part]) -> None:
        """A view of `sources`, each seen through `make`."""
        self._sources = sources
        self._make: Callable[[Any], Part] = make
        self._items: list[Part] | None = None
        self._touched = False

    @property
    def changed(self) -> bool:
        """Whether any item differs from the source, or there are others than there were."""
        return self._touched or (self._items is not None and any(item.changed for item in self._items))

    def replace(self, items: Iterable[Part]) -> None:
        """Have `items` and no others; the same ones in the same order are no change."""
        taken = list(items)
        for item in taken:
            _expect(item, self._make)
        present = self._loaded()
        if len(taken) != len(present) or any(one is not two for one, two in zip(taken, present)):  # noqa: B905 - the lengths were just compared
            self._items = taken
            self._touched = True

    def _loaded(self) -> list[Part]:
        if self._items is None:
            self._items = [self._make(source) for source in self._sources]
        return self._items

    @overload
    def __getitem__(self, index: int) -> Part: ...
    @overload
    def __getitem__(self, index: slice) -> list[Part]: ...
    def __getitem__(self, index: int | slice) -> Part | list[Part]:
        return self._loaded()[index]

    @overload
    def __setitem__(self, index: int, value: Part) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Part]) -> None: ...
    def __setitem__(self, index: int | slice, value: Part | Iterable[Part]) -> None:
        items = list(self._loaded())
        if isinstance(index, slice):
            items[index] = cast("Iterable[Part]", value)
        else:
            items[index] = cast("Part", value)
        self.replace(items)

    def __delitem__(self, index: int | slice) -> None:
        items = list(self._loaded())
        del items[index]
        self.replace(items)

    def insert(self, index: int, value: Part) -> None:
        """Put `value` before `index`."""
        items = list(self._loaded())
        items.insert(index, value)
        self.replace(items)

    def __len__(self) -> int:
        return len(self._sources) if self._items is None else len(self._items)

    def __repr__(self) -> str:
        return repr(self._loaded())


def _expect(item: object, make: Callable[..., Any]) -> None:
    kind = DraftEvent if make == DraftEvent.of else DraftLink
    if not isinstance(item, kind):
        raise TypeError(f"expected a {kind.__name__}, not {type(item).__name__}")
