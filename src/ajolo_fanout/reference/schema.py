"""A JSON Schema of the file, for editors: what a schema can say of it. `check` says the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from ajolo_fanout.config.attributes import Attribute
from ajolo_fanout.config.backend import NOT_IN_DEFAULTS, BackendSettings, Processor
from ajolo_fanout.config.model import KNOWN_SCHEMAS, FileSettings, Schema
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.model import USELESS_KEYS, Input, Profile
from ajolo_fanout.reference.types import bare, field_options, is_union
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.match import Match, MatchOrPreset
from ajolo_fanout.steps.presets import PRESETS
from ajolo_fanout.steps.processors import PROCESSORS, OwnSettings
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.values import Duration, Option, Secret, Size, key_of

__all__ = ["schema"]

_NAME = r"^[a-z][a-z0-9_-]{0,63}$"
_VARIABLE = r"^\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}$"
_NUMBER = r"[0-9]+(\.[0-9]+)? *"
_UNTYPED = ("backends", "defaults")

_DEFINITIONS: dict[str, Any] = {
    "variable": {"type": "string", "pattern": _VARIABLE},
    "duration": {"type": "string", "pattern": rf"^ *{_NUMBER}(ms|s|m|h|d) *$|{_VARIABLE}"},
    "size": {"type": "string", "pattern": rf"^ *{_NUMBER}(B|KiB|MiB|GiB) *$|{_VARIABLE}"},
    "secret": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"file": {"type": "string"}},
                "required": ["file"],
                "additionalProperties": False,
            },
        ]
    },
    "attribute": {
        "anyOf": [
            {"type": ["string", "boolean", "number"]},
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"type": "boolean"}},
            {"type": "array", "items": {"type": "number"}},
        ]
    },
    "condition": {
        "anyOf": [
            {"type": ["string", "boolean", "number"]},
            {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1},
            {
                "type": "object",
                "properties": {"equals": {"type": ["string", "boolean", "number", "array"]}},
                "required": ["equals"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {"exists": {"type": "boolean"}},
                "required": ["exists"],
                "additionalProperties": False,
            },
        ]
    },
    "match or preset": {"anyOf": [{"$ref": "#/$defs/match"}, {"enum": list(PRESETS)}]},
}


def schema() -> str:
    """The schema (draft 2020-12) as text."""
    definitions = dict(_DEFINITIONS)
    definitions["processor"] = _processors()
    definitions["match"] = _object(Match)
    definitions["defaults"] = _object(BackendSettings, without=NOT_IN_DEFAULTS)
    profiles = [catalog.load(name) for name in catalog.names()]
    for profile in profiles:
        definitions[f"type-{profile.id}"] = _backend(profile)
    definitions["backend"] = {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"anyOf": [{"enum": [one.id for one in profiles]}, {"$ref": "#/$defs/variable"}]}
        },
        "allOf": [_when(one) for one in profiles],
    }
    top = _object(FileSettings, without=frozenset(_UNTYPED))
    top["properties"] |= {
        "defaults": {"$ref": "#/$defs/defaults"},
        "backends": {
            "type": "object",
            "patternProperties": {_NAME: {"$ref": "#/$defs/backend"}},
            "additionalProperties": False,
            "minProperties": 1,
        },
    }
    for field, option in field_options(FileSettings):
        if field.name in _UNTYPED:
            top["properties"][field.name]["description"] = option.help
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tracing.toml of ajolo_fanout",
        **top,
        "required": ["schema", "backends"],
        "$defs": definitions,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _when(profile: Profile) -> dict[str, Any]:
    return {
        "if": {"properties": {"type": {"const": profile.id}}, "required": ["type"]},
        "then": {"$ref": f"#/$defs/type-{profile.id}"},
    }


def _backend(profile: Profile) -> dict[str, Any]:
    made = _object(BackendSettings, without=USELESS_KEYS[profile.kind])
    made["properties"] = {
        "type": {"const": profile.id, "description": profile.summary},
        **{one.name: _input(one) for one in profile.inputs},
        **made["properties"],
    }
    return made


def _input(one: Input) -> dict[str, Any]:
    made: dict[str, Any]
    if one.secret:
        made = {"$ref": "#/$defs/secret"}
    elif one.kind == "choice":
        names = [*one.choices, *(one.choices.values() if one.by_value else ())]
        made = _or_variable({"enum": list(dict.fromkeys(names))})
    elif one.kind == "size":
        made = {"$ref": "#/$defs/size"}
    elif one.kind in ("boolean", "integer"):
        number = {"minimum": one.minimum} if one.minimum is not None else {}
        made = _or_variable({"type": one.kind, **number})
    else:
        made = {"type": "string"}
    return {"description": one.help, **made}


def _object(cls: type, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The table that a settings class is read from; names kept for later are no part of it."""
    properties = {}
    for field, option in field_options(cls):
        kind = bare(field.type)
        if field.name not in without:
            properties[key_of(field)] = {"description": option.help, **_value(kind, option)}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(kind: Any, option: Option | None = None) -> dict[str, Any]:
    if kind is Match:
        return {"$ref": "#/$defs/match"}
    if attrs.has(kind):
        return _object(kind)
    if get_origin(kind) is Literal:
        return _or_variable({"enum": list(get_args(kind))})
    if option is not None and option.choices and (is_union(kind) or get_origin(kind) is tuple):
        return _of_choices(option, one=is_union(kind))
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _value(get_args(kind)[0])}
    if get_origin(kind) is Mapping:
        return {"type": "object", "additionalProperties": _value(get_args(kind)[1])}
    references = {
        Attribute: "attribute",
        Secret: "secret",
        Duration: "duration",
        Size: "size",
        Processor: "processor",
        Condition: "condition",
        MatchOrPreset: "match or preset",
    }
    if kind in references:
        return {"$ref": f"#/$defs/{references[kind]}"}
    if kind is Schema:
        return {"enum": list(KNOWN_SCHEMAS)}
    if kind in (str, Path, Expression):
        return {"type": "string"}
    return _or_variable({"type": {bool: "boolean", int: "integer", float: "number"}[kind], **_range(option)})


def _of_choices(option: Option, *, one: bool) -> dict[str, Any]:
    """An array of choices; with `one` also a single one, and an array that isn't empty."""
    choice = _or_variable({"enum": list(option.choices)})
    if not one:
        return {"type": "array", "items": choice}
    return {"anyOf": [*choice["anyOf"], {"type": "array", "items": choice, "minItems": 1}]}


def _range(option: Option | None) -> dict[str, Any]:
    found = {"minimum": option.minimum, "maximum": option.maximum} if option is not None else {}
    return {key: value for key, value in found.items() if value is not None}


def _or_variable(made: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [made, {"$ref": "#/$defs/variable"}]}


def _processors() -> dict[str, Any]:
    made = []
    for name, cls in PROCESSORS.items():
        one = _object(cls)
        one["properties"] = {"type": {"const": name}, **one["properties"]}
        made.append({**one, "required": ["type"]})
    own = _object(OwnSettings)
    own["properties"] = {
        "type": {
            "type": "string",
            "not": {"enum": list(PROCESSORS)},
            "description": 'One of your own: "package.module:Name", or a name that a package registers.',
        },
        **own["properties"],
    }
    made.append({**own, "required": ["type"], "additionalProperties": True})
    return {"oneOf": made}
