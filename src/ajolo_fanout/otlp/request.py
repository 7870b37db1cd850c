"""Renditions to request bodies: grouped by envelope, joined, and split so that none is over a limit.

OTLP's repeated fields concatenate, so a request is a join of bytes that exist already. Sizes are added up,
framing included, before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from ajolo_fanout.otlp.rendition import Envelope, Rendition
from ajolo_fanout.otlp.wire import Lengths, varint_size

__all__ = ["Request", "requests"]

_resource_length = Lengths(b"\x0a")  # ExportTraceServiceRequest.resource_spans
_scope_length = Lengths(b"\x12")  # ResourceSpans.scope_spans
_span_length = Lengths(b"\x12")  # ScopeSpans.spans
_MAX_FRAMING = 11  # a tag and the longest length: what a field can add to its content


@attrs.frozen(eq=False)
class Request:
    """One `ExportTraceServiceRequest`.

    Attributes:
        body: Its bytes, not compressed.
        renditions: The spans in it, in the order in which they came.
        too_large: It is over the limit, and holds the one span that is to blame.
    """

    body: bytes = attrs.field(repr=False)
    renditions: Sequence[Rendition]
    too_large: bool = False


def requests(renditions: Iterable[Rendition], max_bytes: int) -> Iterator[Request]:
    """Join renditions to requests of at most `max_bytes` each, built one at a time.

    Spans keep their order; resources, and the scopes of each, come as first seen. A span that is over the
    limit all by itself is a request of its own, marked `too_large`, and doesn't cut the one under way.
    """
    waiting = list(renditions)
    if _upper_bound(waiting) <= max_bytes:  # the usual case: nothing to split, no sizes to follow
        if waiting:
            yield Request(_join(waiting), waiting)
        return
    sizes, under_way = _Sizes(), list[Rendition]()
    for rendition in waiting:
        if not sizes.add(rendition, max_bytes):
            alone = _Sizes()
            if not alone.add(rendition, max_bytes):
                yield Request(_join([rendition]), [rendition], too_large=True)
                continue
            yield Request(_join(under_way), under_way)
            sizes, under_way = alone, []
        under_way.append(rendition)
    if under_way:
        yield Request(_join(under_way), under_way)


def _upper_bound(renditions: Sequence[Rendition]) -> int:
    """A size that the joined body can't exceed, cheaply."""
    envelopes = {rendition.envelope for rendition in renditions}
    return (
        sum([rendition.size for rendition in renditions])
        + _MAX_FRAMING * (len(renditions) + 2 * len(envelopes))
        + sum(_resource_size(envelope) + _scope_size(envelope) for envelope in envelopes)
    )


def _join(renditions: Sequence[Rendition]) -> bytes:
    """The body of one request. The spans' bytes, which are nearly all of it, are copied once."""
    scopes: dict[Envelope, list[bytes]] = {}
    latest, spans = None, list[bytes]()
    for rendition in renditions:
        envelope = rendition.envelope
        if envelope is not latest:
            latest, spans = envelope, scopes.setdefault(envelope, [])
        spans += (_span_length[rendition.size], rendition.span, rendition.extra)
    resources: dict[tuple[bytes, bytes], list[bytes]] = {}
    for envelope, spans in scopes.items():
        content = (envelope.scope, *spans, envelope.scope_schema_url)
        inner = resources.setdefault(_resource_key(envelope), [])
        inner += (_scope_length[sum(map(len, content))], *content)
    parts: list[bytes] = []
    for (resource, schema_url), inner in resources.items():
        size = len(resource) + sum(map(len, inner)) + len(schema_url)
        parts += (_resource_length[size], resource, *inner, schema_url)
    return b"".join(parts)


class _Sizes:
    """What the body under way will come to, exactly, kept up span by span."""

    __slots__ = ("_resources", "_scopes", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._resources: dict[tuple[bytes, bytes], int] = {}
        self._scopes: dict[Envelope, int] = {}

    def add(self, rendition: Rendition, max_bytes: int) -> bool:
        """Count `rendition` in; False, and nothing is counted, if the body would then exceed `max_bytes`."""
        envelope = rendition.envelope
        key = _resource_key(envelope)
        scope, resource = self._scopes.get(envelope), self._resources.get(key)
        new_scope = (_scope_size(envelope) if scope is None else scope) + _framed(rendition.size)
        new_resource = _resource_size(envelope) if resource is None else resource
        new_resource += _framed(new_scope) - (0 if scope is None else _framed(scope))
        total = self._total + _framed(new_resource) - (0 if resource is None else _framed(resource))
        if total > max_bytes:
            return False
        self._scopes[envelope], self._resources[key], self._total = new_scope, new_resource, total
        return True


def _resource_key(envelope: Envelope) -> tuple[bytes, bytes]:
    return envelope.resource, envelope.resource_schema_url


def _resource_size(envelope: Envelope) -> int:
    return len(envelope.resource) + len(envelope.resource_schema_url)


def _scope_size(envelope: Envelope) -> int:
    return len(envelope.scope) + len(envelope.scope_schema_url)


def _framed(size: int) -> int:
    """The bytes of a message field with `size` bytes of content: all of ours have tags of one byte."""
    return 1 + varint_size(size) + size
