"""Limits: how much of a span one backend gets, cut after redaction, and noted on the span."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ajolo_fanout.steps.attributes import Attributes
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.json_cut import cut_json
from ajolo_fanout.steps.nesting import Nesting
from ajolo_fanout.steps.notes import LIMITED, NOTES, write_note
from ajolo_fanout.steps.parts import DraftEvent, DraftLink
from ajolo_fanout.values import Size, option

__all__ = ["LimitsSettings", "apply_limits", "cut"]

_NEVER_CUT = frozenset({bool, int, float, type(None)})
_BEGINS_JSON = ("{", "[")


@attrs.frozen
class LimitsSettings:
    """`limits` of one backend; None is no limit."""

    attribute_count_limit: int | None = option(
        "How many attributes a span, an event or a link keeps; the newest beyond it are cut.",
        default=None,
        minimum=0,
        example="128",
    )
    event_count_limit: int | None = option(
        "How many events a span keeps; the newest beyond it are cut.", default=None, minimum=0, example="128"
    )
    link_count_limit: int | None = option(
        "How many links a span keeps; the newest beyond it are cut.", default=None, minimum=0, example="128"
    )
    attribute_value_length_limit: int | None = option(
        "How many characters a string in an attribute keeps, inside arrays and maps, too. JSON that is cut "
        "stays JSON.",
        default=None,
        minimum=0,
        example="2048",
    )
    attribute_value_size_limit: Size | None = option(
        "The same in bytes of UTF-8, as backends count that cut long values on their own.",
        default=None,
        minimum=0,
        example='"2KiB"',
    )

    @property
    def none(self) -> bool:
        """Whether there is no limit at all."""
        return self == _NO_LIMITS

    @property
    def values(self) -> _Values | None:
        """The limits of single values, None where there are none."""
        length, size = self.attribute_value_length_limit, self.attribute_value_size_limit
        return None if length is None and size is None else _Values(length, size)


@attrs.frozen
class _Values:
    """How long a value may be: in characters, and in bytes of UTF-8."""

    length: int | None = None
    size: int | None = None

    def keeps(self, text: str) -> int:
        """How many characters of `text` are kept."""
        kept = len(text) if self.length is None else min(len(text), self.length)
        if self.size is None or kept * 4 <= self.size or (kept <= self.size and text.isascii()):
            return kept
        raw = text[: min(kept, self.size)].encode("utf-8", "surrogatepass")
        if len(raw) <= self.size:
            return min(kept, self.size)
        end = self.size
        while end and raw[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        return len(raw[:end].decode("utf-8", "surrogatepass"))

    def keeps_bytes(self, content: bytes) -> int:
        """How many bytes of `content` are kept."""
        return min(one for one in (len(content), self.length, self.size) if one is not None)


_NO_LIMITS = LimitsSettings()


def apply_limits(draft: Draft, settings: LimitsSettings) -> None:
    """Cut what goes beyond `settings`; the dropped counts grow by what went, and the span says what was cut.

    The newest go, because instrumentations write what matters first: model and operation before the hundredth
    message; the steps' own notes stay. Resource and scope say what the program is and are left whole.
    """
    lines: list[str] = []
    events, links = settings.event_count_limit, settings.link_count_limit
    if events is not None and len(draft.events) > events:
        lines.append(f"events: {len(draft.events) - events} of {len(draft.events)} cut")
        draft.dropped_events += len(draft.events) - events
        draft.events = draft.events[:events]
    if links is not None and len(draft.links) > links:
        lines.append(f"links: {len(draft.links) - links} of {len(draft.links)} cut")
        draft.dropped_links += len(draft.links) - links
        draft.links = draft.links[:links]
    count, values = settings.attribute_count_limit, settings.values
    if count is not None or values is not None:
        _limit(draft, "attributes", count, values, lines)
        for index, event in enumerate(draft.events):
            _limit(event, f"events.{index}.attributes", count, values, lines)
        for index, link in enumerate(draft.links):
            _limit(link, f"links.{index}.attributes", count, values, lines)
    if lines:
        _note(draft, lines, count, values)


def cut(value: Any, length: int) -> Any:
    """`value` with every string in it cut to `length` characters; `value` itself where none is longer.

    A character is a code point, so no half of one stays behind; a joining mark that the cut would leave
    hanging from another letter is the reader's smallest trouble. A string that is JSON is cut so that it
    stays JSON, where that is possible. Bytes are cut to as many bytes.

    Raises:
        ValueError: when it is nested too deep.
    """
    return _cut(value, _Values(length), "", [], Nesting(), 0)


def _limit(
    part: Draft | DraftEvent | DraftLink,
    path: str,
    count: int | None,
    values: _Values | None,
    lines: list[str],
) -> None:
    attributes = part.attributes
    if count is not None and len(attributes) > count:
        before = len(attributes)
        gone = _cut_count(attributes, count)
        lines.append(f"{path}: {before - count} of {before} cut: {', '.join(gone)}")
        part.dropped_attributes += len(gone)
    if values is not None:
        _cut_values(attributes, values, path, lines)


def _cut_count(attributes: Attributes, limit: int) -> list[str]:
    """Cut the newest attributes, notes last; the names of the span's own that went."""
    names = list(attributes.raw())
    ranked = [name for name in names if name in NOTES] + [name for name in names if name not in NOTES]
    gone = ranked[limit:]
    for name in gone:
        del attributes[name]
    return [name for name in gone if name not in NOTES]


