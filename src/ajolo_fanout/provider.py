"""What a plan wants of a provider: one that we build, a plain one of the SDK's, or one that is there."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider, sampling
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

from ajolo_fanout.config.limits import ProviderLimits
from ajolo_fanout.config.shutdown import ShutdownSettings
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.steps.sampling import ConsistentSampler

__all__ = [
    "PlanSampler",
    "build_provider",
    "empty_plan",
    "follows",
    "overlaid",
    "silent_provider",
    "span_limits",
]


class PlanSampler(sampling.Sampler):
    """The sampler of a provider that we built: its plan's, exchanged when another plan is installed on it.

    The program's tracers hold on to the sampler that their provider had when they were made.
    """

    def __init__(self, plan: Plan) -> None:
        self.adopt(plan)

    def adopt(self, plan: Plan) -> None:
        """Sample what `plan` needs from now on."""
        shares = plan.shares
        self._sampler = ConsistentSampler(
            plan.ratio,
            ignored=shares.ignored,
            recorded=shares.recorded,
            everything_out=plan.sampling.propagate == "all",
        )

    @contextmanager
    def adopting(self) -> Iterator[None]:
        """Within it, other plans may be adopted; afterwards the present one goes on, and its counts with it."""
        before = self._sampler
        try:
            yield
        finally:
            self._sampler = before

    @property
    def never_recorded(self) -> int:
        """How many traces weren't recorded since the plan was adopted."""
        return self._sampler.never_recorded

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> sampling.SamplingResult:
        """Decide about a span that is about to start, as the adopted plan wants it."""
        return self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """The plan's sampler in words."""
        return self._sampler.get_description()


def build_provider(plan: Plan) -> TracerProvider:
    """A plain SDK provider as `plan` wants it; nothing of the ambient `OTEL_*` environment gets in.

    It is exactly the SDK's class, which is what Ajolopy and others look for before they make their own. It
    doesn't shut down at exit by itself: the SDK would go through its processors one after another, without
    a deadline.
    """
    return TracerProvider(
        sampler=PlanSampler(plan),
        resource=_resource(plan.resource),
        shutdown_on_exit=False,
        span_limits=span_limits(plan),
    )


def span_limits(plan: Plan) -> SpanLimits:
    """The limits of a provider as `plan` wants them."""
    limits = plan.limits
    count = _limit(limits.attribute_count_limit)
    length = _limit(limits.attribute_value_length_limit)
    # Every argument is given: one that isn't is read from the environment.
    return SpanLimits(
        max_attributes=count,
        max_span_attributes=count,
        max_event_attributes=count,
        max_link_attributes=count,
        max_events=_limit(limits.event_count_limit),
        max_links=_limit(limits.link_count_limit),
        max_attribute_length=length,
        max_span_attribute_length=length,
    )


def silent_provider() -> TracerProvider:
    """A provider that records nothing, for a handle that has nowhere to send to."""
    return TracerProvider(sampler=sampling.ALWAYS_OFF, resource=_resource({}), shutdown_on_exit=False)


def overlaid(backend: BackendPlan, plan: Plan) -> BackendPlan:
    """`backend` with the file's resource laid over each span's: the provider's own isn't the file's."""
    shape = backend.steps.shape
    resource = {**plan.resource, **shape.resource}
    steps = attrs.evolve(backend.steps, shape=attrs.evolve(shape, resource=resource))
    return attrs.evolve(backend, steps=steps)


def follows(plan: Plan) -> bool:
    """Whether the pipeline has to know from their starts on which spans belong together."""
    if any(backend.steps.needs_whole_traces for backend in plan.backends):
        return True
    # With the flag set on everything, a span's own flag no longer says that upstream decided against it.
    respects = any(backend.steps.sampling.parent == "respect" for backend in plan.backends)
    return plan.sampling.propagate == "all" and respects and plan.shares.ignored > 0


def empty_plan() -> Plan:
    """The plan of a handle for which there was no file to read."""
    return Plan(
        file="",
        path=None,
        resource={},
        limits=ProviderLimits(None, None, None, None),
        shutdown=ShutdownSettings(),
        backends=(),
    )


def _limit(value: int | None) -> int:
    return SpanLimits.UNSET if value is None else value


def _resource(attributes: Mapping[str, Any]) -> Resource:
    """What the SDK says of itself, under what the plan says.

    Not `Resource.create()`: that would read `OTEL_RESOURCE_ATTRIBUTES` once more, over the file.
    """
    own = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
        "service.instance.id": str(uuid.uuid4()),
        "service.name": f"unknown_service:{Path(sys.executable).name}"
        if sys.executable
        else "unknown_service",
    }
    return Resource({**own, **attributes})
