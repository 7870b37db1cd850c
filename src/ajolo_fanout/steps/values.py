"""Attribute values: what one may be, and how one is shown without giving its inside away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from opentelemetry.util.types import AnyValue

from ajolo_fanout.steps.nesting import Nesting

__all__ = ["frozen", "identity", "same", "shown"]

_PLAIN = frozenset({str, bool, int, float, bytes, type(None)})


def shown(value: Any) -> AnyValue:
    """`value`, with every array in it as a tuple and every map in it read-only.

    The SDK keeps a map that a span was given as a plain dict: who reads it through a draft must not be able
    to change the span.
    """
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]  # one of AnyValue's own types
    try:
        return _shown(value, Nesting(), 0)
    except ValueError:
        return value  # type: ignore[no-any-return]  # cyclic or absurdly deep; the encoder copes, and says so


def _shown(value: Any, nesting: Nesting, depth: int) -> AnyValue:
    if isinstance(value, Mapping):
        nesting.enter(depth)
        return MappingProxyType({key: _shown(inner, nesting, depth + 1) for key, inner in value.items()})
    if isinstance(value, (list, tuple)):
        nesting.enter(depth)
        return tuple([_shown(inner, nesting, depth + 1) for inner in value])
    return value  # type: ignore[no-any-return]  # a span made by hand may hold anything; the encoder copes


def frozen(value: Any) -> AnyValue:
    """A copy of `value` that nobody else can change.

    Raises:
        TypeError: when OTLP has no form for it, with what it has one for.
        ValueError: when it is nested too deep, or holds itself.
    """
    return value if type(value) in _PLAIN else _frozen(value, Nesting(), 0)


def _frozen(value: Any, nesting: Nesting, depth: int) -> AnyValue:
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return str.__str__(value)  # of a subclass, such as a string from the environment, the plain text
    if isinstance(value, (int, float, bytes)):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the keys of a map are strings, not {type(key).__name__}")
        nesting.enter(depth)
        return MappingProxyType({key: _frozen(inner, nesting, depth + 1) for key, inner in value.items()})
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Sequence):
        nesting.enter(depth)
        return tuple([_frozen(inner, nesting, depth + 1) for inner in value])
    raise TypeError(
        "an attribute is a string, a boolean, a number, bytes, None, or an array or a map of these, "
        f"not {type(value).__name__}"
    )


def same(one: Any, other: Any) -> bool:
    """Whether both are certain to be encoded alike; `1` and `True` aren't, nor `0.0` and `-0.0`."""
    if one is other:
        return True
    kind = type(one)
    return kind in (str, int, bool, bytes) and kind is type(other) and bool(one == other)


def identity(value: Any) -> Any:
    """A hashable stand-in for `value`, equal only for what is encoded alike (`1`, `1.0` and `True` differ).

    Settings classes count by their fields, mappings regardless of their order, everything else that is
    hashable by its own equality, and the rest by being the very same object.
    """
    kind = type(value)
    if kind is float:
        return kind, repr(value)  # NaN equals itself here, 0.0 and -0.0 differ
    if kind in _PLAIN:
        return kind, value
    if isinstance(value, str):
        return str, str.__str__(value)
    if isinstance(value, Mapping):
        pairs = [(key, identity(inner)) for key, inner in value.items()]
        return Mapping, tuple(sorted(pairs, key=lambda pair: str(pair[0])))
    if isinstance(value, (list, tuple)):
        return Sequence, tuple([identity(inner) for inner in value])
    if isinstance(fields := getattr(kind, "__attrs_attrs__", None), tuple):
        return kind, tuple([identity(getattr(value, field.name)) for field in fields])
    try:
        hash(value)
    except TypeError:
        return kind, id(value)
    return kind, value
