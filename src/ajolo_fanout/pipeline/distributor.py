"""Takes spans through every lane's steps, up to its gate: equal work once, and each failure to its own backend.

Backends that decide by the same settings are asked once, backends of one shape share the rendition. What is
raised on behalf of one backend costs that backend that span, as `error`, and nobody else anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import TraceFlags

from ajolo_fanout.health.say import Teller, raised
from ajolo_fanout.pipeline.buffer import Held
from ajolo_fanout.pipeline.context import ANYWHERE, Routing
from ajolo_fanout.pipeline.lanes import Group, Lane, Work, arrange, noted
from ajolo_fanout.pipeline.renditions import Encoder, Made
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.pipeline.traces import Ruling
from ajolo_fanout.pipeline.whole import Ruled, Whole
from ajolo_fanout.steps.additions import Addition
from ajolo_fanout.steps.draft import NO_USAGE, Usage
from ajolo_fanout.steps.pipeline import Decider, Decision, Fate

__all__ = ["Distributor"]

_log = logging.getLogger("ajolo_fanout.pipeline")

_MOST_READY = 1024 * 1024
"""Bytes that are encoded before the gates see them: they bound what is in memory."""

_Taker = tuple[Work, "Addition | None"]
_SENT = Decision("sent")
_MOST_NAMES = 1000


class Distributor:
    """What the router does with spans, all of it on the router's thread."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        whole: Whole,
        starts: Starts,
        teller: Teller,
        *,
        weighs: bool,
        look: Callable[[ReadableSpan], bool] | None,
    ) -> None:
        """Arrange the lanes by what they have in common.

        Args:
            lanes: Where the spans go, one a backend.
            whole: For the lanes that need whole traces.
            starts: Who notes spans at their start.
            teller: Where an operator is told of failing steps.
            weighs: Whether weights are claimed.
            look: Is shown every span until it has seen enough, which it says. Raises nothing.
        """
        self._whole = whole
        self._starts = starts
        self._teller = teller
        self._look = look
        self._encoder = Encoder()
        arranged = arrange(lanes, self._encoder, whole, weighs=weighs)
        self._deciders = arranged.deciders
        self._groups = arranged.groups
        self.works: Sequence[Work] = arranged.works
        self._holds = any(group.whole for group in self._groups)
        self._names = frozenset(lane.name for lane in lanes)
        self._unknown: set[str] = set()

    @property
    def encoded(self) -> int:
        """How many times a span was encoded: with one shape, once a span, however many backends there are."""
        return self._encoder.encoded

    def after_fork(self) -> None:
        """In a forked child: forget what was being encoded."""
        self._teller.reset()
        for group in self._groups:
            group.press.encoder.after_fork()

    def route(self, items: list[Any]) -> None:
        """Take spans, each alone or with what was noted at its start, through the steps."""
        try:
            for item in items:
                span, note = item if type(item) is tuple else (item, None)
                if self._look is not None and self._look(span):
                    self._look = None
                if note is not None:
                    self._starts.arrived(span)
                    if note.routing is not ANYWHERE:
                        self._check_names(note.routing)
                quick = note is None and _is_sampled(span)
                slow = []
                for number, group in enumerate(self._groups):
                    if quick and group.quick:
                        self._route_quickly(group, span)
                    else:
                        slow.append((number, group))
                if slow:
                    self._route_slowly(slow, Held(span, note))
                if self._encoder.fresh > _MOST_READY:
                    self._hand_over()
        finally:
            self._finish()

    def _route_quickly(self, group: Group, span: ReadableSpan) -> None:
        """Give a sampled span to lanes which get every one: the usual case, and the hot one."""
        try:
            made = group.press.make(span)
        except BaseException as error:  # that shape's alone; the span is never sent unprocessed
            for work in group.works:
                self._lose(work, error)
            return
        for adds, works in group.quick:
            try:
                addition = None if adds is None else adds(span, "")
                rendition = made.rendition
                if addition is not None:
                    rendition = group.press.rendition(made, span, addition, stock=False)
            except BaseException as error:  # nothing of one backend reaches another, SystemExit included
                for work in works:
                    self._lose(work, error)
                continue
            for work in works:
                work.ready.append(rendition)
                if made.redacted:
                    work.redacted.update(made.redacted)
                work.repaired += made.repaired

    def _route_slowly(self, groups: Iterable[tuple[int, Group]], held: Held) -> None:
        """Ask every lane's steps about a span, and the trace buffer."""
        verdicts = [self._verdict(decide, held.span) for decide in self._deciders]
        for number, group in groups:
            if group.works:
                self._route_group(number, group, held, verdicts)
        if self._holds:
            for ruled in self._whole.take(held):
                self._give(*ruled)

    def give_ruled(self, ruled: Iterable[Ruled]) -> None:
        """Give out what was held, wherever its ruling lets it go."""
        try:
            for held, rulings in ruled:
                self._give(held, rulings)
        finally:
            self._finish()

    def _finish(self) -> None:
        self._encoder.forget()
        self._hand_over()
        for work in self.works:
            work.settle()

    def _hand_over(self) -> None:
        """Let the gates see what is ready."""
        self._encoder.fresh = 0
        for work in self.works:
            try:
                work.hand_over()
            except BaseException as error:  # nothing of one backend reaches another, SystemExit included
                self._tell(work, error)

    def _check_names(self, routing: Routing) -> None:
        for name in routing.names - self._names - self._unknown:
            if len(self._unknown) < _MOST_NAMES:
                self._unknown.add(name)
                _log.warning("only() or exclude() names a backend %r, and there is none of that name", name)

    def _verdict(self, decide: Decider, span: ReadableSpan) -> Decision | BaseException:
        try:
            return decide(span)
        except BaseException as error:  # it is the backends' that decide so, each of which counts it
            return error

    def _route_group(
        self, number: int, group: Group, held: Held, verdicts: list[Decision | BaseException]
    ) -> None:
        """Give a span to the lanes of a shape that decide span by span."""
        takers: list[_Taker] = []
        for work in group.works:
            verdict = _SENT if work.decides is None else verdicts[work.decides]
            if isinstance(verdict, BaseException):
                self._lose(work, verdict)
                continue
            note = held.note
            fate = verdict.fate if note is None else noted(work.lane.name, work.respects, note, verdict)
            if fate == "sent":
                try:
                    addition = None if work.adds is None else work.adds(held.span, verdict.would)
                except BaseException as error:  # that backend's alone, as any step's
                    self._lose(work, error)
                else:
                    takers.append((work, addition))
            else:
                work.leave_out(fate, _key(fate, verdict))
        self._make(number, group, held, takers)

    def _give(self, held: Held, rulings: Sequence[Ruling]) -> None:
        """Give a span to the lanes that need whole traces, now that it is ruled about."""
        for number, group in enumerate(self._groups):
            takers: dict[Usage, list[_Taker]] = {}
            for work in group.whole:
                ruling = rulings[work.kind or 0]
                if ruling.failed is not None:
                    self._lose(work, ruling.failed)
                elif held.note is not None and not held.note.routing.allows(work.lane.name):
                    work.leave_out("filtered")
                elif ruling.fate == "sent":
                    takers.setdefault(ruling.usage_below, []).append((work, ruling.addition))
                else:
                    work.leave_out(ruling.fate, ruling.key)
            for usage_below, found in takers.items():
                self._make(number, group, held, found, usage_below)

    def _make(
        self,
        number: int,
        group: Group,
        held: Held,
        takers: Sequence[_Taker],
        usage_below: Usage = NO_USAGE,
    ) -> None:
        """Make the rendition of a shape, unless that was done while its trace was held, and offer it."""
        if not takers:
            return
        made = held.made.get(number)
        if made is None:
            try:
                made = group.press.make(held.span, usage_below=usage_below)
            except BaseException as error:  # that shape's alone; the span is never sent unprocessed
                for work, _ in takers:
                    self._lose(work, error)
                return
            if group.whole and group.works:
                held.made[number] = made
        for work, addition in takers:
            self._offer(group, work, made, held.span, addition)

    def _offer(
        self, group: Group, work: Work, made: Made, span: ReadableSpan, addition: Addition | None
    ) -> None:
        try:
            if addition is not None and addition.attributes:
                addition, removed = group.press.redacted(addition)
                if removed:
                    work.redacted.update(removed)
            if addition is None and not work.lane.stock:
                rendition = made.rendition
            else:
                rendition = group.press.rendition(made, span, addition, stock=work.lane.stock)
        except BaseException as error:  # nothing of one backend reaches another, SystemExit included
            self._lose(work, error)
            return
        work.ready.append(rendition)
        if made.redacted:
            work.redacted.update(made.redacted)
        work.repaired += made.repaired

    def _lose(self, work: Work, error: object) -> None:
        work.lane.ledger.lost("error")
        self._tell(work, error)

    def _tell(self, work: Work, error: object) -> None:
        message = f"a step failed with {raised(error)}: the span is lost here"
        work.lane.ledger.noted(message)
        self._teller.say(work.lane.name, "error", message)


def _key(fate: Fate, verdict: Decision) -> str:
    """The key of the rule that left a span out; empty where code did, which is asked after the rules."""
    if fate == verdict.fate:
        return verdict.key
    return "sampling.parent" if fate == "sampled_out" else ""


def _is_sampled(span: ReadableSpan) -> bool:
    try:
        return bool(span.context.trace_flags & TraceFlags.SAMPLED)
    except AttributeError:  # made by hand, without a context: its steps say what becomes of it
        return False
