"""Files, spans and comparisons for the tests against a real Collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from ajolo_fanout.config.document import load
from ajolo_fanout.fanout import Fanout
from ajolo_fanout.otlp.decode import DecodedSpan, DecodedStatus, decode_request
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.sdk_internals import span_processors
from ajolo_fanout.testing import OtelCollector

__all__ = ["PROTOCOLS", "Write", "all_of", "at", "canonical", "fanned_out", "made", "opened", "put", "wrong"]

PROTOCOLS = ("http/protobuf", "grpc")
Write = Callable[[str], Path]
"""Writes a `tracing.toml` and gives its path."""


def at(collector: OtelCollector, protocol: str = "http/protobuf", **more: Any) -> str:
    """The keys of a backend that sends to `collector`, as lines of a file; `more` with `__` for a dot."""
    endpoint = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
    keys: dict[str, Any] = {"type": "otlp", "endpoint": endpoint, "protocol": protocol}
    keys |= {"batch.schedule_delay": "20ms", **{name.replace("__", "."): text for name, text in more.items()}}
    return "\n".join(f"{key} = {_toml(value)}" for key, value in keys.items()) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + " }"
    if isinstance(value, (str, Path)):
        return f'"{value}"'
    return str(value).lower()


@contextmanager
def opened(path: Path, provider: TracerProvider | None = None) -> Iterator[Fanout]:
    """A file at work, as `install_from_config()` would have it, but never global."""
    fanout = Fanout(resolve(load(path), {}), provider=provider)
    try:
        yield fanout
    finally:
        fanout.shutdown()


def fanned_out(path: Path, *names: str) -> Fanout:
    """Spans of these names through a file, until each is decided or waits; the handle, for its health."""
    with opened(path) as fanout:
        tracer = fanout.provider.get_tracer("tests")
        for name in names:
            tracer.start_span(name).end()
        fanout.flush(30)
    return fanout


def put(provider: TracerProvider, spans: Iterable[ReadableSpan]) -> None:
    """Have the provider's one span processor see the end of spans that the provider didn't make."""
    [processor] = span_processors(provider) or ()
    for span in spans:
        processor.on_end(span)


def all_of(collector: OtelCollector, count: int) -> list[DecodedSpan]:
    """Every span of a Collector that is to get `count`, and that has ended then: any that came twice, too."""
    collector.wait_for_spans(count)
    collector.stop()
    return collector.spans


def made(spans: Iterable[ReadableSpan], **resource: Any) -> list[DecodedSpan]:
    """What a program's spans say, by the stock encoder, each for itself; `resource` laid over theirs."""
    decoded = [one for span in spans for one in decode_request(encode_spans([span]).SerializeToString())]
    return [attrs.evolve(one, resource={**one.resource, **resource}) for one in decoded]


def canonical(span: DecodedSpan) -> str:
    """Everything that a span says, as text that is equal for equal spans and no others: 1, 1.0 and True differ.

    An id of zeros only is no id (W3C Trace Context), and a Collector leaves it out; a status that isn't
    there is one that isn't set. Attributes are a set, whatever their order.
    """
    return repr(_plain(span))


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
        if "status" in fields:
            fields["status"] = fields["status"] or DecodedStatus()
        for name in ("trace_id", "span_id", "parent_id"):
            if name in fields:
                fields[name] = fields[name].strip("0") and fields[name]
        return [(name, _plain(one)) for name, one in fields.items()]
    if isinstance(value, Mapping):
        return sorted(((key, _plain(one)) for key, one in value.items()), key=repr)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def wrong(expected: Iterable[DecodedSpan], arrived: Iterable[DecodedSpan]) -> list[str]:
    """Which spans arrived otherwise than they should, as often as they should; empty when all is equal."""
    should, did = Counter(map(canonical, expected)), Counter(map(canonical, arrived))
    missing = [f"- {text}" for text in (should - did).elements()]
    surplus = [f"+ {text}" for text in (did - should).elements()]
    return sorted([*missing, *surplus], key=lambda line: line[1:])  # those that are nearly equal together
