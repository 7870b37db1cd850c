"""The counters as OpenTelemetry metrics, under the semantic conventions that the SDK has for its own parts.

https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/ (status: development). Whatever MeterProvider is
set gets them, one that is set later included; all instruments are observed, so that nothing is done for them
while no reader collects. A backend is one processor and one exporter; both bear its name as
`otel.component.name`. What the conventions have no name for has one of ours: a backend's state, its spool, and
the counters of `fates.Counts`, so that a dashboard can add up what became of every span.
"""

from __future__ import annotations

import threading
import urllib.parse
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import attrs
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from ajolo_fanout import forks
from ajolo_fanout.health.fates import SETTLED, STATES
from ajolo_fanout.health.report import BackendHealth

__all__ = ["Measured", "Source", "component_of", "forget", "observe", "remember"]

_SCOPE = "ajolo_fanout"

Key = tuple[tuple[str, str | int], ...]

_AT_THE_PROCESSOR = {"inbox_full": "queue_full", "queue_full": "queue_full"}
"""Reasons for which a span doesn't come as far as the exporter, and what the conventions call them."""

_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Measured:
    """One backend at the moment of a collection.

    Attributes:
        health: Its state and counters.
        capacity: The spans that its queue takes.
        exporter: `otel.component.type` of what sends for it.
        spools: Whether it has a spool.
        server: `server.address` and `server.port`; empty for what has none.
    """

    health: BackendHealth
    capacity: int
    exporter: str
    server: Mapping[str, str | int] = attrs.field(factory=dict)
    spools: bool = False


class Source(Protocol):
    """What has backends to be measured."""

    def measured(self) -> Iterable[Measured]:
        """Each of its backends now. Doesn't raise."""


_Sums = dict[tuple[str, Key], int]
"""What was counted, by instrument."""


@attrs.define(eq=False)
class _Known:
    """One source, and what was last read of it."""

    source: weakref.ref[Source]
    sums: _Sums = attrs.field(factory=dict)


_known: list[_Known] = []
_seen_by: weakref.WeakSet[MeterProvider] = weakref.WeakSet()
_seen_globally = threading.Event()
_past: Counter[tuple[str, Key]] = Counter()
"""What those have counted that are measured no more, by instrument: a sum never goes back."""
_lock = threading.RLock()


def _in_forked_child() -> None:
    global _lock  # noqa: PLW0603 - a lock that another thread held at the fork stays locked for ever
    _lock = threading.RLock()
    for counted in (_past, *[one.sums for one in _known]):  # the parent's
        counted.clear()


forks.in_child(_in_forked_child)


def observe(source: Source, provider: MeterProvider | None = None) -> None:
    """Let `source` be seen in the metrics, for as long as it exists.

    Args:
        source: With the backends.
        provider: Where the instruments are made, once each; by default the global one, set or still to be.
    """
    with _lock:
        if all(one is not source for one, _ in _alive()):
            _known.append(_Known(weakref.ref(source)))
        if provider is None:
            # Once in a process: until a provider is set, a proxy stands for it and hands the instruments on.
            known, where = _seen_globally.is_set(), metrics.get_meter_provider()
            _seen_globally.set()
        else:
            known, where = provider in _seen_by, provider
            _seen_by.add(provider)
        if not known:
            _make_instruments(where.get_meter(_SCOPE))


def forget(source: Source) -> None:
    """Measure `source` no more: another takes its place. What it has counted stays in the sums."""
    with _lock:
        remember(source)
        for known in [one for one in _known if one.source() is source]:
            _bury(known)


def remember(source: Source) -> None:
    """Read what `source` has counted by its end, for nobody may read it again; it is measured while it exists."""
    for sums in [one.sums for one in _known if one.source() is source]:
        for measured in source.measured():
            for name, _, _, read in _SUMS:
                sums.update(((name, key), number) for key, number in read(measured) if number)


def _alive() -> list[tuple[Source, _Sums]]:
    """Who is to be measured now. What those have counted that are gone is in the past from here on."""
    alive = []
    for known in tuple(_known):
        source = known.source()
        if source is None:
            _bury(known)
        else:
            alive.append((source, known.sums))
    return alive


def _bury(known: _Known) -> None:
    _known.remove(known)
    _past.update(known.sums)


def component_of(kind: str, protocol: str, url: str) -> tuple[str, dict[str, str | int]]:
    """`otel.component.type` of what sends to a target, and its `server.*` attributes.

    Args:
        kind: The target's kind: `"otlp"`, `"console"` or `"file"`.
        protocol: `"http/protobuf"` or `"grpc"`.
        url: Where the requests go.
    """
    if kind != "otlp":
        return f"{kind}_span_exporter", {}
    parts = urllib.parse.urlsplit(url)
    server: dict[str, str | int] = {}
    if parts.scheme == "unix":
        server["server.address"] = parts.path
    elif parts.hostname:
        server["server.address"] = parts.hostname
        port = parts.port or _PORTS.get(parts.scheme)
        if port:
            server["server.port"] = port
    return f"otlp_{'grpc' if protocol == 'grpc' else 'http'}_span_exporter", server


