"""Whole traces: what one backend's sampling, selection and orphan repair make of the spans of a trace.

Spans that end after their trace was decided follow that decision: of each fragment it is remembered what was
said, and which of its spans were left out, so that what comes later hangs from what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import TraceFlags

from ajolo_fanout.pipeline.buffer import Held
from ajolo_fanout.pipeline.starts import Fragment, Starts
from ajolo_fanout.steps.additions import DRY_RUN, KEPT_BY, PARENT_ID, ROOT, Addition, Parent, merged
from ajolo_fanout.steps.draft import NO_USAGE, Usage
from ajolo_fanout.steps.keep import is_local_root
from ajolo_fanout.steps.lineage import Lineage
from ajolo_fanout.steps.orphans import DROPPED, Known, Place, settle
from ajolo_fanout.steps.processors.dialect import kind_of_span
from ajolo_fanout.steps.sampling import randomness
from ajolo_fanout.steps.select import Against, SelectSettings, selector
from ajolo_fanout.steps.verdict import Head, Judge, Verdict
from ajolo_fanout.steps.weights import OWN, Upstream, WeightForm, upstream_of, weigh

__all__ = ["Memory", "Ruling", "Traces"]

Fate = Literal["sent", "filtered", "sampled_out"]


@attrs.frozen
class Ruling:
    """What becomes of one span at one backend.

    Attributes:
        fate: Whether it is sent.
        addition: What is appended to it; None for nothing.
        failed: What was raised instead of a decision: the span is lost there.
        usage_below: What of its tokens and cost other spans carry, which are sent, too.
        key: The key of the rule that left it out; empty for one that is sent.
    """

    fate: Fate
    addition: Addition | None = None
    failed: BaseException | None = None
    usage_below: Usage = NO_USAGE
    key: str = ""


_DROPPED = Ruling("filtered", key="select.orphans")
_FILTERED = {key: Ruling("filtered", key=f"select.{key}") for key in ("include", "exclude")}
_SENT = Ruling("sent")


@attrs.define(eq=False)
class Memory:
    """What is remembered of a decision about a fragment, for one kind of sampling and selection.

    Attributes:
        verdict: What sampling said.
        left: The spans that were left out, each with its own parent; a bounded number of them.
        promised: Spans that hadn't come yet when others were hung from them, or not: what is against them.
        failed: What was raised instead.
        lineage: Where its tokens and cost stand; None where nobody asks.
    """

    verdict: Verdict
    left: dict[int, Parent | None] = attrs.field(factory=dict)
    promised: dict[int, Against | None] = attrs.field(factory=dict)
    failed: BaseException | None = None
    lineage: Lineage | None = None


class Traces:
    """The whole-trace half of one pipeline's steps."""

    def __init__(
        self,
        sampling: Any,
        select: SelectSettings,
        *,
        form: WeightForm,
        leaf: bool = False,
        weighs: bool = True,
        most: int = 10_000,
        starts: Starts | None = None,
    ) -> None:
        """Compile a pipeline's settings.

        Args:
            sampling: Its `SamplingSettings`.
            select: Its `SelectSettings`.
            form: How the backend reads weights.
            leaf: Whether tokens and cost are to stand once on each way from the root down.
            weighs: Whether weights are claimed at all: not where another's sampler decides.
            most: How many spans of one trace are remembered: those left out, and with `leaf` all.
            starts: Who knows of spans that are still running.
        """
        self.judge = Judge(sampling)
        self._selects = selector(select) or _all
        self._orphans = select.orphans
        self._remote_parent = select.remote_parent
        self._form = form
        self._leaf = leaf
        self._weighs = weighs
        self._most = most
        self._starts = starts or Starts()
        if leaf:
            self._starts.list_running()

    def decide(self, fragment: Fragment, held: Sequence[Held], now: float) -> tuple[Memory, list[Ruling]]:
        """Decide about a fragment: one ruling for each span, and what to remember.

        Args:
            fragment: It.
            held: Its spans, as far as they have ended.
            now: Seconds, for the rates of keep rules.

        Raises:
            Exception: whatever a match raises over what a span holds.
        """
        spans = [one.span for one in held]
        root = next((span for span in spans if is_local_root(span)), None)
        verdict = self.judge(_head(fragment, spans, root), spans, root, now)
        memory = Memory(verdict)
        if self._leaf:
            memory.lineage = Lineage(self._parent_of_running, self._most)
        return memory, self._rule(memory, held, late=False)

    def follow(self, memory: Memory, held: Held) -> Ruling:
        """The ruling on a span that ended after its trace was decided."""
        if memory.failed is not None:
            return Ruling("sent", failed=memory.failed)
        try:
            return self._rule(memory, [held], late=True)[0]
        except Exception as error:  # it is the backends' of this kind, each of which counts it
            return Ruling("sent", failed=error)

    def _rule(self, memory: Memory, held: Sequence[Held], *, late: bool) -> list[Ruling]:
        against = [self._against(memory, one) for one in held]
        if memory.verdict.fate != "sent":
            out = Ruling("sampled_out", key=memory.verdict.key)
            return [out if key is None else _FILTERED[key] for key in against]
        places: Mapping[int, Place] = {}
        if self._orphans != "keep" or self._remote_parent == "promote":
            places = self._places(memory, held, [key is None for key in against], late=late)
        rulings = []
        for one, key in zip(held, against, strict=True):
            place = places.get(_id(one.span))
            if key is not None:
                rulings.append(_FILTERED[key])
            else:
                rulings.append(_DROPPED if place is DROPPED else self._sent(memory.verdict, one, place))
        return rulings if memory.lineage is None else self._related(memory.lineage, held, rulings)

    def _against(self, memory: Memory, held: Held) -> Against | None:
        """The key that is against a span; what was said while it was still running stands."""
        span_id = _id(held.span)
        return memory.promised.pop(span_id) if span_id in memory.promised else self._selects(held.span)

    def _places(
        self, memory: Memory, held: Sequence[Held], chosen: Sequence[bool], *, late: bool
    ) -> Mapping[int, Place]:
        here: dict[int, Parent | None] = {_id(one.span): _parent(one.span) for one in held}
        sent = {span_id: parent for (span_id, parent), yes in zip(here.items(), chosen, strict=True) if yes}
        strangers = {
            parent[0]
            for one in held
            if one.note is not None and not one.note.ours and (parent := _parent(one.span)) is not None
        }

        def look(span_id: int) -> Known | None:
            if span_id in here:
                return Known(sent=False, parent=here[span_id])  # those that are sent are known without asking
            if span_id in strangers:
                return None  # another provider's: it never comes
            if span_id in memory.left:
                return Known(sent=False, parent=memory.left[span_id])
            running = self._running(memory, span_id, strangers)
            if running is not None:
                return running
            if span_id in memory.promised:
                return Known(sent=memory.promised[span_id] is None)
            # It was there when the trace was decided, and wasn't left out; or it never will be there. Where
            # not everything that was left out could be remembered, it is taken for one of these.
            return Known(sent=True) if late and len(memory.left) < self._most else None

        places = settle(sent, look, self._orphans, self._remote_parent)
        for span_id, parent in here.items():
            if (span_id not in sent or places.get(span_id) is DROPPED) and len(memory.left) < self._most:
                memory.left[span_id] = None if parent is None or parent[0] in strangers else parent
        return places

    def _running(self, memory: Memory, span_id: int, strangers: set[int]) -> Known | None:
        """What will be said of a span that hasn't come yet: said now, as it is, and remembered."""
        found = self._starts.alive(span_id)
        if found is None:
            return None
        span, note = found
        parent = _parent(span)
        if not note.ours and parent is not None:
            strangers.add(parent[0])
        if span_id not in memory.promised:
            memory.promised[span_id] = self._selects(span)
        return Known(sent=memory.promised[span_id] is None, parent=parent)

    def _parent_of_running(self, span_id: int) -> int | None:
        found = self._starts.alive(span_id)
        parent = None if found is None else _parent(found[0])
        return None if parent is None or parent[1] else parent[0]

    def _related(self, lineage: Lineage, held: Sequence[Held], rulings: list[Ruling]) -> list[Ruling]:
        """The same rulings, with the word of what is to go because other spans carry it."""
        fragments = {id(one.note.fragment): one.note.fragment for one in held if one.note is not None}
        calls = [
            _id(span)
            for fragment in fragments.values()
            for span in self._starts.running(fragment)
            if kind_of_span(span) is not None and self._selects(span) is None
        ]
        sent = [(one.span, ruling.fate == "sent") for one, ruling in zip(held, rulings, strict=True)]
        below = lineage.settle(sent, calls)
        return [
            attrs.evolve(ruling, usage_below=below[_id(one.span)]) if _id(one.span) in below else ruling
            for one, ruling in zip(held, rulings, strict=True)
        ]

    def _sent(self, verdict: Verdict, held: Held, place: Any) -> Ruling:
        span = held.span
        attributes: dict[str, Any] = {}
        if place == ROOT and span.parent is not None:
            attributes[PARENT_ID] = f"{span.parent.span_id:016x}"
        if verdict.kept_by and (_is_top(held) if place is None else not place[0] or place[1]):
            attributes[KEPT_BY] = verdict.kept_by
        if verdict.key:
            attributes[DRY_RUN] = verdict.key
        own = Addition(parent=place, attributes=attributes) if place is not None or attributes else None
        if not self._weighs or span.context is None:
            return _SENT if own is None else Ruling("sent", own)
        addition = merged(own, weigh(self._form, span.context.trace_state, verdict.threshold))
        return _SENT if addition is None else Ruling("sent", addition)


def _all(_: Any) -> Against | None:
    """Nothing is against any span."""
    return None


def _is_top(held: Held) -> bool:
    """Whether nothing that may come is above a span here."""
    return is_local_root(held.span) or (held.note is not None and not held.note.ours)


def _head(fragment: Fragment, spans: Sequence[ReadableSpan], root: ReadableSpan | None) -> Head:
    context = spans[0].context if root is None else root.context
    value = 0 if context is None else randomness(context.trace_id, context.trace_state)
    upstream = fragment.upstream
    if not fragment.known:  # nothing was noted at its start
        if root is not None:
            upstream = upstream_of(root.parent)
        elif context is not None and context.trace_flags & TraceFlags.SAMPLED:
            upstream = Upstream(sampled=True, threshold=None)
        else:
            upstream = OWN
    return Head(value, upstream, fragment.asked)


def _id(span: Any) -> int:
    context = span.context
    return 0 if context is None else int(context.span_id)


def _parent(span: Any) -> Parent | None:
    parent = span.parent
    return None if parent is None else (parent.span_id, bool(parent.is_remote))
