"""`exporter = "stock"`: the project's own exporters, fed our spans, kept from the ambient environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.delivery.support import KEY, PROTOCOLS, backend, readable, rendition, rigged

from ajolo_fanout.testing.server import Answer, OtlpServer


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spans_are_handed_over_with_our_headers_and_no_others(
    protocol: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other-vendor=theirs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-one-more=theirs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "deflate")
    with OtlpServer(protocol) as server:
        with rigged(backend(server.endpoint, protocol, exporter="stock")) as rig:
            assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:1", "it is back"
            rig.ledger.seen()
            rig.outlet.offer_all([readable("hello")])
            assert rig.flush()
            assert rig.counts.handed_over == 1
            assert rig.ledger.state == "ok"
        [request] = server.requests
        assert [span.name for span in request.spans()] == ["hello"]
        assert request.headers["x-key"] == KEY
        assert not {"x-other-vendor", "x-one-more", "authorization"} & set(request.headers)
        assert request.headers.get("content-encoding") is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_it_fails_to_send_is_lost_as_rejected(protocol: str) -> None:
    with (
        OtlpServer(protocol, answer=Answer(status=400)) as server,
        rigged(backend(server.endpoint, protocol, exporter="stock")) as rig,
    ):
        rig.ledger.seen()
        rig.outlet.offer_all([readable("hello")])
        assert rig.flush()
        assert dict(rig.counts.lost) == {"rejected": 1}
        assert rig.ledger.state == "failing"


def test_a_rendition_without_its_span_is_an_error_that_harms_nobody() -> None:
    with OtlpServer() as server, rigged(backend(server.endpoint, exporter="stock")) as rig:
        rig.ledger.seen()
        rig.outlet.offer_all([rendition()])
        assert rig.flush()
        assert dict(rig.counts.lost) == {"error": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shutdown_beside_a_hung_server_ends_by_the_deadline(protocol: str) -> None:
    import time

    with (
        OtlpServer(protocol, answer=Answer(hang=True)) as server,
        rigged(backend(server.endpoint, protocol, exporter="stock", timeout=20)) as rig,
    ):
        rig.ledger.seen(3)
        for name in "abc":
            rig.outlet.offer_all([readable(name)])
        server.wait_for_requests(1)
        started = time.monotonic()
        assert not rig.shutdown(0.3)
        assert time.monotonic() - started < 5, "its own limit is 20 seconds"
        assert dict(rig.counts.lost) == {"shutdown": 3}
        server.release()
