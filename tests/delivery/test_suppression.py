"""Nothing that we send is ever traced: the real instrumentations are on, and make no span of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from tests.delivery.support import ENVELOPE, PROTOCOLS, Rig, backend, rigged

from ajolo_fanout.otlp.encode import encode_span
from ajolo_fanout.otlp.rendition import Rendition, sampled_context
from ajolo_fanout.otlp.wire import Tally
from ajolo_fanout.testing.server import Answer, OtlpServer


class Loop(SpanProcessor):
    """Offers every span that ends anywhere to one outlet: an unsuppressed request would feed it for ever."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.names: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.names.append(span.name)
        self.rig.ledger.seen()
        self.rig.outlet.offer_all(
            [Rendition(sampled_context(span.context), encode_span(span, Tally()), ENVELOPE)]
        )


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    made = TracerProvider(shutdown_on_exit=False)
    instrumentors = [URLLib3Instrumentor(), GrpcInstrumentorClient(), SQLite3Instrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=made)
    yield made
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("script", [[], [Answer(status=503)] * 2], ids=["at once", "sent again"])
def test_one_span_of_the_program_is_one_span_at_the_backend(
    protocol: str, script: list[Answer], provider: TracerProvider
) -> None:
    """Also from the thread that sends again, and from the one that flushes."""
    with OtlpServer(protocol, answer=script) as server, rigged(backend(server.endpoint, protocol)) as rig:
        loop = Loop(rig)
        provider.add_span_processor(loop)
        provider.get_tracer("program").start_span("the only one").end()
        assert rig.flush(10), rig.ledger.health()
        assert rig.flush()
        assert loop.names == ["the only one"]
        assert [span.name for span in server.spans] == ["the only one"]
        assert len(server.requests) == 1 + len(script)
        assert "traceparent" not in server.requests[-1].headers


def test_the_instrumentation_is_on_for_the_program_itself(provider: TracerProvider) -> None:
    """Else the test above could not fail."""
    import urllib3

    with OtlpServer() as server, rigged(backend(server.endpoint)) as rig:
        loop = Loop(rig)
        provider.add_span_processor(loop)
        urllib3.PoolManager().request("POST", server.endpoint, body=b"")
        assert loop.names == ["POST"]
