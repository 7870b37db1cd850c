"""All that works for one installation, from the span processor to the outlets: built, flushed, stopped.

Everything with a thread, a lock or a queue in it is here, so that it can start over in a forked child, and be
built anew where gevent makes other threads and locks of the program's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ajolo_fanout import forks, sdk_internals, surroundings
from ajolo_fanout.accounts import Accounts
from ajolo_fanout.delivery.outlet import (
    Outlet,
    begin_flush_all,
    flush_all,
    shutdown_all,
    wait_flushed_all,
)
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.notices import CutSpans, Reach, Watch
from ajolo_fanout.isolation import Isolation
from ajolo_fanout.others import Others
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.open_spans import UNFINISHED, OpenSpans, WatchingSpanProcessor
from ajolo_fanout.pipeline.processor import Handle
from ajolo_fanout.pipeline.router import Lane, Router
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.provider import PlanSampler, follows
from ajolo_fanout.standby import Standby
from ajolo_fanout.waiting import Waiters

__all__ = ["Machinery"]

_log = logging.getLogger("ajolo_fanout.fanout")

_FOR_OPEN_SPANS = 0.5
_FOR_ONE_QUEUE = 0.25
"""The share of a shutdown's time that may pass with making room for spans that are still open, and the share of
that for which a backend is waited for before it is so no more."""


class Machinery:
    """The parts of one installation, at work from the construction on.

    Attributes:
        processors: The SDK's `BatchSpanProcessor` of each backend, by name.
        ledgers: What became of each backend's spans.
        accounts: All that was counted.
        standby: The thread for the end of the process.
        aside: The thread for what the program's main thread asks for; see `Fanout`.
        hastener: The thread for an end that is to come sooner than asked for first, while `standby` works to that.
        starters: The thread that begins what event loops ask for, one after another: that takes a moment only.
        waiters: The threads that wait for event loops, each for as long as a backend may take.
        stopped: Whether it takes no more spans.
        greenlets: Whether its threads and locks are gevent's.
        forsaken: Whether it is, in a forked child, what the parent had, and without threads: it does nothing,
            and what ends waits in its inbox for the one that takes its place.
    """

    def __init__(
        self,
        plan: Plan,
        backends: Sequence[BackendPlan],
        provider: TracerProvider,
        handle: Handle,
        isolation: Isolation,
        *,
        ours: bool,
        before: Machinery | None = None,
    ) -> None:
        """Build and start everything, and take what ends on `provider`.

        Args:
            plan: What is installed.
            backends: Its backends, as they are for this provider.
            provider: Whose spans are fanned out.
            handle: What the provider's flush and shutdown are passed on to.
            isolation: Where failures end.
            ours: Whether the provider was built by us.
            before: Whose place it takes: what waits there is sent from here, and counted on.
        """
        self._provider = provider
        self._isolation = isolation
        self._sends_open_spans = plan.shutdown.open_spans == "send"
        surroundings.prepare()
        self.stopped = self.forsaken = self._told = False
        self._end_by = math.inf
        self._unfinished = 0
        self.greenlets = surroundings.threads_are_greenlets()
        ledgers = {one.name: Ledger(one.name) for one in backends} if before is None else before.ledgers
        self.ledgers: Mapping[str, Ledger] = ledgers
        self._reaches = {one.name: Reach(one.name) for one in backends}
        self._outlets = {one.name: Outlet(one, ledgers[one.name]) for one in backends}
        self.processors: Mapping[str, BatchSpanProcessor] = MappingProxyType(
            {name: outlet.processor for name, outlet in self._outlets.items()}
        )
        self._room = max(1, min(one.settings.batch.max_queue_size for one in backends) // 2)
        self._inbox = Inbox(max(one.settings.batch.max_queue_size for one in backends))
        self._starts = Starts(plan.context.attributes, follow=follows(plan))
        self._router = self._make_router(plan, backends, ours=ours)
        self._starts.hear(self._router.whole.listeners)
        self.standby = Standby("ajolo-fanout-standby")
        self.aside = Standby("ajolo-fanout-aside")
        self.hastener = Standby("ajolo-fanout-hastener")
        self.starters = Waiters("ajolo-fanout-starter", 1)
        self.waiters = Waiters("ajolo-fanout-waiter", 3)
        self._open_spans = self._watch_open_spans(before)
        self.accounts = self._make_accounts(plan, before)
        self._others: Others | None = None
        self._router.start()
        self._processor = self._join(handle) if before is None else self._take_over(before)
        urls = {one.name: one.target.url for one in backends if one.target.kind == "otlp"}
        self._others = Others(provider, self._processor, urls, named=not ours or before is not None)

    def _make_router(self, plan: Plan, backends: Sequence[BackendPlan], *, ours: bool) -> Router:
        return Router(
            self._inbox,
            [self._lane(one, self.ledgers[one.name]) for one in backends],
            teller=self._isolation.teller,
            starts=self._starts,
            bounds=plan.sampling,
            weighs=isinstance(self._provider.sampler, PlanSampler),
            look=Watch(CutSpans(sdk_internals.span_limits(self._provider), ours=ours), self.notice),
        )

    def _make_accounts(self, plan: Plan, before: Machinery | None) -> Accounts:
        return Accounts(
            plan,
            self.ledgers,
            self._outlets,
            self._inbox,
            self._router.whole.buffer,
            self._open_spans,
            self._never_recorded,
            before=None if before is None else before.accounts,
        )

    def _join(self, handle: Handle) -> WatchingSpanProcessor:
        """Put a span processor on the provider."""
        processor = WatchingSpanProcessor(self._inbox, handle, self._starts, self._open_spans)
        # The SDK's own method: Phoenix's provider overrides it, and throws its own processor out for ours.
        TracerProvider.add_span_processor(self._provider, processor)
        return processor

    def _take_over(self, before: Machinery) -> WatchingSpanProcessor:
        """Take what ends, and what waits, in the place of `before`."""
        processor = before._processor
        processor.turn_to(self._inbox, self._starts)
        before.hand_over(self._inbox, self._outlets)
        return processor

    def _watch_open_spans(self, before: Machinery | None) -> OpenSpans:
        return OpenSpans(known=self._sends_open_spans) if before is None else before._open_spans  # noqa: SLF001 - of the same kind

    def _lane(self, backend: BackendPlan, ledger: Ledger) -> Lane:
        name = backend.name
        return Lane(
            name=name,
            steps=backend.steps,
            ledger=ledger,
            offer=self._outlets[name].offer_all,
            stock=backend.settings.exporter == "stock",
            reach=self._reaches[name],
        )

    def flush(self, deadline: float) -> None:
        """Send what has ended; returns by `deadline` (a `time.monotonic()` value)."""
        self.send(deadline)
        self.notice()

    def send(self, deadline: float) -> None:
        """Send what has ended, and say nothing of what there is to know."""
        if self.forsaken:
            return
        if self.stopped:
            self.standby.call(_nothing).wait(deadline)  # behind a shutdown that is under way
            return
        run = self._isolation.run
        run("draining the inbox", self._router.drain, deadline)
        run("flushing the backends", flush_all, self._outlets.values(), deadline)

    def ask_for_flush(self, deadline: float, done: Callable[[], None]) -> None:
        """Have a flush made, without waiting here; `done` is called when it is.

        However many wait for a backend that hangs, the next one's flush begins at once at the others.
        """

        def begin() -> None:
            self._isolation.run("draining the inbox", self._router.drain, deadline)
            self._isolation.run("flushing the backends", begin_flush_all, self._outlets.values(), deadline)
            self._call(self.waiters, wait)

        def wait() -> None:
            try:
                outlets = self._outlets.values()
                self._isolation.run("waiting for the backends", wait_flushed_all, outlets, deadline)
                self.notice()
            finally:
                done()

        if self.forsaken:
            done()
        elif self.stopped:
            self.standby.call(done)  # behind a shutdown that is under way
        else:
            self._call(self.starters, begin)

    def _call(self, waiters: Waiters, work: Callable[[], None]) -> None:
        if not waiters.call(work):
            self.standby.call(work)  # where no thread can be started any more

    def hasten(self, deadline: float) -> None:
        """Have the end come by `deadline` where it would come later, that of a shutdown under way too.

        Takes no lock and waits for nothing.
        """
        if deadline >= self._end_by:
            return
        self._end_by = deadline  # before it is looked whether that has begun, which reads it after
        if self.stopped:
            self.hastener.call(self._send_the_rest)

    def stop(self, deadline: float) -> None:
        """Send what has ended and stop. Called on the standby thread alone, one call after another: no lock."""
        if self.stopped:
            return
        self.stopped = True
        self._end_by = min(self._end_by, deadline)
        run = self._isolation.run
        run("keeping no more traces", self._starts.stop)
        sent = run("counting spans that are open", self._end_open_spans) or 0
        self._send_the_rest()
        self._unfinished = sent
        self.starters.stop()
        self.waiters.stop()
        self.aside.stop()
        self.hastener.stop()

    def tell_of_the_end(self) -> None:
        """Say what there is to say after `stop()`; a second call does nothing. On the standby thread.

        Apart from it, and not to be waited for: whoever waits for the end may be a signal handler in the middle of
        a line that the program logs, and nothing else is logged until it has returned.
        """
        if not self._told:
            self._told = True
            self._isolation.run("telling of open spans", self._tell_of_open_spans, self._unfinished)
            self.notice()
            self._isolation.run("telling the rest", self._isolation.teller.tell_rest)
            self.standby.stop()

    def _send_the_rest(self) -> None:
        run = self._isolation.run
        run("stopping the router", self._router.stop, self._end_by)
        if not self.forsaken:
            run("shutting the backends down", shutdown_all, self._outlets.values(), self._end_by)

    def hand_over(self, inbox: Inbox, outlets: Mapping[str, Outlet]) -> None:
        """Give what waits here to the one that takes the place; nothing is waited for.

        The threads, where there are any, stay as they are, asleep: gevent's `threading` can't let them end.
        A request that is under way goes on, and is counted in the same ledger.
        """
        for item in self._inbox.rest() if self.forsaken else self._router.give_up():
            inbox.put(item)
        for name, outlet in self._outlets.items() if not self.forsaken else ():
            outlets[name].offer_all(outlet.give_up())

    def _end_open_spans(self) -> int:
        """Count them, and send them where the file says so; how many were sent."""
        self.accounts.open_at_end = self._open_spans.count
        if not self._sends_open_spans:
            return 0
        now = time.monotonic()
        patience = _FOR_OPEN_SPANS * (self._end_by - now)
        quick = list(self._outlets.values())

        def make_room() -> None:
            until = min(now + patience, time.monotonic() + _FOR_ONE_QUEUE * patience)
            self._router.drain(until)
            for one in quick:
                one.begin_flush(until)
            quick[:] = [one for one in quick if one.wait_flushed(until)]  # the others have had their turn

        return self._processor.send_unfinished(make_room, self._room)

    def _tell_of_open_spans(self, sent: int) -> None:
        left = self.accounts.open_at_end or 0
        if sent:
            _log.warning("%d spans had not ended at the shutdown: sent, marked %s", sent, UNFINISHED)
        if left > sent:
            _log.warning(
                "%d spans never ended: they reach no backend, and what is below them has no parent there%s",
                left - sent,
                "" if sent else ' ([shutdown] open_spans = "send" sends those that are still there)',
            )

    def detach(self) -> bool:
        """Take our span processor off the provider."""
        return sdk_internals.remove_span_processor(self._provider, self._processor)

    def after_fork(self) -> None:
        """Start over in a forked child: threads, queues, connections; counts from zero."""
        self.accounts.reset()
        if self.stopped:
            self._stay_stopped()
            return
        if surroundings.threads_are_greenlets() or not surroundings.settled() or not forks.told():
            # Greenlets of the parent were copied and go on, and their hub isn't ready to run others yet. Or
            # threads are about to become greenlets, and those that are started now would not be. Or the SDK wasn't
            # told of the fork either: its processors would start their threads with their next span, which may
            # come when the interpreter exits, where CPython 3.12 starts none.
            self._forsake()
            return
        for outlet in self._outlets.values():
            outlet.after_fork()
        self._router.after_fork()
        self.standby.after_fork()
        self.aside.after_fork()
        self.hastener.after_fork()
        self._end_by = math.inf
        self.starters.after_fork()
        self.waiters.after_fork()
        self._open_spans.reset()
        if self._others is not None:
            self._others.after_fork()
        for reach in self._reaches.values():
            reach.reset()

    def _stay_stopped(self) -> None:
        """In a forked child where this had stopped, or was about to: what was under way is the parent's."""
        self.standby.end_in_child()
        self.aside.end_in_child()
        self.hastener.end_in_child()
        self._end_by = -math.inf
        self._router.forsake()  # with a new lock: a thread of the parent may have held the old one, to read counts
        self._inbox.close()
        for outlet in self._outlets.values():
            outlet.forsake()
        self._open_spans.reset()
        self.accounts.open_at_end = 0
        if self._others is not None:
            self._others.after_fork()
        for ledger in self.ledgers.values():
            ledger.stopped()

    def _forsake(self) -> None:
        """In a forked child: do nothing, whatever runs on here, and leave it to another to start over."""
        self.forsaken = True
        for outlet in self._outlets.values():
            outlet.forsake()
        self._router.forsake()
        self._open_spans.reset()

    @property
    def misplaced(self) -> bool:
        """Whether another has to be built in its place: its threads aren't of the kind that they must be now."""
        kind = self.greenlets is surroundings.threads_are_greenlets()
        return not self.stopped and (self.forsaken or not kind)

    @property
    def pending(self) -> int:
        """How many spans have no fate yet, at all backends together."""
        return sum(one.counts.pending for one in self.accounts.health().backends.values())

    def at_start(self, call: Callable[[], bool]) -> None:
        """Have `call` made at the next start of a span, and again until it says that it is done."""
        self._processor.at_start = call

    def notice(self) -> None:
        """Say what nobody would notice otherwise, once each. Raises nothing."""
        self._isolation.run("looking for what should be known", self._notice)

    def _notice(self) -> None:
        if self._others is not None:
            self._others.look()
        gone = self._open_spans.newly_gone()
        if gone:
            message = f"{gone} spans were let go without an end: what is below them has no parent anywhere"
            self._isolation.teller.say("spans", "gone", message, n=gone)

    def _never_recorded(self) -> int:
        """What the provider's sampler never recorded since it was made; 0 where the sampler isn't ours."""
        sampler = self._provider.sampler
        return sampler.never_recorded if isinstance(sampler, PlanSampler) else 0


def _nothing() -> None:
    """What the standby thread is asked for to learn that it has done all before."""
