"""A whole pipeline without delivery: a real provider, our span processor, a router, and takers behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState
from tests.pipeline.lanes import Taker, soon

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.processor import FanoutSpanProcessor
from ajolo_fanout.pipeline.router import Router
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.sampling import ConsistentSampler, SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.steps.verdict import shares

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
ERRORS = KeepRule("errors", match=Match(status="error"))
NOTHING = SamplingSettings(ratio=0.0, keep=(ERRORS,))
OTHER = TracerProvider(shutdown_on_exit=False).get_tracer("other")
CHOSEN = SelectSettings(include=(Match(name=Condition("chosen*")),))


@attrs.frozen(eq=False)
class Rig:
    """What a test works with."""

    provider: TracerProvider
    tracer: Tracer
    inbox: Inbox
    router: Router
    starts: Starts

    def drain(self) -> None:
        """Everything that has ended is offered, or held."""
        assert self.router.drain(soon())


class _NoHandle:
    def flush(self, timeout: float | None = None) -> object:
        return True

    def shutdown(self, timeout: float | None = None) -> object:
        return True


@contextmanager
def rigged(
    *takers: Taker,
    attributes: tuple[str, ...] = (),
    bounds: BufferSettings | None = None,
    sampler: Sampler | None = None,
    follow: bool = True,
    propagate_all: bool = False,
) -> Iterator[Rig]:
    """The rig, sampling what its takers need; everything is decided when the block is left."""
    needed = shares(taker.lane.steps.sampling for taker in takers)
    sampler = sampler or ConsistentSampler(
        needed.ratio, ignored=needed.ignored, recorded=needed.recorded, everything_out=propagate_all
    )
    starts = Starts(attributes, follow=follow)
    inbox = Inbox(1_000_000)
    router = Router(inbox, [taker.lane for taker in takers], starts=starts, bounds=bounds)
    starts.hear(router.whole.listeners)
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(FanoutSpanProcessor(inbox, _NoHandle(), starts))
    tracer = provider.get_tracer("tests")
    assert isinstance(tracer, Tracer)
    router.start()
    try:
        yield Rig(provider, tracer, inbox, router, starts)
    finally:
        starts.stop()
        assert router.stop(soon(60))


def messages(taker: Taker) -> list[Message]:
    """What a taker got, as the backend reads it."""
    return [Message.FromString(one.span + one.extra) for one in taker.got]


def attributes_of(message: Message) -> dict[str, Any]:
    """The attributes of a span by name; a key that comes twice fails."""
    keys = [one.key for one in message.attributes]
    assert len(keys) == len(set(keys))
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value")
        for one in message.attributes
    }


def remote(*, sampled: bool = True, state: TraceState | None = None, trace_id: int = TRACE) -> Any:
    """A context with a parent in another service."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = SpanContext(trace_id, 0xB7AD6B7169203331, is_remote=True, trace_flags=flags, trace_state=state)
    return set_span_in_context(NonRecordingSpan(parent))


def run_agent(rig: Rig, *, fails: bool, children: int = 2) -> None:
    """A root and its children, the first of which may fail."""
    with rig.tracer.start_as_current_span("root"):
        for n in range(children):
            with rig.tracer.start_as_current_span(f"child {n}") as span:
                if fails and n == 0:
                    span.set_status(Status(StatusCode.ERROR))
