"""The attributes of a draft: a mapping over the source's that copies at the first write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from opentelemetry.util.types import AnyValue

from ajolo_fanout.steps.values import frozen, identity, same, shown

__all__ = ["Attributes"]

_GONE = object()


class Attributes(MutableMapping[str, AnyValue]):
    """What a span, an event, a link, a resource or a scope says of itself; to be changed like a dict.

    What it was made from is never changed. An array reads as a tuple and a map as a read-only one, so that
    nothing inside can be changed behind the draft's back: to change one, assign a new one. Writing what is
    there already changes nothing, so the span's bytes can still be shared.
    """

    __slots__ = ("_data", "_source", "_writes")

    def __init__(self, source: Mapping[str, Any] | None = None) -> None:
        """A view of `source`, which costs nothing until it is read."""
        self._source = source
        self._data: dict[str, Any] | None = None
        self._writes: dict[str, Any] | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was written that differs from the source."""
        return self._writes is not None

    def writes(self) -> Any:
        """What was written, as a hashable key: equal writes over one source give equal content."""
        return identity(self._writes) if self._writes else ()

    def raw(self) -> dict[str, Any]:
        """All of it as a dict that the steps read at full speed and never change; nobody else gets it."""
        if self._data is None:
            self._data = _copy(self._source)
        return self._data

    def __getitem__(self, name: str) -> AnyValue:
        return shown(self.raw()[name])

    def __setitem__(self, name: str, value: AnyValue) -> None:
        """Set one.

        Raises:
            TypeError: when the name is no string or empty, or OTLP has no form for the value.
        """
        if not _is_name(name):
            raise TypeError(f"the name of an attribute is a string of at least one character, not {name!r}")
        data = self.raw()
        if not same(data.get(name, _GONE), value):
            kept = frozen(value)
            data[name] = kept
            self._note(name, kept)

    def __delitem__(self, name: str) -> None:
        del self.raw()[name]
        self._note(name, _GONE)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self.raw()))  # a snapshot: what a rule matches may be deleted on the way

    def __len__(self) -> int:
        if self._data is None:
            return len(self._source) if self._source is not None else 0
        return len(self._data)

    def __contains__(self, name: object) -> bool:
        return name in self.raw()

    def __repr__(self) -> str:
        return repr(self.copy())

    def copy(self) -> dict[str, AnyValue]:
        """A plain dict of it."""
        return {name: shown(value) for name, value in self.raw().items()}

    def _note(self, name: str, value: Any) -> None:
        if self._writes is None:
            self._writes = {}
        self._writes[name] = value


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name != ""


def _copy(source: Mapping[str, Any] | None) -> dict[str, Any]:
    """A dict of `source`; of the SDK's attributes by their own `copy`, which runs in C."""
    if source is None:
        return {}
    copy = getattr(source, "copy", None)
    copied = dict(source) if copy is None else copy()
    return copied if type(copied) is dict else dict(copied)
