"""What happens to an attribute of a certain name; remembered, because names repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from ajolo_fanout.steps.glob import compile_glob, matches_any
from ajolo_fanout.steps.redaction.content import content_row
from ajolo_fanout.steps.redaction.removal import FAILED
from ajolo_fanout.steps.redaction.settings import RedactionSettings
from ajolo_fanout.steps.redaction.texts import Texts

__all__ = ["NameRules", "Rule"]

Action = Literal["drop", "hash", "mask", "scan", "keep"]

_MAX_NAMES = 4096
_MAX_LENGTH = 256


class Rule(NamedTuple):
    """What happens to an attribute.

    Attributes:
        action: Of several rules that meet it the strictest: drop, hash, mask, scan, keep.
        reason: Why, for the first three: `content`, `drop`, `allow`, `hash`, `mask` or `failed`.
        name: What it is called from here on: its name, less what was found in it. What goes takes its name
            along, so for `drop` it is the name or the glob that the rule has.
        found: What was found in the name.
    """

    action: Action
    reason: str
    name: str
    found: tuple[str, ...] = ()


_UNREADABLE = Rule("drop", "failed", FAILED)


class NameRules(dict[str, Rule]):
    """Attribute name -> its rule; each name is judged once.

    At most 4096 names are remembered, none of more than 256 characters: names that carry ids must not fill
    the memory.
    """

    def __init__(self, settings: RedactionSettings, texts: Texts | None, *, allowing: bool = False) -> None:
        """The rules of `settings`.

        Args:
            settings: What was written.
            texts: What looks into names; None where nothing does.
            allowing: Whether the allow-list counts here: it is about spans, events and links.
        """
        super().__init__()
        self._settings = settings
        self._texts = texts
        self._allowed = matches_any(settings.allow) if allowing and settings.allow is not None else None
        self._excepted: Callable[[str], bool] = matches_any(settings.except_)

    def of(self, name: object) -> Rule:
        """The rule of an attribute called `name`; what can't be judged, a name that is no string, goes."""
        if type(name) is str:
            return self[name]
        return self[str.__str__(name)] if isinstance(name, str) else _UNREADABLE

    def __missing__(self, name: str) -> Rule:
        try:
            rule = self._judge(name)
        except Exception:  # fails closed: an attribute whose name no rule can judge goes, counted
            return _UNREADABLE
        if len(name) <= _MAX_LENGTH:
            if len(self) >= _MAX_NAMES:
                self.clear()
            self[name] = rule
        return rule

    def _judge(self, name: str) -> Rule:
        settings = self._settings
        if (glob := _first(settings.drop, name)) is not None:
            return Rule("drop", "drop", glob)
        row = content_row(name) if settings.content != "keep" else None
        if row is not None and settings.content == "drop":
            return Rule("drop", "content", row)
        if self._allowed is not None and not self._allowed(name):
            return Rule("drop", "allow", "*")
        scans = self._texts is not None and not self._excepted(name)
        scan = self._texts.scan(name) if self._texts is not None and scans else None
        kept, found = (name, ()) if scan is None else (scan.text, scan.found)
        of_content = settings.content if row is not None else "keep"
        by_name: tuple[tuple[Action, tuple[str, ...]], ...] = (
            ("hash", settings.hash),
            ("mask", settings.mask),
        )
        for action, globs in by_name:
            if of_content == action:
                return Rule(action, "content", kept, found)
            if _first(globs, name) is not None:
                return Rule(action, action, kept, found)
        return Rule("scan" if scans else "keep", "", kept, found)


def _first(globs: tuple[str, ...], name: str) -> str | None:
    return next((glob for glob in globs if compile_glob(glob)(name)), None)
