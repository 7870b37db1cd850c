"""The SDK's containers, holding what a step made just as it made it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.util import BoundedList
from opentelemetry.util.types import AnyValue

__all__ = ["Given", "bounded_list"]


class Given(BoundedAttributes):
    """Attributes as they are given, and how many the program lost before.

    A BoundedAttributes because a ReadableSpan asks no other mapping how many were dropped. The SDK's own looks
    at every value anew, and before 1.45 it drops maps, None and arrays of several types, which steps do make:
    of `[104, 2]` a pattern may leave `["[room]", 2]`.

    Args:
        attributes: Names and values, of kinds that OTLP has; copied.
        dropped: How many attributes the span has lost.
    """

    def __init__(self, attributes: Mapping[str, AnyValue], dropped: int) -> None:
        super().__init__()
        self._given = dict(attributes)
        self.dropped = dropped

    def __getitem__(self, key: str) -> AnyValue:
        return self._given[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __repr__(self) -> str:
        return repr(self._given)

    def __deepcopy__(self, memo: dict[int, Any]) -> Given:
        return self  # as immutable as its values

    def copy(self) -> MutableMapping[str, AnyValue]:
        """All of it as a dict."""
        return dict(self._given)


def bounded_list(items: Iterable[Any], dropped: int) -> Sequence[Any]:
    """Events or links, and how many the program lost before."""
    made = BoundedList.from_seq(None, items)
    made.dropped = dropped
    return made
