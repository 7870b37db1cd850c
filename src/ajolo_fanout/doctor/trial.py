"""A marked span through the very pipeline and sender that the program uses.

The parts are those of an installation: provider, span processor, inbox, router, outlet. Three things differ.
What the backend selects and samples is put aside, so that the span is sent whatever the plan would do with it;
it never waits for another try, nor in the spool; and what the sender hears is kept, to be read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from importlib.metadata import version

import attrs
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from ajolo_fanout.delivery.outcome import Outcome, Sender
from ajolo_fanout.delivery.outlet import Outlet
from ajolo_fanout.delivery.senders import make_sender
from ajolo_fanout.health.fates import Counts
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.say import Teller
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.processor import FanoutSpanProcessor
from ajolo_fanout.pipeline.router import Lane, Router
from ajolo_fanout.pipeline.run import Rehearsal
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.provider import build_provider
from ajolo_fanout.steps.pipeline import Shape
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.values import BUILT_IN, Duration

__all__ = ["ATTRIBUTE", "SPAN_NAME", "Trial", "try_span"]

SPAN_NAME = "ajolo-fanout doctor"
ATTRIBUTE = "ajolo_fanout.doctor"
"""The attribute that marks a test span: the backend's name in the file."""

_SCOPE = "ajolo_fanout.doctor"
_MOMENT = 0.01
_END = 0.5
"""Seconds in which the parts that a trial was made of come to their end."""


@attrs.frozen
class Trial:
    """What became of a test span.

    Attributes:
        trace_id: To find it by, 32 hex digits.
        planned: What the plan would have done with it, in words; empty where it would have sent it.
        outcome: What the sender heard; None where it heard nothing in time, or a stock exporter sent.
        counts: The fates that were counted.
        reached: Whether the span came to the end of the pipeline.
        said: What the parts had to tell, the last of it; empty for nothing.
    """

    trace_id: str
    planned: str
    outcome: Outcome | None
    counts: Counts
    reached: bool
    said: str = ""


def try_span(plan: Plan, backend: BackendPlan, seconds: float, *, quiet: bool = False) -> Trial:
    """Send a test span to `backend`, and wait until its fate is known.

    Args:
        plan: What the backend is one of.
        backend: Whose pipeline it goes through.
        seconds: How long that may take.
        quiet: Take it at the end of the pipeline without sending it (a console prints what it is sent).
    """
    deadline = time.monotonic() + seconds
    open_backend = _opened(backend)
    told = _Told()
    teller = Teller(told.logger())
    ledger = Ledger(backend.name)
    # The sender gives up a little earlier, so that it is the one to say that no answer came.
    sender = _Listener(_Nowhere() if quiet else make_sender(open_backend), deadline - min(_END, seconds / 10))
    outlet = Outlet(open_backend, ledger, teller=teller, sender=sender)
    inbox = Inbox(1)
    starts = Starts(plan.context.attributes, follow=False)
    lane = Lane(backend.name, open_backend.steps, ledger, outlet.offer_all, stock=open_backend.stock)
    router = Router(inbox, [lane], teller=teller, starts=starts)
    provider = build_provider(attrs.evolve(plan, backends=(open_backend,), ratio=1.0))
    provider.add_span_processor(FanoutSpanProcessor(inbox, _NoHandle(), starts))
    router.start()
    try:
        span = _made(provider, backend.name)
        router.drain(deadline)
        outlet.begin_flush(deadline)
        _wait(lambda: sender.answered.is_set() or _settled(ledger), deadline)
        counts, outcomes = ledger.counts(), list(sender.outcomes)
    finally:
        end = time.monotonic() + _END
        starts.stop()
        router.stop(end)
        outlet.shutdown(min(end, time.monotonic() + _MOMENT))
    assert span.context is not None
    trace_id = format(span.context.trace_id, "032x")
    outcome = outcomes[-1] if outcomes else None
    reached = sender.reached.is_set() or backend.stock
    return Trial(trace_id, _planned(span, backend), outcome, counts, reached, told.last)


