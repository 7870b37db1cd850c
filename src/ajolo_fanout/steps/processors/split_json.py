"""`type = "split_json"`: one attribute that holds a JSON string becomes several."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors.common import MATCH, Change, matching
from ajolo_fanout.values import option

__all__ = ["SplitJsonSettings"]


@attrs.frozen
class SplitJsonSettings:
    """Takes a JSON object, or array, apart into attributes of their own."""

    attribute: str = option("The attribute that holds the JSON string.", example='"request.payload"')
    prefix: str | None = option(
        "What the new names begin with, before a dot; by default the attribute's own name.",
        default=None,
        example='"payload"',
    )
    depth: int = option(
        "How many levels are taken apart; what lies deeper stays a JSON string.",
        default=1,
        minimum=1,
        maximum=16,
        example="2",
    )
    max_attributes: int = option(
        "How many attributes one value may become; a larger one is left as it is.",
        default=128,
        minimum=1,
        example="256",
    )
    keep: bool = option("Whether the JSON string stays, too.", default=False, example="true")
    match: Match | None = option(MATCH, default=None, example='{ scope = "my.library" }')

    def compile(self) -> Change:
        """The function that splits it."""

        def change(draft: Draft) -> None:
            value = draft.attributes.raw().get(self.attribute)
            if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
                return
            try:
                parts = dict(_parts(json.loads(value), self.prefix or self.attribute, self.depth))
            except (ValueError, RecursionError):
                return  # no JSON after all; it stays what it is, and redaction still sees it
            if not 0 < len(parts) <= self.max_attributes:
                return
            if not self.keep:
                del draft.attributes[self.attribute]
            for name, part in parts.items():
                draft.attributes[name] = part

        return matching(self.match, change)


def _parts(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Each part of `value` with its name; null is no value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        if part is None:
            continue
        below = f"{name}.{key}"
        if not isinstance(part, (dict, list)):
            yield below, part
        elif depth > 1 and part:
            yield from _parts(part, below, depth - 1)
        else:
            yield below, json.dumps(part, ensure_ascii=False)
