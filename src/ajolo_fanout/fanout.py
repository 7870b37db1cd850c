"""The handle of one installation: what a program calls, and what its process calls at its end.

Nothing of ours raises into the program. What a signal handler of the program's own raises while its main thread
waits here (a time limit does) is the program's, and passes: failures of ours end where a call is made, and not
where it is waited for.

What waits, waits with a deadline (a `time.monotonic()` value); what stops, stops on a thread that stood by from
the start, so that a signal handler, the interpreter's exit and a plain call take one path.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, TypeVar

import attrs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ajolo_fanout import forks, process, sdk_internals, surroundings
from ajolo_fanout.health.metrics import Measured, forget, observe, remember
from ajolo_fanout.health.report import Health, Report
from ajolo_fanout.invocation import Deadline, Handler, invocation, seconds
from ajolo_fanout.isolation import Isolation
from ajolo_fanout.machinery import Machinery
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.provider import build_provider, empty_plan, overlaid, silent_provider
from ajolo_fanout.standby import GRACE, Followed, Pending
from ajolo_fanout.waiting import until

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Fanout"]

_Answer = TypeVar("_Answer")
_Told = TypeVar("_Told", Health, Report)

_NO_PROCESSORS: Mapping[str, BatchSpanProcessor] = MappingProxyType({})


class Fanout:
    """One plan at work. Use it as a context manager, or leave it to the end of the process.

    Attributes:
        plan: What was resolved; `str()` of it shows every value with its origin, secrets masked.
        provider: The SDK's provider whose spans are fanned out.
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
        self._overlays = provider is not None
        self._isolation = Isolation()
        self._works = self._build() if plan.backends else None
        self._settling = threading.Lock()
        if self._works is not None:
            process.watch_fork(self)
            observe(self)
            self._works.at_start(self._settle)

    def _build(self, before: Machinery | None = None) -> Machinery:
        plan = self.plan
        backends = tuple(overlaid(one, plan) for one in plan.backends) if self._overlays else plan.backends
        return Machinery(
            plan,
            backends,
            self.provider,
            _Provided(self),
            self._isolation,
            ours=self._owns_provider,
            before=before,
        )

    @classmethod
    def inert(cls, plan: Plan | None = None, provider: TracerProvider | None = None) -> Fanout:
        """A handle without any backend: what a program gets that is not to send anything.

        Args:
            plan: Why there is none, where there was a file to read.
            provider: What to show as `provider`; by default one that records nothing.
        """
        return cls(plan or empty_plan(), provider=provider or silent_provider())

    # -- what a program calls ------------------------------------------------------------------------------

    @property
    def processors(self) -> Mapping[str, BatchSpanProcessor]:
        """The SDK's `BatchSpanProcessor` of each backend, by name."""
        return _NO_PROCESSORS if self._works is None else self._works.processors

    def flush(self, timeout: float | None = None) -> Report:
        """Send what has ended so far, all backends side by side; nothing of ours is raised.

        What a signal handler of the program's raises meanwhile, such as its time limit, ends the wait and passes;
        what was to be sent is sent all the same.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.

        Returns:
            What became of the spans since the previous report, which is the last one that was there when this
            call began; truthy if none was lost and none is left.
        """
        deadline = self._deadline(timeout)
        run = self._isolation.run
        run("settling in", self._settle)
        report = self._begin_report()
        if self._works is not None:
            self._send(self._works, deadline)
            self._works.notice()
        return report()

    async def aflush(self, timeout: float | None = None) -> Report:
        """`flush()` for event loops, which go on meanwhile: asyncio's, and trio's; never raises.

        A task that is cancelled leaves at once; what was to be sent is sent all the same.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.
        """
        deadline = self._deadline(timeout)
        self._isolation.run("settling in", self._settle)
        report = self._begin_report()
        if self._works is not None:
            try:
                await until(partial(self._works.ask_for_flush, deadline), deadline)
            except Exception as error:  # the promise that nothing is raised into the program
                return Report(error=self._isolation.failed("flushing in an event loop", error))
        return report()

    def shutdown(self, timeout: float | None = None) -> Report:
        """Send what has ended so far, then stop for good; twice is harmless, and nothing of ours is raised.

        Past the deadline nothing more leaves: what is unsent then is counted as lost, reason `shutdown`. Only
        what this handle started is stopped: a provider that was there before goes on with its others.

        Args:
            timeout: Seconds; None for the file's `[shutdown] timeout`.
        """
        deadline = self._deadline(timeout)
        run = self._isolation.run
        run("settling in", self._settle)
        report = self._begin_report()
        end = None if self._works is None else run("shutting down", self._stop, deadline)
        if end is not None:
            end.wait(deadline + GRACE)
        run("keeping what was counted", remember, self)
        run("leaving the end of the process alone", process.unguard, self)
        return report()

    def health(self) -> Health:
        """Each backend's state and counters now; never raises."""
        if self._works is None:
            return Health()
        self._works.notice()
        return self._told("reading the health", self._works.accounts.health, Health)

    def invocation(self, *, deadline: Deadline = None) -> Callable[[Handler], Handler]:
        """Make a decorator for serverless handlers: sync, async, and streaming as (async) generators.

        When the handler is done, or its stream is closed, what it traced is sent. What is unsent at the
        deadline stays for the next invocation, or in the spool, and is counted (`Health.carried_over`). The
        handler's result, and what it raises, pass through.

        Args:
            deadline: Seconds that the invocation has from its start. Or a function of the handler's arguments
                that says, when the handler is done, how many are left, such as
                `lambda event, context: context.get_remaining_time_in_millis() / 1000 - 0.5`. None for the
                file's `[shutdown] timeout`, once the handler is done; also, with a line in the log, where that
                function fails, or where it is none of these.
        """
        return invocation(self, deadline, self._isolation.teller)

    def carried_over(self, report: Report) -> None:
        """Count what the end of an invocation leaves to the next one."""
        for name, one in report.backends.items():
            if one.pending and self._works is not None:
                self._aside(partial(self._works.accounts.carry_over, name, one.pending))
                message = f"{one.pending} spans were unsent at the end of the invocation: left to the next"
                self._isolation.teller.say(name, "carried over", message, n=one.pending)

    def measured(self) -> Iterable[Measured]:
        """Each backend now, for OpenTelemetry's metrics; never raises."""
        if self._works is None:
            return ()
        accounts = self._works.accounts
        return self._aside(partial(self._isolation.run, "measuring", lambda: list(accounts.measured()))) or ()

    def detach(self) -> None:
        """Take our span processor off the provider, where this handle is stopped and another takes its place.

        Until then it counts what ends after the shutdown, and is seen in the metrics.
        """
        if self._works is not None and self._works.stopped:
            self._works.detach()
            forget(self)

    @property
    def stopped(self) -> bool:
        """Whether it takes no more spans: after a shutdown, or when it is inert."""
        return self._works is None or self._works.stopped

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
        names = ", ".join(self.processors) or "no backend"
        return f"<Fanout {self.plan.file or 'without a file'}: {names}{', stopped' if self.stopped else ''}>"

    # -- what the span processor and the process call ------------------------------------------------------

    def begin_flush(self) -> Pending:
        """Start a flush on the thread that stands by; for signal handlers."""
        deadline = self._deadline(None)
        return self._on_standby(lambda: None if self._works is None else self._works.flush(deadline))

    def begin_finish(self) -> Followed:
        """Start what the end of the process asks for: our shutdown, then that of the provider we built."""
        deadline = self._deadline(None)
        works = self._works
        if works is not None and works.misplaced:
            if not works.pending:
                return self._nothing_left()  # whose threads needn't be there for that
            self._isolation.run("settling in", self._settle)
        self._hasten(deadline)
        return self._told_of(self._on_standby(lambda: self._finish(deadline)))

    def after_fork(self) -> None:
        """Start over in a forked child: threads, queues, connections; counts from zero."""
        self._isolation.teller.reset()
        if self._works is None:
            return
        self._settling = threading.Lock()
        self._works.after_fork()
        self._works.at_start(self._settle)
        fixed = self.plan.resource.get("service.instance.id")
        if self._owns_provider and fixed is not None and not self._works.stopped:
            sdk_internals.set_resource(self.provider, Resource({"service.instance.id": fixed}))

    def _settle(self) -> bool:
        """Be what the process needs now that it traces; whether nothing is left to do.

        Threads may have become greenlets, when gevent came after us, or are greenlets of the parent, in a
        forked child; then all that has threads is built anew. After a fork, a server may have put other signal
        handlers in place. And in a child whose fork went unnoticed, everything starts over.
        """
        forks.notice()
        works = self._works
        if works is None or works.stopped:
            return True
        in_main_thread = surroundings.in_main_thread()
        if works.misplaced and (in_main_thread or not surroundings.threads_are_greenlets()):
            if not self._settling.acquire(blocking=False):
                return False  # others may trace while threads are started
            try:
                if works is self._works:
                    self._works = self._build(works)
                    self._works.at_start(self._settle)
            finally:
                self._settling.release()
        if in_main_thread:
            process.settle(self)
        return in_main_thread and surroundings.settled()

    # -- how it is done ------------------------------------------------------------------------------------

    def _deadline(self, timeout: float | None) -> float:
        given = None
        if timeout is not None:
            what = f"reading seconds from a {type(timeout).__name__}"
            given = self._isolation.run(what, seconds, timeout)
        return time.monotonic() + (self.timeout if given is None else max(0.0, given))

    def _on_standby(self, work: Callable[[], object]) -> Pending:
        if self._works is not None and not self._works.forsaken:
            return self._works.standby.call(work)
        return _done(work)  # without a thread, there is nothing to wait for

    def _nothing_left(self) -> Followed:
        return Followed(_done(self.provider.shutdown if self._owns_provider else _nothing), _done(_nothing))

    def _aside(self, call: Callable[[], _Answer]) -> _Answer:
        """What `call` returns, which is made on another thread where this is the program's main thread.

        A signal handler may interrupt the main thread anywhere, and wait there for what other threads do: these
        must not need a lock that the main thread holds. While it waits here, it holds none.
        """
        forks.notice()  # or the thread might be the parent's
        works = self._works
        if works is None or works.forsaken or works.greenlets or not surroundings.in_main_thread():
            return call()
        return works.aside.answer(call)

    def _send(self, works: Machinery, deadline: float) -> None:
        """Have what has ended sent, and wait for it where what a signal handler raises passes."""
        run = self._isolation.run
        if not (surroundings.in_main_thread() and works.aside.busy):
            self._aside(partial(run, "flushing", works.send, deadline))
            return
        # That of an earlier call goes on: a time limit broke it off, or a handler interrupted it and calls now.
        sent = Pending(_nothing)
        run("flushing", works.ask_for_flush, deadline, sent.run)
        sent.wait(deadline + GRACE)

    def _hasten(self, deadline: float) -> None:
        if self._works is not None:
            self._works.hasten(deadline)

    def _stop(self, deadline: float) -> Pending | Followed:
        told = self.stopped  # by whoever came first, which may be what waits for us on the standby thread
        self._hasten(deadline)
        end = self._on_standby(lambda: None if self._works is None else self._works.stop(deadline))
        return end if told else self._told_of(end)

    def _told_of(self, end: Pending) -> Followed:
        tell = _nothing if self._works is None else self._works.tell_of_the_end
        return Followed(end, self._on_standby(tell))

    def _finish(self, deadline: float) -> None:
        if self._works is not None:
            self._works.stop(deadline)
        if self._owns_provider:
            # Nobody else will: it is ours, and doesn't shut down at exit by itself. What others have put on
            # it may hang here; the process waits for this thread no longer than for the deadline.
            self._isolation.run("shutting the provider down", self.provider.shutdown)

    def _begin_report(self) -> Callable[[], Report]:
        """What makes the report of a call that begins now; others at the same time take nothing from it."""
        since = {} if self._works is None else self._works.accounts.told()

        def report() -> Report:
            works = self._works
            if works is None:
                return Report()
            return self._told("reporting", partial(works.accounts.report, since), Report)

        return report

    def _told(self, what: str, call: Callable[[], _Told], kind: Callable[..., _Told]) -> _Told:
        """What `call` returns, made where `_aside()` makes it; one of its kind with the error where it raises."""

        def tell() -> _Told:
            try:
                return call()
            except Exception as error:  # the promise that nothing is raised into the program
                return kind(error=self._isolation.failed(what, error))

        return self._aside(tell)


def _nothing() -> None:
    """What is left to do where nothing is left to do."""


def _done(work: Callable[[], object]) -> Pending:
    """A call that was made."""
    done = Pending(work)
    done.run()
    return done


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