def _opened(backend: BackendPlan) -> BackendPlan:
    """The backend without what could keep the span from being sent, or keep it back."""
    steps = attrs.evolve(backend.steps, select=SelectSettings(), sampling=SamplingSettings())
    batch = attrs.evolve(backend.settings.batch, schedule_delay=Duration(_MOMENT))
    settings = attrs.evolve(backend.settings, batch=batch, spool="off")
    return attrs.evolve(backend, steps=steps, settings=settings, spool=None)


def _made(provider: TracerProvider, name: str) -> ReadableSpan:
    tracer = provider.get_tracer(_SCOPE, version("ajolo-fanout"))
    span = tracer.start_span(SPAN_NAME, context=Context(), attributes={ATTRIBUTE: name})
    span.end()
    assert isinstance(span, ReadableSpan), "everything is recorded here"
    return span


def _planned(span: ReadableSpan, backend: BackendPlan) -> str:
    """What would have become of the span, had it been the program's."""
    steps = attrs.evolve(backend.steps, shape=Shape())  # only what is decided, not what is done to it
    rehearsal = Rehearsal({backend.name: steps})
    rehearsal.take(span)
    [told] = rehearsal.finish()[backend.name]
    if told.failed is not None:  # a rule of the file that raises: the span's own fate tells the same
        return f"a rule would have failed on it ({type(told.failed).__name__})"
    if told.fate == "sent":
        return ""
    origin = steps.origins.get(told.key, BUILT_IN)
    words = _WORDS[told.fate]
    return f"{words} by {told.key} ({origin})" if told.key in steps.origins else f"{words} ({origin})"


_WORDS = {"filtered": "filtered out", "sampled_out": "sampled out"}


def _settled(ledger: Ledger) -> bool:
    counts = ledger.counts()
    return counts.seen > 0 and counts.pending == 0


def _wait(condition: Callable[[], bool], deadline: float) -> None:
    while not condition() and time.monotonic() < deadline:
        time.sleep(_MOMENT)


class _Listener:
    """A sender that keeps what the real one heard."""

    def __init__(self, sender: Sender, deadline: float) -> None:
        self._sender = sender
        self._deadline = deadline
        self.outcomes: list[Outcome] = []
        self.reached = threading.Event()
        self.answered = threading.Event()

    def start(self) -> None:
        self._sender.start()

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:
        self.reached.set()
        left = max(_MOMENT, self._deadline - time.monotonic())
        outcome = self._sender.send(body, count, min(timeout, left))
        self.outcomes.append(outcome)
        if not outcome.too_large:  # else a smaller one follows
            self.answered.set()
        return outcome

    def may_have_arrived(self, thread: int) -> bool:
        return self._sender.may_have_arrived(thread)

    def abort(self) -> None:
        self._sender.abort()

    def forsake(self) -> None:
        self._sender.forsake()

    def close(self) -> None:
        self._sender.close()


class _Nowhere:
    """Takes everything and keeps nothing."""

    def start(self) -> None:
        """Nothing is needed."""

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:  # noqa: ARG002 - as `Sender` has it
        return Outcome("delivered", "not printed")

    def may_have_arrived(self, thread: int) -> bool:  # noqa: ARG002 - as `Sender` has it
        return False

    def abort(self) -> None:
        """Nothing is in flight."""

    def forsake(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


class _NoHandle:
    """The provider is nobody's to flush."""

    def flush(self, timeout: float | None = None) -> object:  # noqa: ARG002 - as `Handle` has it
        return True

    def shutdown(self, timeout: float | None = None) -> object:  # noqa: ARG002 - as `Handle` has it
        return True


class _Told(logging.Handler):
    """Keeps what would have been logged: the doctor says it in its own words."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()

    def logger(self) -> logging.Logger:
        """A logger that nobody else hears."""
        logger = logging.Logger(_SCOPE)  # noqa: LOG001 - on purpose outside the tree
        logger.addHandler(self)
        return logger
