"""Raw tables laid over one another, and which of them each value came from.

Precedence, strongest first: the backend's own table, `[defaults]`, the profile's defaults, the environment;
what nobody wrote anywhere is built in and is no layer. Tables merge key by key; every other value, arrays
included, replaces what is below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.places import KeyPath, Place, dotted
from ajolo_fanout.config.substitution import FromEnvironment, Malformed, Unset, substitute
from ajolo_fanout.profiles.model import Profile
from ajolo_fanout.values import BUILT_IN, Origin

__all__ = ["Layer", "Lookup", "Merged", "environment_layer", "file_layer", "merge", "profile_layer"]

Lookup: TypeAlias = Callable[[str], "str | None"]


@attrs.frozen(eq=False)
class Layer:
    """One source of values.

    Attributes:
        table: Plain TOML values, substituted.
        flaws: What substitution found wrong, with paths below `table`.
        origin: Where the value at a path comes from; a path that isn't there has its nearest ancestor's.
        place: The same, for a problem.
        raw: The table before substitution; `table` itself where there was none.
    """

    table: Mapping[str, Any] = attrs.field(repr=False)
    origin: Callable[[KeyPath], Origin] = attrs.field(repr=False)
    place: Callable[[KeyPath], Place] = attrs.field(repr=False)
    flaws: tuple[Unset | Malformed, ...] = ()
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(eq=False)
class Merged:
    """Layers as one table.

    Attributes:
        table: The merged table.
        owners: The layer that each path of `table` came from; for a table the strongest that wrote one.
        top: The strongest layer, where a key that nobody wrote would have been expected.
    """

    table: Mapping[str, Any] = attrs.field(repr=False)
    owners: Mapping[KeyPath, Layer] = attrs.field(repr=False)
    top: Layer

    def owner(self, path: KeyPath) -> Layer | None:
        """Who wrote the value at `path`, or the value that it is a part of; None where nobody did."""
        for length in range(len(path), 0, -1):
            if (found := self.owners.get(path[:length])) is not None:
                return found
        return None

    def origin(self, path: KeyPath) -> Origin:
        """Where the value at `path` came from: built in where no layer has it, or the value it is a part of.

        A table on the way doesn't count: that `batch.schedule_delay` is written says nothing of
        `batch.max_queue_size`.
        """
        for length in range(len(path), 0, -1):
            if (found := self.owners.get(path[:length])) is not None:
                whole = length == len(path) or not isinstance(self.value(path[:length]), Mapping)
                return found.origin(path) if whole else BUILT_IN
        return BUILT_IN

    def place(self, path: KeyPath) -> Place:
        """Where a problem with the value at `path` is mended."""
        return (self.owner(path) or self.top).place(path)

    def value(self, path: KeyPath) -> Any:
        """The value at `path`, None where there is none."""
        at: Any = self.table
        for part in path:
            if isinstance(at, Mapping):
                at = at.get(str(part))
            elif isinstance(at, (list, tuple)) and isinstance(part, int) and part < len(at):
                at = at[part]
            else:
                return None
        return at

    def flaws(self) -> Iterator[tuple[Layer, Unset | Malformed]]:
        """What substitution found wrong in the values that won, with the layer each is in."""
        for layer in dict.fromkeys(self.owners.values()):
            for flaw in layer.flaws:
                if self.owner(flaw.path) is layer:
                    yield layer, flaw

    def unknown(self, *path: str) -> bool:
        """Whether the value at `path` stands on a placeholder."""
        return any(
            isinstance(text, FromEnvironment) and not text.known for text in _strings(self.value(path))
        )


def merge(layers: Sequence[Layer]) -> Merged:
    """Lay `layers` over one another, the strongest first."""
    table: dict[str, Any] = {}
    owners: dict[KeyPath, Layer] = {}
    for layer in reversed(layers):
        _lay(layer.table, (), layer, table, owners)
    return Merged(table, owners, layers[0])


def _lay(
    source: Mapping[str, Any], path: KeyPath, layer: Layer, onto: dict[str, Any], owners: dict[KeyPath, Layer]
) -> None:
    for key, value in source.items():
        here = (*path, key)
        below = onto.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _lay(value, here, layer, below, owners)
        else:
            for replaced in [known for known in owners if known[: len(here)] == here]:
                del owners[replaced]
            if isinstance(value, Mapping):
                onto[key] = {}
                _lay(value, here, layer, onto[key], owners)
            else:
                onto[key] = value
        owners[here] = layer


def file_layer(document: Document, path: KeyPath, table: Mapping[str, Any], lookup: Lookup) -> Layer:
    """A table of the file, `${…}` replaced.

    Args:
        document: The file.
        path: Where the table stands in it.
        table: The table.
        lookup: The environment. An unset variable leaves a placeholder that bears its name.
    """
    made, flaws = substitute(table, lookup)
    kind: Literal["defaults", "file"] = "defaults" if path[:1] == ("defaults",) else "file"

    def origin(key: KeyPath) -> Origin:
        position = document.position((*path, *key))
        if position is None:
            return Origin(kind, document.name)
        return Origin(kind, document.name, position.line, position.column)

    def place(key: KeyPath) -> Place:
        return document.place((*path, *key))

    return Layer(_named(made), origin, place, tuple(flaws), table)


def profile_layer(profile: Profile) -> Layer:
    """What a profile says of common keys."""
    origin = Origin("profile", profile.id)

    def place(key: KeyPath) -> Place:
        return Place(f"backends/{profile.id}.toml", key=dotted(("defaults", *key)))

    return Layer(profile.defaults, lambda _: origin, place, raw=profile.defaults)


def environment_layer(values: Mapping[KeyPath, tuple[str, Any]]) -> Layer:
    """Values of variables, by path: the variable's name and the value as the file would have it."""
    table: dict[str, Any] = {}
    for path, (_, value) in values.items():
        at = table
        for part in path[:-1]:
            at = at.setdefault(str(part), {})
        at[str(path[-1])] = value

    def variable(key: KeyPath) -> str:
        return values[key][0] if key in values else ""

    return Layer(
        table,
        lambda key: Origin("environment", variable(key)),
        lambda key: Place(key=variable(key)),
        raw=table,
    )


def _named(value: Any) -> Any:
    """`value` with the variable's name in each placeholder: no two are taken for the same credential."""
    if isinstance(value, FromEnvironment):
        if value.known or not value.whole:
            return value
        return FromEnvironment(f"{value}-{value.names[0]}", value.names, whole=True, known=False)
    if isinstance(value, Mapping):
        return {key: _named(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(inner) for inner in value]
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
