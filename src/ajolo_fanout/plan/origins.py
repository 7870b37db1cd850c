"""Where each value of a resolved backend came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.places import KeyPath, dotted
from ajolo_fanout.plan.layers import Merged
from ajolo_fanout.profiles.endpoint import read_address, recognise
from ajolo_fanout.profiles.target import Target
from ajolo_fanout.values import Origin, key_of, option_of

__all__ = ["backend_origins", "leaves"]


def leaves(settings: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every single value in settings: through settings classes and tables, arrays as a whole."""
    for field in attrs.fields(type(settings)):
        if option_of(field) is None:
            continue
        value = getattr(settings, field.name)
        here = (*path, key_of(field))
        if attrs.has(type(value)):
            yield from leaves(value, here)
        elif isinstance(value, Mapping):
            yield from ((*here, str(key)) for key in value)
        else:
            yield here


def backend_origins(
    merged: Merged, settings: BackendSettings, target: Target, lowered: Mapping[str, str | Origin]
) -> Mapping[str, Origin]:
    """The origin of every value of a backend, by dotted key.

    Args:
        merged: The layers that the backend was made of.
        settings: Its common keys.
        target: Where it sends.
        lowered: Keys whose value had to follow another key's, each with that other key, or with its origin.
    """
    profile = Origin("profile", target.profile.id)
    origins = {"type": merged.origin(("type",))}
    for path in leaves(settings):
        if path[0] != "headers":
            origins[dotted(path)] = merged.origin(path)
    lists: dict[KeyPath, int] = {
        ("processors",): len(settings.processors),
        ("select", "include"): len(settings.select.include),
        ("select", "exclude"): len(settings.select.exclude),
        ("sampling", "keep"): len(settings.sampling.keep),
    }
    for path, count in lists.items():
        for index in range(count):
            origins[dotted((*path, index))] = merged.origin((*path, index))
    inputs = _input_origins(merged, settings, target)
    origins |= inputs
    origins["url"] = merged.origin(("endpoint",)) if settings.endpoint is not None else profile
    origins["max_request_bytes"] = profile
    written = {name.lower(): name for name in settings.headers}
    rules = {rule.name: rule.sources() for rule in target.profile.headers}
    for name in target.headers:
        if name in written:
            origin = merged.origin(("headers", written[name]))
        else:
            origin = next((inputs[source] for source in rules.get(name, ()) if source in inputs), profile)
        origins[dotted(("headers", name))] = origin
    for rule in target.profile.resource:
        if rule.name in target.resource:
            origins[dotted(("resource", rule.name))] = inputs.get(rule.input or "", profile)
    origins |= {key: other if isinstance(other, Origin) else origins[other] for key, other in lowered.items()}
    return MappingProxyType(origins)


def _input_origins(merged: Merged, settings: BackendSettings, target: Target) -> dict[str, Origin]:
    """An input is written, or read off the endpoint, or the profile's own."""
    inferred: Mapping[str, str] = {}
    if settings.endpoint is not None:
        address = read_address(settings.endpoint, settings.protocol)
        if not isinstance(address, str):
            inferred = recognise(target.profile, settings.protocol, address)
    found = {}
    for name in target.inputs:
        if name in merged.table:
            found[name] = merged.origin((name,))
        elif name in inferred:
            found[name] = merged.origin(("endpoint",))
        else:
            found[name] = Origin("profile", target.profile.id)
    return found
