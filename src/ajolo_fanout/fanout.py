"""The handle of one installation: joins the pipeline to the delivery, and answers for both.

Nothing here raises into the program. What waits, waits with a deadline (a `time.monotonic()` value); what
stops, stops on a thread that stood by from the start, so that a signal handler, the interpreter's exit and
a plain call take one path.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

import attrs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ajolo_fanout import process, sdk_internals
from ajolo_fanout.config.limits import ProviderLimits
from ajolo_fanout.config.shutdown import ShutdownSettings
from ajolo_fanout.delivery.outlet import Outlet, flush_all, shutdown_all
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.report import Health, HeldTraces, Report
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.processor import FanoutSpanProcessor
from ajolo_fanout.pipeline.router import Lane, Router
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.provider import PlanSampler, build_provider, silent_provider

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Fanout"]

_log = logging.getLogger("ajolo_fanout.fanout")

_GRACE = 0.25
"""Seconds beyond a deadline for the thread that works to it to say that it is done."""


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
        backends = plan.backends if provider is None else tuple(_overlaid(one, plan) for one in plan.backends)
        self._ledgers = {one.name: Ledger(one.name) for one in backends}
        self._outlets = {one.name: Outlet(one, self._ledgers[one.name]) for one in backends}
        self.processors: Mapping[str, BatchSpanProcessor] = MappingProxyType(
            {name: outlet.processor for name, outlet in self._outlets.items()}
        )
        self._settled = dict.fromkeys(_AT_THE_INBOX.values(), 0)
        self._never_before = self._never_recorded()  # by an earlier installation on the same provider
        self._reading = threading.Lock()
        if self._stopped:
            return
        self._inbox = Inbox(max(one.settings.batch.max_queue_size for one in backends))
        self._starts = Starts(plan.context.attributes, follow=_follows(plan))
        self._router = Router(
            self._inbox,
            [self._lane(one) for one in backends],
            starts=self._starts,
            bounds=plan.sampling,
            weighs=isinstance(self.provider.sampler, PlanSampler),
        )
        self._starts.hear(self._router.whole.judges)
        self._standby = process.Standby("ajolo-fanout-standby")
        self._processor = FanoutSpanProcessor(self._inbox, _Provided(self), self._starts)
        self._router.start()
        self.provider.add_span_processor(self._processor)
        process.watch_fork(self)

    @classmethod
    def inert(cls, plan: Plan | None = None, provider: TracerProvider | None = None) -> Fanout:
        """A handle without any backend: what a program gets that is not to send anything.

        Args:
            plan: Why there is none, where there was a file to read.
            provider: What to show as `provider`; by default one that records nothing.
        """
        return cls(plan or _empty_plan(), provider=provider or silent_provider())

    def _lane(self, backend: BackendPlan) -> Lane:
        name = backend.name
        return Lane(
            name=name,
            steps=backend.steps,
            ledger=self._ledgers[name],
            offer=self._outlets[name].offer_all,
            stock=backend.settings.exporter == "stock",
        )

    # -- what a program calls ------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> Report:
        """Send what has ended so far, all backends side by side; never raises.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.

        Returns:
            What became of the spans since the previous report; truthy if none was lost and none is left.
        """
        self._flush(self._deadline(timeout))
        return self._report()

    def shutdown(self, timeout: float | None = None) -> Report:
        """Send what has ended so far, then stop for good; never raises, and twice is harmless.

        Past the deadline nothing more leaves: what is unsent then is counted as lost, reason `shutdown`. Only
        what this handle started is stopped: a provider that was there before goes on with its others.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.
        """
        deadline = self._deadline(timeout)
        self._on_standby(lambda: self._shut_down(deadline)).wait(deadline + _GRACE)
        process.unguard(self)
        return self._report()

    def health(self) -> Health:
        """Each backend's state and counters now; never raises."""
        healths = {}
        never = self._never_recorded() - self._never_before
        with self._reading:
            if self._outlets:
                self._settle()
            for name, outlet in self._outlets.items():
                health = outlet.health()
                # What still waits in the inbox no backend's pipeline was asked about yet: pending at each.
                seen = health.counts.seen + len(self._inbox)
                counts = attrs.evolve(health.counts, seen=seen, never_recorded=never)
                healths[name] = attrs.evolve(health, counts=counts)
        return Health(healths, self._held())

    def _held(self) -> HeldTraces:
        if not self._outlets:
            return HeldTraces()
        buffer = self._router.whole.buffer
        return HeldTraces(buffer.traces, buffer.spans, buffer.size, dict(buffer.forced))

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
        self._reading = threading.Lock()
        self._settled = dict.fromkeys(_AT_THE_INBOX.values(), 0)
        self._never_before = self._never_recorded()
        for ledger in self._ledgers.values():
            ledger.reset()
        if self._stopped:
            return
        for outlet in self._outlets.values():
            outlet.after_fork()
        self._router.after_fork()
        self._standby.after_fork()
        fixed = self.plan.resource.get("service.instance.id")
        if self._owns_provider and fixed is not None:
            sdk_internals.set_resource(self.provider, Resource({"service.instance.id": fixed}))

    # -- how it is done ------------------------------------------------------------------------------------

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self.timeout if timeout is None else max(0.0, timeout))

    def _on_standby(self, work: Callable[[], object]) -> process.Pending:
        if not self.plan.backends:
            done = process.Pending(_nothing)
            done.run()
            return done
        return self._standby.call(work)

    def _flush(self, deadline: float) -> None:
        if self._stopped:
            self._on_standby(_nothing).wait(deadline)  # behind a shutdown that is under way
            return
        _isolated("draining the inbox", self._router.drain, deadline)
        _isolated("flushing the backends", flush_all, self._outlets.values(), deadline)

    def _shut_down(self, deadline: float) -> None:
        """Runs on the standby thread alone, one call after another: so it needs no lock."""
        if self._stopped:
            return
        self._stopped = True
        self._starts.stop()
        _isolated("stopping the router", self._router.stop, deadline)
        _isolated("shutting the backends down", shutdown_all, self._outlets.values(), deadline)
        self._standby.stop()

    def _finish(self, deadline: float) -> None:
        self._shut_down(deadline)
        if self._owns_provider:
            # Nobody else will: it is ours, and doesn't shut down at exit by itself. What others have put on
            # it may hang here; the process waits for this thread no longer than for the deadline.
            _isolated("shutting the provider down", self.provider.shutdown)

    # -- counts --------------------------------------------------------------------------------------------

    def _never_recorded(self) -> int:
        """What the provider's sampler never recorded since it was made; 0 where the sampler isn't ours."""
        sampler = self.provider.sampler
        return sampler.never_recorded if isinstance(sampler, PlanSampler) else 0

    def _settle(self) -> None:
        """Write what never got past the inbox into every ledger, for no backend got it. Under `_reading`."""
        for attribute, reason in _AT_THE_INBOX.items():
            number = getattr(self._inbox, attribute)
            new = number - self._settled[reason]
            self._settled[reason] = number
            for ledger in self._ledgers.values() if new else ():
                ledger.seen(new)
                ledger.lost(reason, new)

    def _report(self) -> Report:
        reports = {}
        with self._reading:
            if self._outlets:
                self._settle()
            for name, ledger in self._ledgers.items():
                report = ledger.report()
                reports[name] = attrs.evolve(report, pending=report.pending + len(self._inbox))
        return Report(reports)


