"""Backends, renditions and outlets for the tests of delivery, over real connections."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, TraceFlags

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.batch import BatchSettings
from ajolo_fanout.config.retry import RetrySettings
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.delivery.http import HttpSender
from ajolo_fanout.delivery.outlet import Outlet, shutdown_all
from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.otlp.rendition import Envelope, Rendition, sampled_context
from ajolo_fanout.plan.model import BackendPlan, SpoolPlan
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.model import Answer
from ajolo_fanout.profiles.target import Target
from ajolo_fanout.steps.pipeline import Steps
from ajolo_fanout.values import Duration, Secret, Size

PROTOCOLS = ("http/protobuf", "grpc")
KEY = "k3y-" + "s3cr3t" * 4

_ids = itertools.count(1)

_AMPLE = 20.0
"""Seconds for a request, and for what ends as soon as it is done: where nothing hangs, a busy machine makes no second
request and no failure of it."""


def one_batch(spans: int) -> dict[str, Any]:
    """The knobs of a batch that leaves when it has so many spans: a timer may cut what is offered in two."""
    return {"max_export_batch_size": spans, "schedule_delay": Duration(60)}


def backend(
    url: str,
    protocol: str = "http/protobuf",
    *,
    name: str = "one",
    headers: Mapping[str, Secret] | None = None,
    answers: tuple[Answer, ...] = (),
    max_request_bytes: int = 4 * 1024**2,
    batch: Mapping[str, Any] | None = None,
    **settings: Any,
) -> BackendPlan:
    """A resolved backend that sends to `url`; without a path, HTTP gets `/v1/traces`.

    Its time-outs are long: where they are to pass, a test gives its own.
    """
    if protocol != "grpc" and url.count("/") == 2:
        url += "/v1/traces"
    target = Target(
        profile=catalog.load("otlp"),
        kind="otlp",
        protocol=protocol,
        url=url,
        headers={"x-key": Secret(KEY)} if headers is None else headers,
        max_request_bytes=max_request_bytes,
        answers=answers,
    )
    knobs = {"schedule_delay": Duration(0.02), "export_timeout": Duration(3 * _AMPLE), **(batch or {})}
    made = BackendSettings(
        protocol=protocol,
        timeout=Duration(settings.pop("timeout", _AMPLE)),
        batch=BatchSettings(**knobs),
        **settings,
    )
    return BackendPlan(name=name, target=target, settings=made, steps=Steps())


def local(kind: str, **target: Any) -> BackendPlan:
    """A resolved backend of kind `console` or `file`."""
    made = Target(profile=catalog.load(kind), kind=kind, protocol="", url=f"{kind}:", **target)
    return BackendPlan(
        "one", made, BackendSettings(batch=BatchSettings(schedule_delay=Duration(0.02))), Steps()
    )


def _framed(number: int, message: Any) -> bytes:
    """A message as the length-delimited field `number` (fewer than 16384 bytes)."""
    body = message.SerializeToString()
    assert len(body) < 128
    return bytes([number << 3 | 2, len(body)]) + body


ENVELOPE = Envelope(
    resource=_framed(
        1, Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="svc"))])
    ),
    scope=_framed(1, InstrumentationScope(name="tests")),
)


def rendition(size: int = 0, name: str = "") -> Rendition:
    """A span with a string attribute of `size` bytes."""
    number = next(_ids)
    context = SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    span = Span(
        trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=name or f"s{number}"
    )
    if size:
        span.attributes.add(key="payload").value.string_value = "x" * size
    return Rendition(context, span.SerializeToString(), ENVELOPE)


def readable(name: str) -> Rendition:
    """What a stock exporter is given: a rendition that brings the SDK's own span."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("tests").start_span(name).end()
    [span] = memory.get_finished_spans()
    return Rendition(sampled_context(span.context), b"x" * 10, ENVELOPE, readable=span)


class Rig:
    """One outlet, its ledger, and what was offered."""

    def __init__(self, plan: BackendPlan, retry: RetrySettings | None = None) -> None:
        if retry is not None:
            plan = attrs.evolve(plan, settings=attrs.evolve(plan.settings, retry=retry))
        self.ledger = Ledger(plan.name)
        self.outlet = Outlet(plan, self.ledger)

    def offer(self, n: int = 1, size: int = 0) -> None:
        """Offer `n` spans, as the router does: seen first."""
        self.ledger.seen(n)
        self.outlet.offer_all([rendition(size) for _ in range(n)])

    def flush(self, seconds: float = _AMPLE) -> bool:
        return self.outlet.flush(time.monotonic() + seconds)

    def shutdown(self, seconds: float = _AMPLE) -> bool:
        return self.outlet.shutdown(time.monotonic() + seconds)

    @property
    def counts(self) -> Any:
        return self.ledger.counts()


@contextlib.contextmanager
def rigged(*plans: BackendPlan, retry: RetrySettings | None = None) -> Iterator[Any]:
    """Rigs of `plans` (one: itself), shut down at the end without waiting."""
    rigs = [Rig(plan, retry) for plan in plans]
    try:
        yield rigs[0] if len(rigs) == 1 else rigs
    finally:
        shutdown_all([rig.outlet for rig in rigs], time.monotonic())


def retry(max_bytes: int = 64 * 1024**2, max_age: float = 900) -> RetrySettings:
    return RetrySettings(max_bytes=Size(max_bytes), max_age=Duration(max_age))


def spooled(
    plan: BackendPlan, folder: Path, mode: str = "on_failure", max_age: float = 86400, **settings: Any
) -> BackendPlan:
    """`plan` with a spool in `folder`."""
    use = SpoolPlan(SpoolSettings(directory=folder, **settings), "svc", always=mode == "always")
    common = attrs.evolve(plan.settings, spool=mode, retry=retry(max_age=max_age))
    return attrs.evolve(plan, spool=use, settings=common)


def http_sender(url: str, headers: dict[str, Secret] | None = None) -> HttpSender:
    """A sender by itself, as no gate or batch stands before it."""
    return HttpSender(url + "/v1/traces", headers or {}, Reading(), tls=TlsSettings())


def with_files(plan: BackendPlan, **tls: Path | bool) -> BackendPlan:
    """`plan` with TLS settings."""
    settings = attrs.evolve(plan.settings, tls=attrs.evolve(plan.settings.tls, **tls))
    return attrs.evolve(plan, settings=settings)
