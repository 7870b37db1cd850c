"""Spans through a plan: started and ended again on a provider of its own, decided about, shaped."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, overload

import attrs
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from ajolo_fanout.pipeline.run import Rehearsal, Told
from ajolo_fanout.pipeline.starts import Starts
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.provider import build_provider, follows
from ajolo_fanout.replay.model import Outcome, Replay
from ajolo_fanout.replay.rerun import rerun
from ajolo_fanout.replay.shaping import Workshop

__all__ = ["replay"]

_DISABLED = "OTEL_SDK_DISABLED"


def replay(plan: Plan, spans: Iterable[ReadableSpan], *, own_resource: bool = False) -> Replay:
    """Take recorded spans through `plan`, as if the program that made them ran with this file.

    Everything that the running pipeline does to spans happens, by the same functions and in the same order;
    no thread is started, nothing is encoded, nothing is sent. Rates of keep rules are taken as in one burst.

    Args:
        plan: The file's; placeholders do.
        spans: In the order in which they ended, each id once.
        own_resource: Whether a span's own resource is laid over the file's, as for spans that somebody
            wrote; a recorded program would have the file's.
    """
    given = list(spans)
    starts = Starts(plan.context.attributes, follow=follows(plan))
    steps = {backend.name: backend.steps for backend in plan.backends}
    rehearsal = Rehearsal(steps, starts=starts, bounds=plan.sampling)
    ended = _Ended(rehearsal, starts)
    home = _Home(plan, ended, own_resource=own_resource)
    with _sdk_enabled():
        rerun(home.provider, given)
        told = rehearsal.finish()
        whole = tuple(ended.spans.get(_key(span)) or home.unrecorded(span) for span in given)
    outcomes = {backend.name: _Outcomes(backend, whole, told[backend.name]) for backend in plan.backends}
    return Replay(plan, whole, MappingProxyType(outcomes))


class _Outcomes(Sequence[Outcome]):
    """One backend's outcomes, each made when it is first looked at: whoever asks about one span pays for one."""

    def __init__(self, backend: BackendPlan, spans: Sequence[ReadableSpan], told: Sequence[Told]) -> None:
        self._workshop = Workshop(backend)
        self._spans = spans
        self._told = {_key(one.span): one for one in told}
        self._made: dict[int, Outcome] = {}
        if backend.steps.shape.own:  # a step of the user's own may remember: it sees the spans in their order
            numbers = {_key(span): number for number, span in enumerate(spans)}
            for one in told:
                self._made[numbers[_key(one.span)]] = self._workshop.outcome(one)

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Outcome, ...]: ...
    def __getitem__(self, index: int | slice) -> Outcome | tuple[Outcome, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = range(len(self))[index]
        if number not in self._made:
            span = self._spans[number]
            told = self._told.get(_key(span))
            made = self._workshop.unrecorded(span) if told is None else self._workshop.outcome(told)
            self._made[number] = made
        return self._made[number]


class _Ended(SpanProcessor):
    """What stands for the running pipeline's span processor: it decides on the spot."""

    def __init__(self, rehearsal: Rehearsal, starts: Starts) -> None:
        self._rehearsal = rehearsal
        self._starts = starts
        self.spans: dict[tuple[int, int], ReadableSpan] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._starts.begin(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self.spans[_key(span)] = span
        self._rehearsal.take(span, self._starts.end(span) if self._starts.noting else None)


class _Home:
    """The providers on which spans are made again: one for each resource."""

    def __init__(self, plan: Plan, processor: SpanProcessor, *, own_resource: bool) -> None:
        self._plan = plan
        self._processor = processor
        self._own_resource = own_resource
        self._providers: dict[str, TracerProvider] = {}

    def provider(self, span: ReadableSpan) -> TracerProvider:
        own: Mapping[str, Any] = span.resource.attributes if self._own_resource else {}
        key = repr(sorted(own.items()))
        if key not in self._providers:
            provider = build_provider(attrs.evolve(self._plan, resource={**self._plan.resource, **own}))
            provider.add_span_processor(self._processor)
            self._providers[key] = provider
        return self._providers[key]

    def unrecorded(self, span: ReadableSpan) -> ReadableSpan:
        """A span that the sampler lets nobody record, as it would have been."""
        resource: Resource = self.provider(span).resource
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=resource,
            attributes=span.attributes,
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


@contextmanager
def _sdk_enabled() -> Iterator[None]:
    """What the SDK would do for a program, not for us: be switched off, and log each text that it cuts."""
    before = os.environ.pop(_DISABLED, None)
    log = logging.getLogger("opentelemetry.attributes")
    log.addFilter(_is_serious)
    try:
        yield
    finally:
        log.removeFilter(_is_serious)
        if before is not None:
            os.environ[_DISABLED] = before


def _is_serious(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING


def _key(span: ReadableSpan) -> tuple[int, int]:
    context = span.context
    return (0, 0) if context is None else (context.trace_id, context.span_id)
