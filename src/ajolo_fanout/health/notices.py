"""What is said once, because nobody would notice otherwise: a backend that gets nothing, spans that are cut."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import attrs
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits

from ajolo_fanout import sdk_internals
from ajolo_fanout.values import Origin

__all__ = ["FIRST", "CutSpans", "LimitedSpans", "Reach", "Watch"]

_log = logging.getLogger("ajolo_fanout.health")

FIRST = 1_000
"""A backend that gets none of so many spans is most likely not meant to."""

_WORDS = {"filtered": "not selected", "sampled_out": "outside its sampling"}


@attrs.define(eq=False)
class Reach:
    """Whether anything reaches one backend. It belongs to the router's thread.

    Attributes:
        backend: The backend's name.
        over: Whether that is known: it got something, or it was said that it gets nothing.
    """

    backend: str
    over: bool = False
    _left_out: int = 0
    _why: Counter[tuple[str, Origin | None]] = attrs.field(factory=Counter)

    def got(self) -> None:
        """The backend got a span."""
        if not self.over:
            self._end()

    def left_out(self, fate: str, origin: Origin | None = None) -> None:
        """A span was left out.

        Args:
            fate: `"filtered"` or `"sampled_out"`.
            origin: Where the rule stands that decided; None where it was code.
        """
        if self.over:
            return
        self._why[fate, origin] += 1
        self._left_out += 1
        if self._left_out >= FIRST:
            self._tell()

    def reset(self) -> None:
        """In a forked child, whose counts start from zero."""
        self._left_out = 0
        self._why.clear()

    def _tell(self) -> None:
        [((fate, origin), most)] = self._why.most_common(1)
        rule = "in the code, by only() or exclude()" if origin is None else f"by the rule at {origin}"
        _log.warning(
            "%s: got none of its first %d spans; %d of them are %s %s",
            self.backend,
            self._left_out,
            most,
            _WORDS.get(fate, fate),
            rule,
        )
        self._end()

    def _end(self) -> None:
        self.over = True
        self._why.clear()


@attrs.define(eq=False)
class LimitedSpans:
    """Says of the first span that a backend's own `limits` cut what went.

    Attributes:
        backends: Those that share the limits.
        over: Whether it was said.
    """

    backends: list[str] = attrs.field(factory=list)
    over: bool = False

    def __call__(self, lines: Iterable[str]) -> None:
        """A span was cut; `lines` are what it notes of that, names and lengths, never a value."""
        self.over = True
        _log.warning(
            "%s: a span met the `limits` of this backend and lost a part: %s. This is said once; each span "
            "notes it as ajolo_fanout.limited",
            ", ".join(self.backends),
            "; ".join(lines),
        )


_PAUSE = 10.0
"""Seconds between two looks around, while spans end."""


class Watch:
    """Looks at spans that end until one was cut, and around now and then. It belongs to the router's thread."""

    def __init__(self, cut: CutSpans, around: Callable[[], object]) -> None:
        """Nothing seen yet.

        Args:
            cut: Looks at a span.
            around: Looks at what else should be known; never raises.
        """
        self._cut: CutSpans | None = cut
        self._around = around
        self._next = 0.0

    def __call__(self, span: ReadableSpan) -> bool:
        """Look at `span`; False, for the next one is to be looked at as well."""
        if self._cut is not None and self._cut(span):
            self._cut = None
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PAUSE
            self._around()
        return False


class CutSpans:
    """Looks for the first span that met the limits of its provider. It belongs to the router's thread."""

    def __init__(self, limits: SpanLimits | None, *, ours: bool) -> None:
        """Nothing seen yet.

        Args:
            limits: The provider's; None where unknown: then texts that were cut go unnoticed.
            ours: Whether these are the file's, and not somebody else's.
        """
        self._in_spans = None if limits is None else limits.max_span_attribute_length
        self._in_others = None if limits is None else limits.max_attribute_length
        self._ours = ours
        self._dropped = False
        self._shortened = self._in_spans is None and self._in_others is None

    def __call__(self, span: ReadableSpan) -> bool:
        """Look at `span`; whether all there is to say was said, so that no other need be looked at."""
        try:
            if not self._dropped and _may_have_lost(span) and (lost := _lost(span)):
                self._dropped = True
                keys = "attribute_count_limit, event_count_limit or link_count_limit"
                self._tell(span, f"lost {', '.join(lost)}, the oldest first", keys)
            if not self._shortened and (names := self._full(span)):
                self._shortened = True
                what = f"holds texts that are just as long as allowed, most likely cut: {', '.join(names)}"
                self._tell(span, what, "attribute_value_length_limit")
        except Exception:  # made by hand, without what every span has: whoever encodes it says so, and counts
            return False
        return self._dropped and self._shortened

    def _tell(self, span: ReadableSpan, what: str, keys: str) -> None:
        scope = span.instrumentation_scope
        _log.warning(
            "a span%s met the limits of its provider and %s; %s. This is said once",
            "" if scope is None else f" of {scope.name}",
            what,
            f"raise {keys} under [limits]"
            if self._ours
            else "the provider was there before, and its own limits hold",
        )

    def _full(self, span: ReadableSpan) -> list[str]:
        """The names of attributes with a text as long as allowed; a bounded number of them."""
        found = [name for name, value in (span.attributes or {}).items() if _is_full(value, self._in_spans)]
        for what, parts in (("an event", span.events), ("a link", span.links)):
            for part in parts:
                for name, value in (part.attributes or {}).items():
                    if _is_full(value, self._in_others):
                        found.append(f"{name} of {what}")
        return list(dict.fromkeys(found))[:_MOST_NAMES]


_MOST_NAMES = 10


def _lost(span: ReadableSpan) -> list[str]:
    """What of a span its limits took away."""
    lost = [
        (span.dropped_attributes, "attributes"),
        (span.dropped_events, "events"),
        (span.dropped_links, "links"),
        (sum([one.dropped_attributes for one in span.events]), "attributes of events"),
        (sum([one.dropped_attributes for one in span.links]), "attributes of links"),
    ]
    return [f"{number} {what}" for number, what in lost if number]


def _may_have_lost(span: ReadableSpan) -> bool:
    """Whether `_lost()` has to be asked, which isn't for nothing: this is asked of every span."""
    whole = span.dropped_attributes or span.dropped_events or span.dropped_links
    return bool(whole) or sdk_internals.has_parts(span)


def _is_full(value: object, length: int | None) -> bool:
    if isinstance(value, str):
        return len(value) == length
    if isinstance(value, Mapping):
        return any(_is_full(one, length) for one in value.values())
    return isinstance(value, (tuple, list)) and any(_is_full(one, length) for one in value)
