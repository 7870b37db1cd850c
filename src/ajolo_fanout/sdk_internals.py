"""The one place that reads what OpenTelemetry's SDK keeps to itself.

The SDK has no public way to tell which span processors and limits a provider has, nor to take a processor
off again. Everything here only reads or undoes our own doing, answers "unknown" where the SDK has changed,
and `tests/install/test_sdk_internals.py` fails on the day that it has.
"""

from __future__ import annotations

import collections
import contextlib
import gc
from collections.abc import Iterator
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

__all__ = [
    "describe_processor",
    "endpoint_of",
    "has_parts",
    "no_global_provider",
    "remove_span_processor",
    "set_resource",
    "set_span_limits",
    "span_limits",
    "span_processors",
    "take_queue",
]


def span_processors(provider: TracerProvider) -> tuple[SpanProcessor, ...] | None:
    """The span processors on `provider` in the order in which they are called; None where unknown."""
    group = getattr(provider, "_active_span_processor", None)
    found = getattr(group, "_span_processors", None)
    return found if isinstance(found, tuple) else None


def span_limits(provider: TracerProvider) -> SpanLimits | None:
    """The limits that `provider` puts on every span; None where unknown."""
    found = getattr(provider, "_span_limits", None)
    return found if isinstance(found, SpanLimits) else None


def has_parts(span: ReadableSpan) -> bool:
    """Whether an ended span has events or links; True where unknown. The public way copies both, under locks."""
    try:
        return len(span._events) + len(span._links) > 0  # noqa: SLF001 - this module's purpose
    except (AttributeError, TypeError):
        return True


def remove_span_processor(provider: TracerProvider, processor: SpanProcessor) -> bool:
    """Take a processor of ours off `provider`, without stopping it; False where that can't be done.

    A program that installs and shuts down many times (a test suite) would otherwise call every stopped
    processor at every span. One that stays behind is harmless: it takes no more spans.
    """
    group = getattr(provider, "_active_span_processor", None)
    lock = getattr(group, "_lock", None)
    if group is None or lock is None or span_processors(provider) is None:
        return False
    with lock:
        present = group._span_processors  # noqa: SLF001 - this module's purpose
        kept = tuple(one for one in present if one is not processor)
        group._span_processors = kept  # noqa: SLF001 - this module's purpose
    return len(kept) < len(present)


def take_queue(processor: BatchSpanProcessor) -> list[Any]:
    """Empty the queue of a processor whose thread is asleep for good; oldest first, empty where unknown."""
    queue = getattr(getattr(processor, "_batch_processor", None), "_queue", None)
    taken: list[Any] = []
    with contextlib.suppress(IndexError):  # empty
        while isinstance(queue, collections.deque):
            taken.append(queue.pop())
    return taken


def set_resource(provider: TracerProvider, resource: Resource) -> bool:
    """Lay `resource` over that of `provider` and of the tracers it has made; False where that can't be done.

    After a fork the SDK (1.41 and later) puts a new `service.instance.id` over whatever was there, over one
    that the file fixes, too; this puts the file's back.
    """
    update = getattr(provider, "_update_resource", None)
    if update is None:
        return False
    update(resource)
    return True


def set_span_limits(provider: TracerProvider, limits: SpanLimits) -> bool:
    """Give `provider`, and the tracers it has made, these limits; False where that can't be done.

    Provider and tracers hold one `SpanLimits`, whose fields are public.
    """
    found = span_limits(provider)
    if found is None:
        return False
    for name, limit in vars(limits).items():
        setattr(found, name, limit)
    return True


@contextlib.contextmanager
def no_global_provider() -> Iterator[None]:
    """Within it, it is as if no global provider had ever been set; afterwards it is as it was before. For tests.

    OpenTelemetry sets its global provider once per process, on purpose. A tracer that was got before any was
    set (a module's own, got at import) keeps to the first provider that it meets: on entering and on leaving
    it forgets that one, too.

    Raises:
        RuntimeError: OpenTelemetry keeps its global provider elsewhere than it did.
    """
    names = ("_TRACER_PROVIDER", "_TRACER_PROVIDER_SET_ONCE")
    if not all(hasattr(trace, name) for name in names):
        raise RuntimeError("this version of opentelemetry-api has no known place for its global provider")
    before = {name: getattr(trace, name) for name in names}
    setattr(trace, names[0], None)
    setattr(trace, names[1], type(before[names[1]])())
    _unbind_tracers()
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(trace, name, value)
        _unbind_tracers()


def _unbind_tracers() -> None:
    for one in gc.get_objects():
        if type(one) is trace.ProxyTracer:
            one._real_tracer = None  # noqa: SLF001 - this module's purpose


def describe_processor(processor: SpanProcessor) -> str:
    """A processor in a few words: its class and, where it shows one, its exporter's class."""
    exporter = getattr(processor, "span_exporter", None)  # public on the SDK's own two
    if exporter is None:
        exporter = getattr(getattr(processor, "_batch_processor", None), "_exporter", None)
    name = type(processor).__name__
    return name if exporter is None else f"{name} ({type(exporter).__module__}.{type(exporter).__name__})"


def endpoint_of(processor: SpanProcessor) -> str:
    """Where a processor sends, as its exporter holds it: a URL, or a host with a port; empty where unknown.

    Vendors wrap processors in processors and exporters in exporters, each under a name of its own.
    """
    seen: list[object] = []
    waiting: list[object] = [processor]
    while waiting and len(seen) < _MOST_PARTS:
        part = waiting.pop(0)
        if any(part is one for one in seen):
            continue
        seen.append(part)
        for name in ("_endpoint", "endpoint"):
            found = getattr(part, name, None)
            if isinstance(found, str) and found:
                return found
        held = (getattr(part, name, None) for name in _PARTS)
        waiting.extend(one for one in held if one is not None)
        group = getattr(part, "_span_processors", ())
        waiting.extend(group if isinstance(group, tuple) else ())
    return ""


_PARTS = (
    "span_exporter",
    "_exporter",
    "exporter",
    "wrapped_exporter",
    "_batch_processor",
    "_processor",
    "processor",
)
"""Where a processor or an exporter keeps the one that it wraps."""

_MOST_PARTS = 20
