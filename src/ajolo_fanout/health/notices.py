"""What is said once, because nobody would notice otherwise: a backend that gets nothing, spans that are cut."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable

import attrs
from opentelemetry.sdk.trace import ReadableSpan

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

    def __init__(self, *, ours: bool) -> None:
        """Nothing seen yet.

        Args:
            ours: Whether the provider has the file's limits, and not somebody else's.
        """
        self._ours = ours

    def __call__(self, span: ReadableSpan) -> bool:
        """Look at `span`; whether it was cut, which is said, so that no other need be looked at."""
        try:
            cut = [
                f"{number} {what}"
                for number, what in (
                    (span.dropped_attributes, "attributes"),
                    (span.dropped_events, "events"),
                    (span.dropped_links, "links"),
                )
                if number
            ]
            if not cut:
                return False
            scope = span.instrumentation_scope
        except (
            Exception
        ):  # made by hand, without what every span has: whoever encodes it will say so, and count
            return False
        mend = (
            "raise attribute_count_limit, event_count_limit or link_count_limit under [limits]"
            if self._ours
            else "the provider was there before, and its own limits hold"
        )
        _log.warning(
            "a span%s met the limits of its provider and lost %s, the oldest first; %s. This is said once",
            "" if scope is None else f" of {scope.name}",
            ", ".join(cut),
            mend,
        )
        return True
