"""Span processors on the provider that aren't ours: named once each, and warned of where they send twice.

Vendors' SDKs put their own processor on whatever provider is global. That is fine beside ours, and easily
overlooked; where it sends to the host of a backend of the file, every span arrives there twice, once without
what the file says about redaction and sampling.
"""

from __future__ import annotations

import logging
import threading
import urllib.parse
import weakref
from collections.abc import Iterable, Mapping

import attrs
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from ajolo_fanout import sdk_internals

__all__ = ["VENDORS", "Others", "Vendor"]

_log = logging.getLogger("ajolo_fanout.install")


@attrs.frozen
class Vendor:
    """A library that puts a span processor of its own on the provider.

    Attributes:
        name: Whose it is.
        modules: The beginnings of the modules that its processor's or exporter's class is in.
        hosts: Where it sends, as ends of host names; for those whose exporter doesn't show it.
        switch: What turns it off, in the vendor's own terms.
        source: Where that is documented.
        path: What is in the path that it sends to on a host of the user's own, where its exporter is the SDK's.
    """

    name: str
    modules: tuple[str, ...]
    hosts: tuple[str, ...]
    switch: str
    source: str
    path: str = ""


VENDORS = (
    Vendor(
        "Langfuse's SDK",
        ("langfuse.",),
        ("langfuse.com",),
        "LANGFUSE_TRACING_ENABLED=false turns it off",
        "https://langfuse.com/faq/all/enable-disable-tracing",
    ),
    Vendor(
        "LangSmith's SDK",
        ("langsmith.",),
        ("smith.langchain.com",),
        "LANGSMITH_OTEL_ENABLED=false turns it off, where the program doesn't add OtelSpanProcessor itself",
        "https://docs.langchain.com/langsmith/trace-with-opentelemetry",
    ),
    Vendor(
        "Logfire's SDK",
        ("logfire.",),
        ("logfire-us.pydantic.dev", "logfire-eu.pydantic.dev", "logfire-api.pydantic.dev"),
        "LOGFIRE_SEND_TO_LOGFIRE=false turns it off",
        "https://logfire.pydantic.dev/docs/reference/configuration",
    ),
    Vendor(
        "Sentry's SDK",
        ("sentry_sdk.",),
        ("sentry.io",),
        'leave OTLPIntegration(), or SentrySpanProcessor and instrumenter="otel", out of the program',
        "https://docs.sentry.io/platforms/python/integrations/otlp/",
        path="/integration/otlp/",
    ),
    Vendor(
        "Phoenix's SDK",
        ("phoenix.otel",),
        ("phoenix.arize.com",),
        "leave phoenix.otel.register() out of the program",
        "https://arize.com/docs/phoenix/sdk-api-reference/python-packages/arize-phoenix-otel",
    ),
    Vendor(
        "an exporter of OpenTelemetry's own, as opentelemetry-instrument sets up",
        ("opentelemetry.exporter.otlp.",),
        (),
        "OTEL_TRACES_EXPORTER=none turns it off under opentelemetry-instrument",
        "https://opentelemetry.io/docs/zero-code/python/configuration/",
    ),
)
"""Who is known to do so. The first that fits is named."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OTLP_PORTS = frozenset({4317, 4318})


class Others:
    """What is on one provider besides ours."""

    def __init__(
        self, provider: TracerProvider, ours: SpanProcessor, urls: Mapping[str, str], *, named: bool
    ) -> None:
        """Look at what is there now.

        Args:
            provider: The provider.
            ours: Our processor on it.
            urls: Where each backend sends, by its name.
            named: Whether what is there has been named, by whoever attached to somebody else's provider.
        """
        self._provider = provider
        self._ours = ours
        self._urls = urls
        self._known: tuple[SpanProcessor, ...] = ()
        self._looking = threading.RLock()  # a handler of logs may look again
        self._look(named=named)

    def look(self) -> None:
        """Name what has come since the last look."""
        self._look(named=False)

    def after_fork(self) -> None:
        """In a forked child, where nobody holds what a thread of the parent held."""
        self._looking = threading.RLock()

    def _look(self, *, named: bool) -> None:
        present = sdk_internals.span_processors(self._provider) or ()
        if present is self._known:
            return
        with self._looking:
            before = (*self._known, self._ours)
            new = [one for one in present if all(one is not known for known in before)]
            self._known = present
        for one in new:
            twice, named_before = _twice(one, self._urls), _note_as_named(one)
            if twice:
                _log.warning("%s", twice)
            elif not (named or named_before):
                _log.warning(
                    "another span processor was added to the provider, and sends on its own: %s",
                    sdk_internals.describe_processor(one),
                )


_named: list[weakref.ref[SpanProcessor]] = []
"""Of all installations: the next one on the same provider needn't name them again."""


def _note_as_named(processor: SpanProcessor) -> bool:
    """Whether a processor is known already; from now on it is."""
    alive = [ref for ref in tuple(_named) if ref() is not None]
    known = any(ref() is processor for ref in alive)
    _named[:] = alive if known else [*alive, weakref.ref(processor)]
    return known


def _twice(processor: SpanProcessor, urls: Mapping[str, str]) -> str:
    """What to tell about a processor that sends where a backend does; empty where it doesn't."""
    endpoint = sdk_internals.endpoint_of(processor)
    what = sdk_internals.describe_processor(processor)
    vendor = _vendor(what, processor, endpoint)
    names = [name for name, url in urls.items() if _meets(endpoint, vendor, url)]
    if not names:
        return ""
    whose = f" of {vendor.name}" if vendor is not None else ""
    switch = vendor.switch if vendor is not None else "take it off where the program adds it"
    return (
        f"a span processor{whose} sends to the host of the backend {_listed(names)}: what it sends arrives "
        f"there twice, and without what the file says of it; {switch}. It is {what}"
    )


def _vendor(what: str, processor: SpanProcessor, endpoint: str) -> Vendor | None:
    host = _place(endpoint)[0]
    places = (f"{type(processor).__module__}.", what.partition("(")[2])
    for vendor in VENDORS:
        named = any(place.startswith(vendor.modules) for place in places) or _ends(host, vendor.hosts)
        if named or (vendor.path and vendor.path in endpoint):
            return vendor
    return None


def _meets(endpoint: str, vendor: Vendor | None, url: str) -> bool:
    host, port = _place(url)
    if not endpoint:
        return vendor is not None and _ends(host, vendor.hosts)
    other, other_port = _place(endpoint)
    if host in _LOOPBACK and other in _LOOPBACK:  # where anything may listen; a Collector on both its ports
        return port == other_port or {port, other_port} == _OTLP_PORTS
    return bool(host) and host == other


def _ends(host: str, ends: Iterable[str]) -> bool:
    return any(host == end or host.endswith(f".{end}") for end in ends)


def _place(url: str) -> tuple[str, int | None]:
    """Host and port of a URL, or of `host:port`; an empty host where there is none."""
    try:
        parts = urllib.parse.urlsplit(url if "//" in url else f"//{url}")
        port = parts.port
    except ValueError:  # whatever somebody's exporter holds there
        return "", None
    return (parts.hostname or "").lower(), port or {"http": 80, "https": 443}.get(parts.scheme)


def _listed(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
