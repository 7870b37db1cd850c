"""Whether a name is one under which content is recorded."""

from __future__ import annotations

import re
from functools import lru_cache

from ajolo_fanout.steps.redaction.content_names import ATTRIBUTES, EVENTS, NOT_CONTENT

__all__ = ["content_row", "is_content", "is_content_event"]


def is_content(name: str) -> bool:
    """Whether the attribute `name` holds a prompt, a completion, tool arguments, a document or their like."""
    return content_row(name) is not None


def content_row(name: str) -> str | None:
    """The row of `content_names` making the attribute `name` content, such as `llm.prompts.#`, or None."""
    exact, rows, exceptions = _compiled()
    if name in exact:
        return name
    if any(pattern.fullmatch(name) for pattern in exceptions):
        return None
    return next((row for row, pattern in rows.items() if pattern.fullmatch(name)), None)


def is_content_event(name: str) -> bool:
    """Whether the event `name` is a message of a conversation as a whole."""
    return name in EVENTS


@lru_cache(maxsize=1)
def _compiled() -> tuple[frozenset[str], dict[str, re.Pattern[str]], list[re.Pattern[str]]]:
    rows = [row for dialect in ATTRIBUTES.values() for row in dialect]
    exact = frozenset([row for row in rows if not {"#", "*"} & set(row)])
    return (
        exact,
        {row: _pattern(row) for row in rows if row not in exact},
        [_pattern(row) for row in NOT_CONTENT],
    )


def _pattern(row: str) -> re.Pattern[str]:
    # A row has one `*` at most, and behind an index comes a dot or the end: hardly any backtracking.
    return re.compile(re.escape(row).replace(r"\#", "[0-9]+").replace(r"\*", ".*"), re.DOTALL)
