"""The context in which instrumentations keep quiet, for our own threads: as the SDK sets it for exporters.

The SDK has no public name for it. But it sets it around every `export()`, which is public, and a context can
be kept.
"""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from typing import cast

import attrs
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext

from ajolo_fanout.otlp.rendition import sampled_context

__all__ = ["suppressed"]


@attrs.frozen
class _Sampled:
    """All that the SDK's processor looks at."""

    context: SpanContext


class _Catcher(SpanExporter):
    def __init__(self) -> None:
        self.caught = contextvars.Context()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the SDK's signature
        self.caught = contextvars.copy_context()
        return SpanExportResult.SUCCESS


def suppressed() -> contextvars.Context:
    """A context with nothing of the program's in it, in which nothing that is called is traced."""
    catcher = _Catcher()
    context = SpanContext(1, 1, is_remote=False)
    try:
        processor = SimpleSpanProcessor(catcher, meter_provider=NoOpMeterProvider())
    except TypeError:  # an SDK that doesn't count such things yet
        processor = SimpleSpanProcessor(catcher)
    contextvars.Context().run(processor.on_end, cast("ReadableSpan", _Sampled(sampled_context(context))))
    return catcher.caught
