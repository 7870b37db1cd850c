"""The Collector's real failures: what delivery says of each, and what arrives in the end.

What it answers, by the version of `builder.yaml`: a full `memory_limiter` 503 and UNAVAILABLE without a word of
when to come again; a request that is too large 400 and RESOURCE_EXHAUSTED; a wrong token 401 and
UNAUTHENTICATED.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.fanout import Fanout
from ajolo_fanout.health import BackendHealth
from ajolo_fanout.testing import BearerToken, OtelCollector, make_tls, wait_for
from ajolo_fanout.testing.collector_config import SPANS as SPANS_FILE
from ajolo_fanout.testing.collector_config import messages

from .support import PROTOCOLS, Write, all_of, at, fanned_out, opened

Start = Callable[..., OtelCollector]

FULL = {
    "processors": {"memory_limiter": {"check_interval": "10ms", "limit_mib": 1}},
    "service": {"pipelines": {"traces": {"processors": ["memory_limiter"]}}},
}
NARROW = [
    ("http/protobuf", {"http": {"max_request_body_size": 1024**2}}),
    ("grpc", {"grpc": {"max_recv_msg_size_mib": 1}}),
]
SPANS = 20


def spans(handle: Fanout, count: int = SPANS, size: int = 0, first: int = 0) -> None:
    tracer = handle.provider.get_tracer("tests")
    for number in range(first, first + count):
        tracer.start_span(f"span {number}", attributes={"payload": "x" * size}).end()


def each_once(collector: OtelCollector, count: int = SPANS) -> bool:
    """Whether every span is there, and none twice."""
    arrived = [span.name for span in all_of(collector, count)]
    return sorted(arrived) == sorted(f"span {number}" for number in range(count))


@pytest.mark.parametrize(
    ("protocol", "said"), [("http/protobuf", "503"), ("grpc", "UNAVAILABLE")], ids=PROTOCOLS
)
def test_a_full_memory_limiter_is_waited_for(protocol: str, said: str, start: Start, write: Write) -> None:
    """Refused for now is not refused: the spans wait, and all arrive when it has room."""
    collector = start(config=FULL)
    with opened(write(f"[backends.one]\n{at(collector, protocol)}")) as handle:
        spans(handle)
        wait_for(lambda: said in handle.health().backends["one"].last_error, 30, f"an answer of {said}")
        health = handle.health().backends["one"]
        assert health.state == "retrying"
        assert (health.counts.delivered, health.counts.pending) == (0, SPANS)
        assert "memory" in health.last_error
        assert collector.spans == []
        collector.restart(config={})
        assert handle.flush(30), handle.health()
        assert handle.health().backends["one"].counts.delivered == SPANS
    assert each_once(collector)


@pytest.mark.parametrize(("protocol", "limit"), NARROW, ids=PROTOCOLS)
def test_a_request_that_is_too_large_is_halved_until_it_fits(
    protocol: str, limit: dict[str, Any], start: Start, write: Write
) -> None:
    """Twenty spans of 200 KB in one request, to a Collector that takes one MiB."""
    collector = start(config={"receivers": {"otlp": {"protocols": limit}}})
    knobs = {"batch__schedule_delay": "60s", "compression": "none"}
    with opened(write(f"[backends.one]\n{at(collector, protocol, **knobs)}")) as handle:
        spans(handle, size=200_000)
        assert handle.flush(30), handle.health()
        assert handle.health().backends["one"].counts.delivered == SPANS
    collector.wait_for_spans(SPANS)
    requests, _ = messages((collector.folder / SPANS_FILE).read_bytes())
    assert each_once(collector)
    assert len(requests) >= 4, "five such spans fit into one MiB, and no more"


@pytest.mark.parametrize(("protocol", "limit"), NARROW, ids=PROTOCOLS)
def test_a_span_that_is_too_large_alone_arrives_without_what_makes_it_so(
    protocol: str, limit: dict[str, Any], start: Start, write: Write
) -> None:
    """Its trace keeps its shape, and the span says what is missing."""
    collector = start(config={"receivers": {"otlp": {"protocols": limit}}})
    with opened(write(f"[backends.one]\n{at(collector, protocol, compression='none')}")) as handle:
        spans(handle, 1, size=2_000_000)
        assert handle.flush(30), handle.health()
        assert handle.health().backends["one"].counts.delivered == 1
    [span] = collector.wait_for_spans(1)
    assert span.attributes == {"ajolo_fanout.limited": ["payload"]}
    assert span.dropped_attributes == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_collector_that_wants_a_client_certificate(
    protocol: str, start: Start, write: Write, tmp_path: Path
) -> None:
    """With the certificate it is delivered. Without it nothing is, and health says what may be missing."""
    tls = make_tls(tmp_path, client_required=True)
    collector = start(tls=tls)
    shown = {"tls__cert_file": tls.client_cert_file, "tls__key_file": tls.client_key_file}
    text = f"[backends.shown]\n{at(collector, protocol, tls__ca_file=tls.ca_file, **shown)}"
    text += "[shutdown]\ntimeout = '1s'\n"
    text += f"[backends.hidden]\n{at(collector, protocol, tls__ca_file=tls.ca_file)}"
    with opened(write(text)) as handle:
        spans(handle)

        def backend(name: str) -> BackendHealth:
            return handle.health().backends[name]

        wait_for(lambda: backend("shown").counts.delivered == SPANS, 30, "what is delivered")
        hint = "client certificate: `tls.cert_file`"
        wait_for(lambda: hint in backend("hidden").last_error, 30, "what may be missing")
        assert backend("hidden").counts.delivered == 0
    assert each_once(collector)


@pytest.mark.parametrize(
    ("protocol", "said"), [("http/protobuf", "401"), ("grpc", "UNAUTHENTICATED")], ids=PROTOCOLS
)
def test_a_wrong_token_is_rejected_and_never_repeated(
    protocol: str, said: str, start: Start, write: Write
) -> None:
    """The Collector's answer quotes the token that it got; health doesn't."""
    collector = start(auth=BearerToken("the-right-one"))
    text = at(collector, protocol, headers={"authorization": "Bearer the-wrong-0ne"})
    health = fanned_out(write(f"[backends.one]\n{text}"), "it").health().backends["one"]
    assert dict(health.counts.lost) == {"rejected": 1}
    assert said in health.last_error
    assert "credentials" in health.last_error
    assert "the-wrong-0ne" not in str(health)
    collector.stop()
    assert collector.spans == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_restart_in_the_middle_loses_nothing(protocol: str, start: Start, write: Write) -> None:
    """Spans end just before it goes, while it is away, and after it has come back; each arrives, once."""
    collector = start()
    with opened(write(f"[backends.one]\n{at(collector, protocol)}")) as handle:

        def while_it_is_away() -> None:
            spans(handle, first=SPANS)
            wait_for(lambda: handle.health().backends["one"].state == "retrying", 30, "a failure")

        spans(handle)
        collector.wait_for_spans(1)
        collector.restart(meanwhile=while_it_is_away)
        spans(handle, first=2 * SPANS)
        assert handle.flush(60), handle.health()
        counts = handle.health().backends["one"].counts
        assert (counts.delivered, dict(counts.lost)) == (3 * SPANS, {})
    assert each_once(collector, 3 * SPANS)
