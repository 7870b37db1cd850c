"""The options of a settings class as rows of a page, each in the file's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from ajolo_fanout.config.attributes import Attribute
from ajolo_fanout.config.backend import Processor
from ajolo_fanout.config.convert import fields_of
from ajolo_fanout.config.model import Schema
from ajolo_fanout.config.tests import GivenEvent, GivenSpan, InFileTest
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.match import Match, MatchOrPreset
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.values import Duration, Option, Secret, Size, key_of, option_of

__all__ = ["Row", "bare", "cell", "field_options", "rows", "table", "toml", "type_words"]

_WORDS: Mapping[Any, str] = {
    bool: "boolean",
    int: "integer",
    Schema: "integer",
    float: "number",
    str: "string",
    Duration: "duration",
    Size: "size",
    Path: "path",
    Secret: "secret",
    Processor: "processor",
    Condition: "condition",
    Match: "match",
    MatchOrPreset: "match or preset",
    KeepRule: "rule",
    InFileTest: "test",
    GivenSpan: "span",
    GivenEvent: "event",
}


@attrs.frozen
class Row:
    """One key.

    Attributes:
        key: Dotted, below the table that the rows are about.
        type: In the file's words.
        default: As the file would have it; empty where there is none.
        help: Sentences.
        example: As one would write the value; empty where help says enough.
    """

    key: str
    type: str
    default: str
    help: str
    example: str


def rows(cls: type, prefix: str = "") -> Iterator[Row]:
    """The keys of a settings class, those of tables inside it dotted; names kept for later are left out."""
    for field, option in field_options(cls):
        kind = bare(field.type)
        key = prefix + key_of(field)
        if attrs.has(kind) and kind is not Match:
            yield from rows(kind, f"{key}.")
        else:
            yield Row(key, type_words(kind, option), _default(field), option.help, option.example)


def field_options(cls: type) -> Iterator[tuple[attrs.Attribute[Any], Option]]:
    """The fields of `cls` that a user may write, types resolved."""
    for field in fields_of(cls):
        if (option := option_of(field)) is not None:
            yield field, option


def is_union(kind: Any) -> bool:
    """Whether a value is of one of several types, and not only perhaps None."""
    return get_origin(bare(kind)) in (Union, UnionType)


def bare(kind: Any) -> Any:
    """`kind` without None: nobody can write None in TOML."""
    if get_origin(kind) in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not NoneType]
        if len(others) == 1:
            return others[0]
    return kind


def type_words(kind: Any, option: Option | None = None) -> str:
    """What is written for a value of this type, range and choices included."""
    if get_origin(kind) is Literal:
        return " or ".join(f"`{toml(choice)}`" for choice in get_args(kind))
    if option is not None and option.choices:
        listed = [f"`{toml(choice)}`" for choice in option.choices]
        if get_origin(kind) is tuple:
            return f"array of {', '.join(listed)}"
        return " or ".join(listed) + (", or an array of these" if is_union(kind) else "")
    if get_origin(kind) is tuple:
        words = type_words(get_args(kind)[0])
        return f"array of {words.replace('match ', 'matches ')}s" if words != "match" else "array of matches"
    if get_origin(kind) is Mapping:
        element = get_args(kind)[1]
        if element is Attribute:
            return "table of attributes"
        return {
            Secret: "table of secrets",
            Expression: "table of RE2 patterns",
            Condition: "table of conditions",
        }.get(element, "table")
    words = _WORDS[kind]
    return words + (_range(kind, option) if option is not None else "")


def _range(kind: Any, option: Option) -> str:
    unit = kind if kind in (Duration, Size) else _number
    low, high = option.minimum, option.maximum
    if low is not None and high is not None:
        return f", {unit(low)} to {unit(high)}"
    if low is not None:
        return f", at least {unit(low)}"
    return "" if high is None else f", at most {unit(high)}"


def _number(number: float) -> str:
    return f"{number:g}" if number < 1e6 else f"{int(number):_}"


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    factory = getattr(field.default, "factory", None)
    value = field.default if factory is None else factory()
    return "" if value in (None, (), {}) else f"`{toml(value)}`"


def toml(value: Any) -> str:
    """A value as the file would have it."""
    if isinstance(value, (Duration, Size, Path)):
        return f'"{value}"'
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {toml(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def cell(text: str) -> str:
    """`text` for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def table(found: Iterator[Row]) -> Iterator[str]:
    """Rows as a Markdown table."""
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    for row in found:
        example = (
            f" For example `{row.key} = {row.example}`."
            if row.example and row.example != row.default[1:-1]
            else ""
        )
        yield f"| `{row.key}` | {cell(row.type)} | {cell(row.default)} | {cell(row.help)}{cell(example)} |"
    yield ""
