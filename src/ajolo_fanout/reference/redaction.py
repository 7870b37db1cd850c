"""The page of redaction: what each detector finds, and under which names content is recorded."""

from __future__ import annotations

from collections.abc import Iterator

from ajolo_fanout.reference.types import cell
from ajolo_fanout.steps.redaction.api_keys import VENDOR_KEYS
from ajolo_fanout.steps.redaction.content_names import ATTRIBUTES, EVENTS, NOT_CONTENT
from ajolo_fanout.steps.redaction.detectors import DETECTORS, Detector

__all__ = ["redaction"]

_INTRODUCTION = """\
# What redaction finds

[Keep prompts, and secrets, from a backend](../how-to/keep-prompts-out.md) says how to use it;
[`redaction`](configuration.md#redaction) has its keys.

## Detectors

Each is a name for `redaction.detect`. It looks into every text that leaves, names and keys as well as values, into
JSON in texts and JSON in that, however it is escaped.
"""
_KEYS = """\
`api_key` knows the keys of these by their beginning: {vendors}. Beyond them it finds what stands behind `api_key=`,
`token:`, `Authorization:`, `Bearer`, `password=`, `--token` and their like, and the values of attributes and of keys
in JSON that are called so, as long as they look like a secret: no word, no placeholder such as `${{TOKEN}}`.
"""
_CONTENT = """\
## Content

What `redaction.content` means. In a name `#` stands for an index and `*` for anything.
"""
_EVENTS = """\
Events that are one message each go as a whole with `"drop"`, and every value of them is content with `"mask"` and
`"hash"`: {events}.

No content, whatever a row above says: {exceptions}.
"""
_EXAMPLES = 3
_LONGEST = 60


def redaction() -> str:
    """The whole page, in Markdown."""
    return "\n".join(_page()).rstrip("\n") + "\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    yield "| name | what it finds | becomes | found in | not in |"
    yield "|---|---|---|---|---|"
    for row in DETECTORS.values():
        found, left = _listed(_telling(row)), _listed(row.look_alikes)
        yield f"| `{row.name}` | {cell(row.description)} | `{row.replacement}` | {found} | {left} |"
    yield ""
    yield _KEYS.format(vendors=", ".join(dict.fromkeys(row.vendor for row in VENDOR_KEYS)))
    yield _CONTENT
    yield "| dialect | attributes |"
    yield "|---|---|"
    for dialect, names in ATTRIBUTES.items():
        yield f"| {dialect} | {_names(names)} |"
    yield ""
    yield _EVENTS.format(events=_names(sorted(EVENTS)), exceptions=_names(NOT_CONTENT))


def _telling(row: Detector) -> list[str]:
    """Its examples, less whole keys: whoever scans repositories for these would take the page for a leak."""
    keys = {one.example for one in VENDOR_KEYS}
    return [one for one in row.examples if not any(key[:4] in one for key in keys)] or [*row.examples]


def _listed(texts: list[str] | tuple[str, ...]) -> str:
    return ", ".join([f"`{cell(_short(text))}`" for text in texts[:_EXAMPLES]])


def _short(text: str) -> str:
    first, _, more = text.partition("\n")
    return f"{first[: _LONGEST - 1]}…" if more or len(first) > _LONGEST else first


def _names(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join([f"`{name}`" for name in names])
