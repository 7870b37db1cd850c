"""The handle of one installation: joins the pipeline to the delivery, and answers for both.

Nothing here raises into the program. What waits, waits with a deadline (a `time.monotonic()` value); what
stops, stops on a thread that stood by from the start, so that a signal handler, the interpreter's exit and
a plain call take one path.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, TypeVar

import attrs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ajolo_fanout import process, sdk_internals
from ajolo_fanout.accounts import Accounts
from ajolo_fanout.delivery.outlet import Outlet, flush_all, shutdown_all
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.metrics import Measured, observe
from ajolo_fanout.health.notices import CutSpans, Reach
from ajolo_fanout.health.report import Health, Report
from ajolo_fanout.health.say import Teller, raised
from ajolo_fanout.invocation import Deadline, Handler, invocation
from ajolo_fanout.others import Others
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.open_spans import UNFINISHED, OpenSpans, WatchingSpanProcessor
from ajolo_fanout.pipeline.router import Lane, Router
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.provider import (
    PlanSampler,
    build_provider,
    empty_plan,
    follows,
    overlaid,
    silent_provider,
)
from ajolo_fanout.waiting import Done, Waiters, until

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Fanout"]

_log = logging.getLogger("ajolo_fanout.fanout")

_GRACE = 0.25
"""Seconds beyond a deadline for the thread that works to it to say that it is done."""

_Answer = TypeVar("_Answer")


class Fanout:
    """One plan at work. Use it as a context manager, or leave it to the end of the process.

    Attributes:
        plan: What was resolved; `str()` of it shows every value with its origin, secrets masked.
        provider: The SDK's provider whose spans are fanned out.
        processors: The SDK's `BatchSpanProcessor` of each backend, by name.
    """

    def __init__(self, plan: Plan, *, provider: TracerProvider | None = None, ours: bool = False) -> None:
        """Build everything that `plan` says, threads included, and start.

        Args:
            plan: Without a backend in it the result is inert: it starts no thread and takes no span.
            provider: Attach to this one, laying the plan's resource over that of its spans; by default a
                plain provider of its own is built.
            ours: Whether `provider` was built by an earlier handle: then nobody else shuts it down at exit.
        """
        self.plan = plan
        self.provider = build_provider(plan) if provider is None else provider
        self._owns_provider = ours or provider is None
        self._stopped = not plan.backends
        backends = plan.backends if provider is None else tuple(overlaid(one, plan) for one in plan.backends)
        self._ledgers = {one.name: Ledger(one.name) for one in backends}
        self._outlets = {one.name: Outlet(one, self._ledgers[one.name]) for one in backends}
        self.processors: Mapping[str, BatchSpanProcessor] = MappingProxyType(
            {name: outlet.processor for name, outlet in self._outlets.items()}
        )
        self._teller = Teller(_log)
        self._accounts: Accounts | None = None
        if self._stopped:
            return
        self._inbox = Inbox(max(one.settings.batch.max_queue_size for one in backends))
        self._starts = Starts(plan.context.attributes, follow=follows(plan))
        self._reaches = {one.name: Reach(one.name) for one in backends}
        self._router = Router(
            self._inbox,
            [self._lane(one) for one in backends],
            starts=self._starts,
            bounds=plan.sampling,
            weighs=isinstance(self.provider.sampler, PlanSampler),
            look=CutSpans(ours=self._owns_provider),
        )
        self._starts.hear(self._router.whole.judges)
        self._standby = process.Standby("ajolo-fanout-standby")
        self._waiters = Waiters("ajolo-fanout-waiter")
        self._open_spans = OpenSpans(known=plan.shutdown.open_spans == "send")
        self._accounts = Accounts(
            plan,
            self._ledgers,
            self._outlets,
            self._inbox,
            self._router.whole.buffer,
            self._open_spans,
            self._never_recorded,
        )
        self._processor = WatchingSpanProcessor(self._inbox, _Provided(self), self._starts, self._open_spans)
        self._router.start()
        self.provider.add_span_processor(self._processor)
        self._others = Others(
            self.provider,
            self._processor,
            {one.name: one.target.url for one in backends if one.target.kind == "otlp"},
        )
        process.watch_fork(self)
        observe(self)

    @classmethod
    def inert(cls, plan: Plan | None = None, provider: TracerProvider | None = None) -> Fanout:
        """A handle without any backend: what a program gets that is not to send anything.

        Args:
            plan: Why there is none, where there was a file to read.
            provider: What to show as `provider`; by default one that records nothing.
        """
        return cls(plan or empty_plan(), provider=provider or silent_provider())

    def _lane(self, backend: BackendPlan) -> Lane:
        name = backend.name
        return Lane(
            name=name,
            steps=backend.steps,
            ledger=self._ledgers[name],
            offer=self._outlets[name].offer_all,
            stock=backend.settings.exporter == "stock",
            reach=self._reaches[name],
        )

    # -- what a program calls ------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> Report:
        """Send what has ended so far, all backends side by side; never raises.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.

        Returns:
            What became of the spans since the previous report; truthy if none was lost and none is left.
        """
        self._isolated("flushing", self._flush, self._deadline(timeout))
        return self._report()

    async def aflush(self, timeout: float | None = None) -> Report:
        """`flush()` for event loops, which go on meanwhile: asyncio's, and trio's; never raises.

        A task that is cancelled leaves at once; what was to be sent is sent all the same.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.
        """
        deadline = self._deadline(timeout)
        try:
            await until(partial(self._ask_for_flush, deadline), deadline)
        except Exception as error:  # the promise that nothing is raised into the program
            self._failed("flushing in an event loop", error)
        return self._report()

    def shutdown(self, timeout: float | None = None) -> Report:
        """Send what has ended so far, then stop for good; never raises, and twice is harmless.

        Past the deadline nothing more leaves: what is unsent then is counted as lost, reason `shutdown`. Only
        what this handle started is stopped: a provider that was there before goes on with its others.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.
        """
        deadline = self._deadline(timeout)
        self._isolated("shutting down", self._shut_down_and_wait, deadline)
        self._isolated("leaving the end of the process alone", process.unguard, self)
        return self._report()

    def health(self) -> Health:
        """Each backend's state and counters now; never raises."""
        self._isolated("looking for what should be known", self._notice)
        try:
            return Health() if self._accounts is None else self._accounts.health()
        except Exception as error:  # the promise that nothing is raised into the program
            return Health(error=self._failed("reading the health", error))

    def invocation(self, *, deadline: Deadline = None) -> Callable[[Handler], Handler]:
        """Make a decorator for serverless handlers: sync, async, and streaming as (async) generators.

        When the handler is done, or its stream is closed, what it traced is sent. What is unsent at the
        deadline stays for the next invocation, or in the spool, and is counted (`Health.carried_over`). The
        handler's result, and what it raises, pass through.

        Args:
            deadline: Seconds that the invocation has from its start. Or a function of the handler's arguments
                that says, when the handler is done, how many are left, such as
                `lambda event, context: context.get_remaining_time_in_millis() / 1000 - 0.5`. None for the
                file's `[shutdown] timeout`, once the handler is done.
        """
        return invocation(self, deadline)

    def carried_over(self, report: Report) -> None:
        """Count what the end of an invocation leaves to the next one."""
        for name, one in report.backends.items():
            if one.pending and self._accounts is not None:
                self._accounts.carry_over(name, one.pending)
                message = (
                    f"{one.pending} spans were unsent at the deadline of the invocation: left to the next"
                )
                self._teller.say(name, "carried over", message, n=one.pending)

    def measured(self) -> Iterable[Measured]:
        """Each backend now, for OpenTelemetry's metrics; never raises."""
        if self._accounts is None:
            return ()
        return self._isolated("measuring", list, self._accounts.measured()) or ()

    def detach(self) -> None:
        """Take our span processor off the provider, where this handle is stopped and another takes its place.

        Until then it counts what ends after the shutdown.
        """
        if self._stopped and self._outlets:
            sdk_internals.remove_span_processor(self.provider, self._processor)

    @property
    def stopped(self) -> bool:
        """Whether it takes no more spans: after a shutdown, or when it is inert."""
        return self._stopped

    @property
    def timeout(self) -> float:
        """Seconds that a flush or a shutdown takes at most, unless told otherwise."""
        return float(self.plan.shutdown.timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        names = ", ".join(self._outlets) or "no backend"
        return f"<Fanout {self.plan.file or 'without a file'}: {names}{', stopped' if self._stopped else ''}>"

    # -- what the span processor and the process call ------------------------------------------------------

    def begin_flush(self) -> process.Pending:
        """Start a flush on the thread that stands by; for signal handlers."""
        deadline = self._deadline(None)
        return self._on_standby(lambda: self._flush(deadline))

    def begin_finish(self) -> process.Pending:
        """Start what the end of the process asks for: our shutdown, then that of the provider we built."""
        deadline = self._deadline(None)
        return self._on_standby(lambda: self._finish(deadline))

    def after_fork(self) -> None:
        """Start over in a forked child: threads, queues, connections; counts from zero."""
        self._teller.reset()
        if self._accounts is not None:
            self._accounts.reset()
        if self._stopped:
            return
        for outlet in self._outlets.values():
            outlet.after_fork()
        self._router.after_fork()
        self._standby.after_fork()
        self._waiters.after_fork()
        self._open_spans.reset()
        self._others.after_fork()
        for reach in self._reaches.values():
            reach.reset()
        fixed = self.plan.resource.get("service.instance.id")
        if self._owns_provider and fixed is not None:
            sdk_internals.set_resource(self.provider, Resource({"service.instance.id": fixed}))

    # -- how it is done ------------------------------------------------------------------------------------

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self.timeout if timeout is None else max(0.0, timeout))

    def _on_standby(self, work: Callable[[], object]) -> process.Pending:
        if not self.plan.backends:
            done = process.Pending(work)  # an inert handle has no thread, and nothing to wait for
            done.run()
            return done
        return self._standby.call(work)

    def _ask_for_flush(self, deadline: float, done: Done) -> None:
        """Have a flush made, without waiting here; `done` is called when it is."""

        def flush() -> None:
            try:
                self._isolated("flushing", self._flush, deadline)
            finally:
                done()

        if self._stopped or not self._waiters.call(flush):
            self._on_standby(done)  # behind a shutdown that is under way

    def _flush(self, deadline: float) -> None:
        if self._stopped:
            self._on_standby(_nothing).wait(deadline)  # behind a shutdown that is under way
            return
        self._isolated("draining the inbox", self._router.drain, deadline)
        self._isolated("flushing the backends", flush_all, self._outlets.values(), deadline)
        self._isolated("looking for what should be known", self._notice)

    def _shut_down_and_wait(self, deadline: float) -> None:
        self._on_standby(lambda: self._shut_down(deadline)).wait(deadline + _GRACE)

    def _shut_down(self, deadline: float) -> None:
        """Runs on the standby thread alone, one call after another: so it needs no lock."""
        if self._stopped:
            return
        self._stopped = True
        self._isolated("keeping no more traces", self._starts.stop)
        self._isolated("counting spans that are open", self._end_open_spans)
        self._isolated("stopping the router", self._router.stop, deadline)
        self._isolated("shutting the backends down", shutdown_all, self._outlets.values(), deadline)
        self._isolated("looking for what should be known", self._notice)
        self._waiters.stop()
        self._standby.stop()

    def _end_open_spans(self) -> None:
        left = self._open_spans.count
        if self._accounts is not None:
            self._accounts.open_at_end = left
        sent = self._processor.send_unfinished() if self.plan.shutdown.open_spans == "send" else 0
        if sent:
            _log.warning("%d spans had not ended at the shutdown: sent, marked %s", sent, UNFINISHED)
        if left > sent:
            _log.warning(
                "%d spans never ended: they reach no backend, and what is below them has no parent there%s",
                left - sent,
                "" if sent else ' ([shutdown] open_spans = "send" sends those that are still there)',
            )

    def _finish(self, deadline: float) -> None:
        self._shut_down(deadline)
        if self._owns_provider:
            # Nobody else will: it is ours, and doesn't shut down at exit by itself. What others have put on
            # it may hang here; the process waits for this thread no longer than for the deadline.
            self._isolated("shutting the provider down", self.provider.shutdown)

    # -- counts --------------------------------------------------------------------------------------------

    def _never_recorded(self) -> int:
        """What the provider's sampler never recorded since it was made; 0 where the sampler isn't ours."""
        sampler = self.provider.sampler
        return sampler.never_recorded if isinstance(sampler, PlanSampler) else 0

    def _report(self) -> Report:
        try:
            return Report() if self._accounts is None else self._accounts.report()
        except Exception as error:  # the promise that nothing is raised into the program
            return Report(error=self._failed("reporting", error))

    # -- what is said, and what fails ----------------------------------------------------------------------

    def _notice(self) -> None:
        """Say what nobody would notice otherwise, once each."""
        if self._accounts is None:
            return
        self._others.look()
        gone = self._open_spans.newly_gone()
        if gone:
            message = f"{gone} spans were let go without an end: what is below them has no parent anywhere"
            self._teller.say("spans", "gone", message, n=gone)

    def _isolated(self, what: str, call: Callable[..., _Answer], *arguments: object) -> _Answer | None:
        try:
            return call(*arguments)
        except Exception as error:
            # The promise that nothing is raised into the program, nor from one step of the end into the next.
            self._failed(what, error)
            return None

    def _failed(self, what: str, error: Exception) -> str:
        """Log a failure of ours, once; what to put into a report that can't be relied on."""
        message = f"{what} failed with {raised(error)}"
        if self._teller.say_once(what, message, level=logging.ERROR):
            _log.debug("%s", message, exc_info=error)
        return message


@attrs.frozen
class _Provided:
    """What `provider.force_flush()` and `provider.shutdown()` end in: the file's timeout bounds both."""

    fanout: Fanout

    def flush(self, timeout: float | None = None) -> Report:
        """The SDK passes 30 seconds on when its caller said nothing."""
        longest = self.fanout.timeout
        return self.fanout.flush(longest if timeout is None else min(timeout, longest))

    def shutdown(self, timeout: float | None = None) -> Report:
        """The SDK passes nothing on."""
        return self.fanout.shutdown(timeout)


def _nothing() -> None:
    """What the standby thread is asked for to learn that it has done all before."""
