"""What is known of a span from its start on: its surroundings, its trace's root here, where it may go.

Ended spans come to the router children first, without a word about whether their parent is ours. So, where a
backend needs whole traces, each span is noted at its start for as long as its object lives: by a weak
reference, so that spans that never end leave nothing behind.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from opentelemetry import baggage
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import Span as AnySpan
from opentelemetry.trace import get_current_span

from ajolo_fanout.pipeline.context import (
    ANYWHERE,
    Routing,
    attributes_in,
    dismiss,
    enlist,
    routing_in,
    routing_used,
)
from ajolo_fanout.steps.weights import OWN, Upstream, upstream_of

__all__ = ["Fragment", "Note", "Starts"]

_log = logging.getLogger("ajolo_fanout.pipeline")


class Fragment:
    """The part of a trace below one local root: what is decided about as a whole.

    A service that is called twice in one trace has two of them.

    Attributes:
        upstream: What was decided about the trace before it came here.
        known: Whether `upstream` was seen at the root's start, not guessed.
        asked: Why code wants it kept; empty where none does.
        closed: Whether the router has decided, or is about to: asking comes too late.
        kept: Whether a backend with keep rules got it; None until that is decided.
        memory: What the router remembers of its decision, for spans that end later.
        running: The ids of its spans that have started and didn't come to the router; None where nobody asks.
    """

    __slots__ = ("__weakref__", "asked", "closed", "kept", "known", "memory", "running", "upstream")

    def __init__(self, upstream: Upstream = OWN, *, known: bool = True) -> None:
        self.upstream = upstream
        self.known = known
        self.asked = ""
        self.closed = False
        self.kept: bool | None = None
        self.memory: Any = None
        self.running: set[int] | None = None


@attrs.frozen(eq=False)
class Note:
    """What goes with a span from its start to the router.

    Attributes:
        fragment: What it is a part of.
        ours: Whether its local parent is known here; True where it has none.
        routing: Where code says that it may go.
    """

    fragment: Fragment
    ours: bool = True
    routing: Routing = ANYWHERE


class _Ref(weakref.ref[Span]):
    """A weak reference to a span that knows its id; a closure for each would cost twice as much."""

    __slots__ = ("span_id",)

    span_id: int


class Starts:
    """Sees every span start, on the program's threads. Takes no lock and raises nothing.

    Attributes:
        noting: Whether anything was noted of any span so far, or will be of all.
    """

    def __init__(self, attributes: tuple[str, ...] = (), *, follow: bool = False) -> None:
        """Nothing noted yet.

        Args:
            attributes: What every span gets from its surroundings (`[context] attributes`).
            follow: Whether a backend needs to know which spans belong together.
        """
        self._attributes = attributes
        self._follow = follow
        self.noting = follow
        self._lists = False
        self._listeners: tuple[Any, ...] = ()
        self._notes: dict[int, tuple[_Ref, Note]] = {}
        self._forget = _forgetter(self._notes)
        self._coming: dict[int, tuple[ReadableSpan, Note]] = {}
        self._over = False
        self._failed = False

    def hear(self, listeners: tuple[Any, ...]) -> None:
        """Let code keep traces, where one of these samplings `hears(upstream, routing)`."""
        self._listeners = listeners
        if listeners:
            enlist(self)

    def list_running(self) -> None:
        """Keep a list of what is running of each fragment. Before the first span starts."""
        self._lists = True

    def running(self, fragment: Fragment) -> Iterator[ReadableSpan]:
        """The spans of a fragment that are running, or on their way to the router."""
        for span_id in list(fragment.running or ()):
            found = self.alive(span_id)
            if found is not None:
                yield found[0]

    @property
    def noted(self) -> int:
        """How many spans are noted: those whose objects live."""
        return len(self._notes)

    def begin(self, span: Span, parent_context: Context | None) -> None:
        """A span starts in `parent_context`, which is the current one where it is None."""
        try:
            routed = routing_used()
            if self._attributes:
                self._surround(span, get_current() if parent_context is None else parent_context)
            if routed:
                self._note(span, routing_in(parent_context))
            elif self._follow:
                self._note(span, ANYWHERE)
        except Exception:  # the program's thread: a span that we can't look at starts all the same
            if not self._failed:
                self._failed = True
                _log.exception("looking at a span's start failed; this is said once")

    def end(self, span: ReadableSpan) -> Note | None:
        """A span ends, and is on its way to the router: what was noted at its start; None for nothing."""
        context = span.context
        found = None if context is None else self._notes.get(context.span_id)
        if found is None or context is None:
            return None
        self._coming[context.span_id] = (span, found[1])
        return found[1]

    def arrived(self, span: ReadableSpan) -> None:
        """A span that had been noted came to the router, or was refused on the way."""
        found = None if span.context is None else self._coming.pop(span.context.span_id, None)
        if found is not None and found[1].fragment.running is not None and span.context is not None:
            found[1].fragment.running.discard(span.context.span_id)

    def lose_what_comes(self) -> None:
        """Forget what is on its way to the router, for it won't come: in a forked child, and past the end."""
        self._coming.clear()

    def end_all(self) -> None:
        """Nothing comes to the router any more: what is still running is never going to be there."""
        self._over = True

    def alive(self, span_id: int) -> tuple[Any, Note] | None:
        """A span that is still running, or that has ended and is on its way; None where it never comes."""
        if self._over:
            return None
        coming = self._coming.get(span_id)
        if coming is not None:
            return coming
        found = self._notes.get(span_id)
        if found is None:
            return None
        span = found[0]()
        return None if span is None else (span, found[1])

    def keep(self, span: AnySpan, reason: str) -> bool | None:
        """See `ajolo_fanout.keep()`."""
        found = self._notes.get(span.get_span_context().span_id)
        if found is None or found[0]() is not span:
            return None
        fragment, routing = found[1].fragment, found[1].routing
        if not any(one.hears(fragment.upstream, routing) for one in self._listeners):
            return False
        if not fragment.closed:
            fragment.asked = fragment.asked or str(reason) or "code"
            if not fragment.closed:  # still: whoever closes it reads what was asked only after that
                return True
        return bool(fragment.kept)

    def stop(self) -> None:
        """Keep no more traces."""
        dismiss(self)

    def _surround(self, span: Span, where: Context) -> None:
        own = span.attributes or {}
        given = attributes_in(where)
        carried = baggage.get_all(where)
        parent = get_current_span(where)
        inherited = (parent.attributes or {}) if isinstance(parent, ReadableSpan) else {}
        found: dict[str, Any] = {}
        for name in self._attributes:
            if name not in own:
                for source in (given, carried, inherited):
                    if name in source:
                        found[name] = source[name]
                        break
        if found:
            span.set_attributes(found)

    def _note(self, span: Span, said: Routing) -> None:
        span_id, parent = span.context.span_id, span.parent
        above = None if parent is None or parent.is_remote else self._notes.get(parent.span_id)
        if above is None and said is ANYWHERE and not self._follow:
            return
        if above is not None:
            outer = above[1]
            routing = outer.routing if said is ANYWHERE else said.within(outer.routing)
            if outer.ours and routing is outer.routing:
                note = outer
            else:
                note = Note(outer.fragment, ours=True, routing=routing)
        else:
            local = parent is not None and not parent.is_remote
            note = Note(Fragment(upstream_of(parent)), ours=not local, routing=said)
            note.fragment.running = set() if self._lists else None
        ref = _Ref(span, self._forget)
        ref.span_id = span_id
        self._notes[span_id] = (ref, note)
        if note.fragment.running is not None:
            note.fragment.running.add(span_id)
        self.noting = True


def _forgetter(notes: dict[int, tuple[_Ref, Note]]) -> Callable[[_Ref], None]:
    """What is called when a noted span's object is gone; it holds on to nothing but the notes."""

    def forget(gone: _Ref) -> None:
        found = notes.get(gone.span_id)
        if found is not None and found[0] is gone:  # not another one of the same id
            del notes[gone.span_id]

    return forget
