"""Resources and scopes to envelopes: encoded once, and one object for equal content."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ajolo_fanout.otlp.encode import encode_resource, encode_scope
from ajolo_fanout.otlp.rendition import Envelope
from ajolo_fanout.otlp.wire import Tally, delimited, text_bytes

__all__ = ["MAX_KEPT", "Envelopes"]

MAX_KEPT = 1024
"""So many entries each memory of `Envelopes` has at most; one that is full starts afresh."""
_HASHABLE = frozenset({str, bool, int})


class Envelopes:
    """Makes envelopes and remembers them. Safe to share between threads.

    A program has few resources and scopes, so the first look is at identities (the objects are kept, so an
    identity stays theirs); a resource that a draft made anew for each span is looked up by its content.
    A processor that puts something unique on every resource costs one encoding a span, and no memory.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_identity: dict[tuple[int, int], tuple[Envelope, object, object]] = {}
        self._by_content: dict[tuple[bytes, bytes, bytes, bytes], Envelope] = {}
        self._resources: dict[Any, bytes] = {}

    @property
    def kept(self) -> int:
        """How many entries its three memories hold."""
        return len(self._by_identity) + len(self._by_content) + len(self._resources)

    def of(self, span: Any, tally: Tally) -> Envelope:
        """The envelope of a ReadableSpan or a draft.

        A draft's `resource` is a mapping. One that tells its SDK resource (`sdk_resource()`), the same
        object for many spans, is asked for that; else its `resource_schema_url` stands beside the mapping.
        """
        sdk_resource = getattr(span, "sdk_resource", None)
        resource = span.resource if sdk_resource is None else sdk_resource()
        schema_url = getattr(span, "resource_schema_url", None)
        return self.get(resource, span.instrumentation_scope, tally, schema_url=schema_url)

    def get(self, resource: Any, scope: Any, tally: Tally, *, schema_url: str | None = None) -> Envelope:
        """The envelope of `resource`, an SDK Resource or a mapping of its attributes, and `scope`."""
        if type(resource) is not Resource or not (scope is None or type(scope) is InstrumentationScope):
            return self._make(resource, scope, tally, schema_url)  # what may change has no lasting identity
        key = (id(resource), id(scope))
        found = self._by_identity.get(key)
        if found is None:
            found = (self._make(resource, scope, tally, schema_url), resource, scope)
            with self._lock:
                if len(self._by_identity) >= MAX_KEPT:
                    self._by_identity.clear()
                self._by_identity[key] = found
        return found[0]

    def _make(self, resource: Any, scope: Any, tally: Tally, schema_url: str | None) -> Envelope:
        if isinstance(resource, Mapping):
            attributes: Mapping[str, Any] = resource
        else:
            attributes = getattr(resource, "attributes", {})
            schema_url = schema_url or getattr(resource, "schema_url", None)
        content = (
            self._resource(attributes, tally),
            _url(schema_url, tally),
            encode_scope(scope, tally),
            _url(getattr(scope, "schema_url", None), tally),
        )
        with self._lock:
            found = self._by_content.get(content)
            if found is None:
                if len(self._by_content) >= MAX_KEPT:
                    self._by_content.clear()
                found = self._by_content[content] = Envelope(*content)
        return found

    def _resource(self, attributes: Mapping[str, Any], tally: Tally) -> bytes:
        kinds = tuple(map(type, attributes.values()))
        if not _HASHABLE.issuperset(kinds):
            return encode_resource(attributes, tally)
        key = (*attributes.items(), kinds)  # the types, because True equals 1
        found = self._resources.get(key)
        if found is None:
            found = encode_resource(attributes, tally)
            with self._lock:
                if len(self._resources) >= MAX_KEPT:
                    self._resources.clear()
                self._resources[key] = found
        return found


def _url(url: str | None, tally: Tally) -> bytes:
    raw = text_bytes(url, tally)
    return delimited(b"\x1a", raw) if raw else b""
