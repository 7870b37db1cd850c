"""The router: one thread that takes spans from the inbox through every backend's steps, up to its gate.

Equal work is done once: backends that decide by the same settings are asked once, backends of one shape share
the rendition. What is raised on behalf of one backend costs that backend that span, as `error`, and nobody
else anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import TraceFlags

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.health.say import Teller, raised
from ajolo_fanout.pipeline.buffer import Held
from ajolo_fanout.pipeline.context import ANYWHERE, Routing
from ajolo_fanout.pipeline.inbox import Inbox, Mark
from ajolo_fanout.pipeline.lanes import Group, Lane, Work, arrange, noted
from ajolo_fanout.pipeline.renditions import Encoder, Made
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.pipeline.traces import Ruling
from ajolo_fanout.pipeline.whole import Ruled, Whole
from ajolo_fanout.steps.additions import Addition
from ajolo_fanout.steps.draft import NO_USAGE, Usage
from ajolo_fanout.steps.pipeline import Decider, Decision

__all__ = ["Lane", "Router"]

_log = logging.getLogger("ajolo_fanout.pipeline")

_CHUNK = 512
_MOST_READY = 1024 * 1024
"""Bytes that are encoded before the gates see them: they bound what is in memory."""

_GATHER = 0.05
"""Seconds for which the router lets spans gather, so that a busy program is not interrupted for each."""


_Taker = tuple[Work, "Addition | None"]
_SENT = Decision("sent")
_MOST_NAMES = 1000


class Router:
    """Takes spans from an inbox to lanes, on a daemon thread of its own.

    `drain()` and `stop()` may be called by any number of threads at once. Deadlines are `time.monotonic()`
    values.
    """

    def __init__(
        self,
        inbox: Inbox,
        lanes: Sequence[Lane],
        *,
        teller: Teller | None = None,
        starts: Starts | None = None,
        bounds: BufferSettings | None = None,
        weighs: bool = True,
        look: Callable[[ReadableSpan], bool] | None = None,
    ) -> None:
        """A router that doesn't run yet.

        Args:
            inbox: Where the spans come from.
            lanes: Where they go, one a backend.
            teller: Where an operator is told of failing steps; by default the log, once a minute per backend.
            starts: Who notes spans at their start, for the lanes that need whole traces.
            bounds: Of the trace buffer.
            weighs: Whether weights are claimed: not where another's sampler decides what is recorded.
            look: Is shown every span until it has seen enough, which it says. Raises nothing.
        """
        self._inbox = inbox
        self._look = look
        self._teller = teller or Teller(_log)
        self._encoder = Encoder()
        self._starts = starts or Starts()
        self._whole = Whole(bounds or BufferSettings(), self._starts, weighs=weighs)
        arranged = arrange(lanes, self._encoder, self._whole, weighs=weighs)
        self._deciders = arranged.deciders
        self._groups = arranged.groups
        self._works = arranged.works
        self._holds = any(group.whole for group in self._groups)
        self._names = frozenset(lane.name for lane in lanes)
        self._unknown: set[str] = set()
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def encoded(self) -> int:
        """How many times a span was encoded: with one shape, once a span, however many backends there are."""
        return self._encoder.encoded

    @property
    def whole(self) -> Whole:
        """The lanes that need whole traces; with an empty buffer where there are none."""
        return self._whole

    # Start, drain, stop, fork.

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="ajolo-fanout-router", daemon=True)
            self._thread.start()

    def drain(self, deadline: float) -> bool:
        """Wait until everything that was put before this call has been offered.

        Returns:
            Whether that was so by the deadline.
        """
        return self._pass(Mark(), deadline)

    def stop(self, deadline: float) -> bool:
        """Take no more spans, offer those that are there, and end the thread.

        What hasn't been offered by the deadline, because a step hangs, is counted as lost, reason `shutdown`.

        Returns:
            Whether everything was offered by the deadline.
        """
        self._inbox.close()
        self._stopped = True
        done = self._pass(Mark(last=True), deadline)
        if not done:
            self._abandon()
            self._inbox.mark(Mark(last=True))  # for the thread to end at, should it ever come back
        return done

    def after_fork(self) -> None:
        """In a forked child: start over with an empty inbox and a thread of its own."""
        self._teller.reset()
        for group in self._groups:
            group.press.encoder.after_fork()
        self._starts.lose_what_comes()
        self._whole.buffer.clear()
        self._inbox.after_fork()
        if self._stopped:
            self._inbox.close()
        if self._thread is not None:
            self._thread = None
            self.start()

    def forsake(self) -> None:
        """In a forked child where the parent's greenlets live on: ours is to end when it wakes up.

        What ends from now on waits in the inbox, for the router that takes this one's place.
        """
        self._thread = None
        self._whole.buffer.clear()
        self._inbox.after_fork()

    def give_up(self) -> list[Any]:
        """What waits in the inbox, for the router that takes this one's place; what is held goes on to the gates."""
        waiting = self._inbox.rest()
        if self._whole.buffer.spans:
            self._give_ruled(self._whole.everything())
        return waiting

    def _pass(self, mark: Mark, deadline: float) -> bool:
        thread = self._thread
        if thread is None or not thread.is_alive():
            return len(self._inbox) == 0
        if thread is threading.current_thread():
            return False  # a step of the user's own that flushes: it would wait for itself
        self._inbox.mark(mark)
        while not mark.reached.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if not thread.is_alive():  # it ended at another's last mark, before this one was put
                return mark.reached.is_set() or not self._abandon()
            if time.monotonic() >= deadline:
                return False
        return True

    def _abandon(self) -> int:
        """Count what is still in the inbox, or held, as lost; how many that were."""
        lost = held = self._whole.buffer.abandon()
        for work in self._works:
            if work.kind is not None and held:
                work.lane.ledger.lost("shutdown", held)
        while len(self._inbox):
            spans, _ = self._take()
            lost += len(spans)
            for work in self._works:
                work.lane.ledger.lost("shutdown", len(spans))
        self._starts.lose_what_comes()
        return lost

    # The thread.

    def _run(self) -> None:
        me = threading.current_thread()
        while self._thread is me and not self._turn():
            pass

    def _turn(self) -> bool:
        """Sleep, then take what is there through the steps; whether the router ends."""
        ends = False
        try:
            self._inbox.wait(_CHUNK, _GATHER, self._whole.patience())
            if self._thread is None:  # forsaken
                return True
            left = len(self._inbox)
            while left > 0 or (ends and len(self._inbox)):  # at the end, everybody else's marks, too
                spans, mark = self._take()
                left -= _CHUNK if mark is None else len(spans) + 1
                if spans:
                    self._route(spans)
                if mark is not None:
                    ends = ends or mark.last
                    if mark.last:
                        self._starts.end_all()
                        self._give_ruled(self._whole.everything())
                    mark.reached.set()
            self._give_ruled(self._whole.due())
        except BaseException:  # the router is everybody's: whatever it is, the next span gets its chance
            _log.exception("the router stumbled; it goes on")
            time.sleep(_GATHER)
        return ends

    def _take(self) -> tuple[list[Any], Mark | None]:
        """A chunk of the inbox, counted as seen by every backend in the same moment."""
        with self._inbox.moving:
            items, mark = self._inbox.take(_CHUNK)
            for work in self._works if items else ():
                work.lane.ledger.seen(len(items))
        return items, mark

    def _route(self, items: list[Any]) -> None:
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

    def _give_ruled(self, ruled: Iterable[Ruled]) -> None:
        """Give out what was held, wherever its ruling lets it go."""
        try:
            for held, rulings in ruled:
                self._give(held, rulings)
        finally:
            self._finish()

    def _finish(self) -> None:
        self._encoder.forget()
        self._hand_over()
        for work in self._works:
            work.settle()

    def _hand_over(self) -> None:
        """Let the gates see what is ready."""
        self._encoder.fresh = 0
        for work in self._works:
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
                work.leave_out(fate, verdict.origin)
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
                    work.filtered += 1
                elif ruling.fate == "sent":
                    takers.setdefault(ruling.usage_below, []).append((work, ruling.addition))
                else:
                    work.leave_out(ruling.fate)
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
        self._teller.say(work.lane.name, "error", message)


def _is_sampled(span: ReadableSpan) -> bool:
    try:
        return bool(span.context.trace_flags & TraceFlags.SAMPLED)
    except AttributeError:  # made by hand, without a context: its steps say what becomes of it
        return False