_AT_THE_INBOX = {"refused": "inbox_full", "late": "shutdown"}
"""What the inbox counts, and the reason that stands for it in the ledgers."""


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


def _isolated(what: str, call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except Exception:
        # The promise that nothing is raised into the program, nor from one step of the end into the next.
        _log.exception("%s failed", what)


def _overlaid(backend: BackendPlan, plan: Plan) -> BackendPlan:
    """`backend` with the file's resource laid over each span's: the provider's own isn't the file's."""
    shape = backend.steps.shape
    resource = {**plan.resource, **shape.resource}
    steps = attrs.evolve(backend.steps, shape=attrs.evolve(shape, resource=resource))
    return attrs.evolve(backend, steps=steps)


def _follows(plan: Plan) -> bool:
    """Whether the pipeline has to know from their starts on which spans belong together."""
    if any(backend.steps.needs_whole_traces for backend in plan.backends):
        return True
    # With the flag set on everything, a span's own flag no longer says that upstream decided against it.
    respects = any(backend.steps.sampling.parent == "respect" for backend in plan.backends)
    return plan.sampling.propagate == "all" and respects and plan.shares.ignored > 0


def _empty_plan() -> Plan:
    return Plan(
        file="",
        path=None,
        resource={},
        limits=ProviderLimits(None, None, None, None),
        shutdown=ShutdownSettings(),
        backends=(),
    )