def _make_instruments(meter: Meter) -> None:
    for name, unit, text, read in _SUMS:
        meter.create_observable_counter(name, [_callback(read, name)], unit, text)
    for name, unit, text, read in (
        (
            "otel.sdk.exporter.span.inflight",
            "{span}",
            "Spans that wait in memory to be sent again.",
            _inflight,
        ),
        ("otel.sdk.processor.span.queue.size", "{span}", "Spans up to the end of their request.", _size),
        ("otel.sdk.processor.span.queue.capacity", "{span}", "How many that may be.", _capacity),
        ("ajolo_fanout.spool.span.count", "{span}", "Spans on disk, as this process last saw it.", _spooled),
        ("ajolo_fanout.spool.size", "By", "What they take on disk.", _spool_size),
        ("ajolo_fanout.backend.state", "1", "1 for the state that the backend is in, else 0.", _state),
    ):
        meter.create_observable_up_down_counter(name, [_callback(read)], unit, text)


def _callback(
    read: Callable[[Measured], Iterator[tuple[Key, int]]],
    name: str = "",
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe_all(_: CallbackOptions) -> Iterable[Observation]:
        totals: Counter[Key] = Counter()  # two installations may have a backend of the same name
        with _lock:
            alive = _alive()
            totals.update({key: number for (instrument, key), number in _past.items() if instrument == name})
            for source, sums in alive:
                for one in source.measured():
                    for key, number in read(one):
                        totals[key] += number
                        if name and number:
                            sums[name, key] = number
        return [Observation(number, dict(key)) for key, number in totals.items()]

    return observe_all


def _exported(one: Measured) -> Iterator[tuple[Key, int]]:
    counts = one.health.counts
    yield _exporter(one), counts.delivered + counts.handed_over + counts.replayed
    for reason, number in counts.lost.items():
        if reason not in _AT_THE_PROCESSOR:
            yield _exporter(one, ("error.type", reason)), number


def _inflight(one: Measured) -> Iterator[tuple[Key, int]]:
    yield _exporter(one), one.health.retry_spans


def _processed(one: Measured) -> Iterator[tuple[Key, int]]:
    """Processed is what has been given to the exporter, whatever became of it there."""
    health, counts = one.health, one.health.counts
    refused = sum(number for reason, number in counts.lost.items() if reason in _AT_THE_PROCESSOR)
    given = counts.delivered + counts.handed_over + counts.spooled + counts.lost_total - refused
    yield _processor(one), given + health.retry_spans
    if refused:
        yield _processor(one, ("error.type", "queue_full")), refused


def _settled(one: Measured) -> Iterator[tuple[Key, int]]:
    """With what is pending, these add up to what was seen."""
    for fate in SETTLED:
        yield _backend(one, ("ajolo_fanout.fate", fate)), getattr(one.health.counts, fate)
    for reason, number in one.health.counts.lost.items():
        yield _backend(one, ("ajolo_fanout.fate", "lost"), ("error.type", reason)), number


def _redacted(one: Measured) -> Iterator[tuple[Key, int]]:
    for reason, number in one.health.counts.redacted_by.items():
        yield _backend(one, ("ajolo_fanout.reason", reason)), number


def _counter(field: str) -> Callable[[Measured], Iterator[tuple[Key, int]]]:
    def read(one: Measured) -> Iterator[tuple[Key, int]]:
        yield _backend(one), getattr(one.health.counts, field)

    return read


_SUMS = (
    ("otel.sdk.exporter.span.exported", "{span}", "Spans whose export has ended, well or not.", _exported),
    (
        "otel.sdk.processor.span.processed",
        "{span}",
        "Spans that left the queue, or weren't let in.",
        _processed,
    ),
    ("ajolo_fanout.span.seen", "{span}", "Ended spans that the backend was asked about.", _counter("seen")),
    ("ajolo_fanout.span.settled", "{span}", "Spans whose fate is known.", _settled),
    ("ajolo_fanout.span.replayed", "{span}", "Spans that left the spool.", _counter("replayed")),
    ("ajolo_fanout.value.redacted", "{value}", "Values that redaction removed.", _redacted),
    ("ajolo_fanout.value.repaired", "{value}", "Values repaired to be encoded.", _counter("repaired")),
    ("ajolo_fanout.request.sent", "{request}", "Requests, each try counted.", _counter("requests")),
    ("ajolo_fanout.request.size", "By", "Their bodies before compression.", _counter("bytes")),
    (
        "ajolo_fanout.trace.never_recorded",
        "{trace}",
        "Traces that the provider's sampler never recorded.",
        _counter("never_recorded"),
    ),
)


def _size(one: Measured) -> Iterator[tuple[Key, int]]:
    yield _processor(one), one.health.queued_spans


def _capacity(one: Measured) -> Iterator[tuple[Key, int]]:
    yield _processor(one), one.capacity


def _spooled(one: Measured) -> Iterator[tuple[Key, int]]:
    if one.spools:
        yield _exporter(one), one.health.spool_spans


def _spool_size(one: Measured) -> Iterator[tuple[Key, int]]:
    if one.spools:
        yield _exporter(one), one.health.spool_bytes


def _state(one: Measured) -> Iterator[tuple[Key, int]]:
    for state in STATES:
        yield _exporter(one, ("ajolo_fanout.state", state)), int(state == one.health.state)


def _backend(one: Measured, *more: tuple[str, str | int]) -> Key:
    return (("otel.component.name", one.health.name), *more)


def _exporter(one: Measured, *more: tuple[str, str]) -> Key:
    return _backend(one, ("otel.component.type", one.exporter), *one.server.items(), *more)


def _processor(one: Measured, *more: tuple[str, str]) -> Key:
    return _backend(one, ("otel.component.type", "batching_span_processor"), *more)
