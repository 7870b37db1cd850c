"""Outcomes in words, the same wherever they are told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ajolo_fanout.config.places import dotted
from ajolo_fanout.replay.content import ABSENT, Change
from ajolo_fanout.replay.model import Outcome
from ajolo_fanout.steps.additions import ROOT
from ajolo_fanout.values import BUILT_IN, Origin
from ajolo_fanout.wording import escaped, shortened

__all__ = [
    "at",
    "change_words",
    "fate_words",
    "name_words",
    "parent_words",
    "path_words",
    "value_words",
]

_LONGEST = 300
_PLAIN = re.compile(r"[\w.*?:/@-]+")
_FATES = {"sent": "sent", "filtered": "filtered", "sampled_out": "sampled out", "lost": "lost"}


def at(origin: Origin | None) -> str:
    """` (tracing.toml:14)`; nothing where nobody wrote it."""
    return "" if origin is None or origin == BUILT_IN else f" ({origin})"


def fate_words(outcome: Outcome) -> str:
    """`filtered by select.include (tracing.toml:81)`, `sent, kept by "errors" (tracing.toml:53)`."""
    words = _FATES[outcome.fate]
    if outcome.fate == "lost":
        return f"{words}: a step failed with {outcome.error}"
    if outcome.fate != "sent":
        return f"{words} by {outcome.key}{at(outcome.origin)}" if outcome.key else words
    if outcome.kept_by:
        words += f", kept by {value_words(outcome.kept_by)}{at(outcome.kept_origin)}"
    if outcome.key:
        words += f"; without dry_run sampled out by {outcome.key}{at(outcome.origin)}"
    return words


def path_words(path: str) -> str:
    """A path as it is told: an attribute of the span by its name alone."""
    for prefix, instead in (("attributes.", ""), ("resource.attributes.", "resource: ")):
        if path.startswith(prefix):
            return instead + name_words(path[len(prefix) :])
    return name_words(path)


def name_words(text: str) -> str:
    """A name as it is told: in quotes only where it would be taken for something else."""
    return text if _PLAIN.fullmatch(text) else dotted((text,))


def change_words(change: Change, *, longest: int = _LONGEST) -> tuple[Literal["+", "-", "~"], str, str]:
    """`+`, `-` or `~`; what; and its values as the file would have them."""
    what = path_words(change.path)
    if change.before is ABSENT:
        return "+", what, value_words(change.after, longest)
    if change.after is ABSENT:
        return "-", what, ""
    half = max(10, longest // 2)
    return "~", what, f"{value_words(change.before, half)} → {value_words(change.after, half)}"


def value_words(value: Any, longest: int = _LONGEST) -> str:
    """A value in one line as the file would have it; nothing in it steers a terminal."""
    return shortened(escaped(_toml(value)), longest)


def parent_words(outcome: Outcome) -> str:
    """What became of the span's parent; empty where nothing did."""
    if outcome.parent is None:
        return ""
    return "became a root" if outcome.parent == ROOT else f"hangs from {outcome.parent[0]:016x}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{dotted((str(key),))} = {_toml(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)