def _cut_values(attributes: Attributes, values: _Values, path: str, lines: list[str]) -> None:
    for name, value in tuple(attributes.raw().items()):
        kind = type(value)
        if kind in _NEVER_CUT:
            continue
        here = f"{path}.{name}"
        if kind is str:
            kept = _cut_text(value, values, here, lines)
        else:
            before = len(lines)
            try:
                kept = _cut(value, values, here, lines, Nesting(), 0)
            except Exception:  # a container's own methods may raise anything; the encoder shows its type then
                lines[before:] = [f"{here}: not measured"]
                continue
        if kept is not value:
            attributes[name] = kept


def _cut(value: Any, values: _Values, path: str, lines: list[str], nesting: Nesting, depth: int) -> Any:
    if isinstance(value, str):
        return _cut_text(value, values, path, lines)
    if isinstance(value, bytes):
        kept = values.keeps_bytes(value)
        if kept == len(value):
            return value
        lines.append(f"{path}: {kept} of {len(value)} bytes kept")
        return value[:kept]
    if isinstance(value, Mapping):
        nesting.enter(depth)
        made = {
            key: _cut(inner, values, f"{path}.{key}", lines, nesting, depth + 1)
            for key, inner in value.items()
        }
        return value if all(made[key] is inner for key, inner in value.items()) else made
    if isinstance(value, (list, tuple)):
        nesting.enter(depth)
        items = [
            inner
            if type(inner) in _NEVER_CUT
            else _cut(inner, values, f"{path}.{index}", lines, nesting, depth + 1)
            for index, inner in enumerate(value)
        ]
        return value if all(one is two for one, two in zip(items, value)) else items  # noqa: B905 - made of it
    return value


def _cut_text(text: str, values: _Values, path: str, lines: list[str]) -> str:
    kept = values.keeps(text)
    if kept >= len(text):
        return text
    shorter = cut_json(text, kept) if text.startswith(_BEGINS_JSON) or text[:1].isspace() else None
    if shorter is None:
        shorter = text[:kept]
    lines.append(f"{path}: {len(shorter)} of {len(text)} characters kept")
    return shorter


def _note(draft: Draft, lines: list[str], count: int | None, values: _Values | None) -> None:
    """Put the note on the span, within the limits itself."""
    attributes = draft.attributes
    if count is not None and LIMITED not in attributes and len(attributes) >= count:
        if count < 2:
            return  # the span's only attribute is worth more; its dropped counts tell
        draft.dropped_attributes += len(_cut_count(attributes, count - 1))
    write_note(attributes, LIMITED, lines)
    if values is not None:
        attributes[LIMITED] = _cut(attributes.raw()[LIMITED], values, "", [], Nesting(), 0)
