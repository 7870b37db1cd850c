"""Failure mode by protocol: outcome, counters, that the other backend lost nothing, that nobody waited.

The page on delivery shows the same table; `python -m tests.delivery.test_failures` writes it there.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from tests.delivery.hostile import (
    Hostile,
    cut_off_body,
    cut_off_head,
    drip,
    hang_on_answer,
    hang_on_connect,
    never_read,
    refused,
    reset_midway,
)
from tests.delivery.support import backend, rigged, with_files

from ajolo_fanout import Fanout
from ajolo_fanout.config.document import parse
from ajolo_fanout.health import BackendHealth, Counts
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for
from ajolo_fanout.testing.tls import Tls, make_tls
from ajolo_fanout.values import Duration

SPANS = 20
TIMEOUT = 2.0
"""Seconds for a request that gets no answer, which the program would wait for if it waited for any."""
LIMIT = 60.0
"""Seconds for what must happen, and for a request that gets its answer."""


@attrs.frozen
class Mode:
    """One way to fail, and what must come of it.

    Attributes:
        server: A context manager that yields the URL, or that and the authority to trust.
        kind: `delivered`, `partial`, `rejected` or `retry`; `halved` (delivered in smaller requests) or
            `later` (delivered with the second request, two seconds after the first).
        says: What the last error must say.
        rejected: Of a partial outcome.
    """

    server: Any
    kind: str
    says: str = ""
    rejected: int = 0


@contextlib.contextmanager
def otlp(protocol: str, **answer: Any) -> Iterator[str]:
    with OtlpServer(protocol, answer=Answer(**answer)) as server:
        yield server.endpoint
        server.release()


def doubtful_tls(folder: Path, fault: str) -> Tls:
    """A certificate of a trusted authority that is out of date, or is another host's."""
    authority = trustme.CA()
    past = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    if fault == "expired":
        issued = authority.issue_cert("127.0.0.1", not_after=past)
    else:
        issued = authority.issue_cert("elsewhere.example")
    ca_file, cert_file = folder / "ca.pem", folder / "cert.pem"
    authority.cert_pem.write_to_path(ca_file)
    issued.private_key_and_cert_chain_pem.write_to_path(cert_file)
    return Tls(ca_file, cert_file, cert_file, cert_file, cert_file)


@contextlib.contextmanager
def distrusted(protocol: str, fault: str) -> Iterator[Any]:
    """A server whose certificate is of an authority that nobody trusts, out of date, or another host's."""
    with tempfile.TemporaryDirectory() as folder:
        tls = make_tls(Path(folder)) if fault == "untrusted" else doubtful_tls(Path(folder), fault)
        with OtlpServer(protocol, tls=tls) as server:
            yield server.endpoint, None if fault == "untrusted" else tls.ca_file
            assert server.requests == []


@contextlib.contextmanager
def narrow(protocol: str, **refusal: Any) -> Iterator[str]:
    """A server that takes no more than five spans in a request."""

    def answer(request: ReceivedRequest) -> Answer:
        return Answer() if len(request.spans()) <= 5 else Answer(**refusal)

    with OtlpServer(protocol, answer=answer) as server:
        yield server.endpoint
        assert len(server.spans) == SPANS


@contextlib.contextmanager
def busy(protocol: str, **answer: Any) -> Iterator[str]:
    """A server that asks to be left alone for two seconds, once."""
    with OtlpServer(protocol, answer=[Answer(**answer, retry_after=2)]) as server:
        yield server.endpoint
        first, second = server.requests
        assert second.at - first.at >= 1.9


@contextlib.contextmanager
def hostile(behave: Any) -> Iterator[str]:
    with Hostile(behave) as server:
        yield server.url


@contextlib.contextmanager
def unknown_host() -> Iterator[str]:
    yield "http://nobody.invalid:4318"


def http(kind: str, says: str = "", rejected: int = 0, **answer: Any) -> Mode:
    return Mode(lambda: otlp("http/protobuf", rejected=rejected, **answer), kind, says, rejected)


def grpc(kind: str, says: str = "", rejected: int = 0, **answer: Any) -> Mode:
    return Mode(lambda: otlp("grpc", rejected=rejected, **answer), kind, says, rejected)


HTML = b"<!doctype html><title>Sign in</title>"

MODES = {
    "hang on connect": Mode(hang_on_connect, "retry", "no answer in time"),
    "hang on answer": Mode(lambda: hostile(hang_on_answer), "retry", "no answer in time"),
    "never reads": Mode(lambda: hostile(never_read), "retry", "no answer in time"),
    "slow drip": Mode(lambda: hostile(drip), "retry", "no answer in time"),
    "reset midway": Mode(lambda: hostile(reset_midway), "retry", "closed before the answer"),
    "cut off in the head": Mode(lambda: hostile(cut_off_head), "retry", "closed before the answer"),
    "cut off in the body": Mode(lambda: hostile(cut_off_body), "retry"),
    "refused": Mode(refused, "retry", "refused"),
    "unknown host": Mode(unknown_host, "retry", "can't be resolved"),
    "TLS untrusted": Mode(lambda: distrusted("http/protobuf", "untrusted"), "rejected", "ca_file"),
    "TLS expired": Mode(lambda: distrusted("http/protobuf", "expired"), "rejected", "expired"),
    "TLS of another host": Mode(
        lambda: distrusted("http/protobuf", "another host's"), "rejected", "verified"
    ),
    "301": http("rejected", "301", status=301, headers={"Location": "https://elsewhere.invalid/v1/traces"}),
    "200 with HTML": http("rejected", "HTML", body=HTML, content_type="text/html"),
    "200 with HTML called JSON": http("rejected", "HTML", body=HTML, content_type="application/json"),
    "200 with JSON": http("delivered", body=b'{"message": "OK"}', content_type="application/json"),
    "200 with some text": http("delivered", "isn't OTLP", body=b"thanks", content_type="text/plain"),
    "200 partial": http("partial", "quota", rejected=5, message="quota"),
    "200 wholly rejected": http("partial", "no such tenant", rejected=SPANS, message="no such tenant"),
    "200 partial in JSON": http(
        "partial",
        "some words",
        rejected=5,
        body=b'{"partialSuccess": {"rejectedSpans": "5", "errorMessage": "some words"}}',
        content_type="application/json",
    ),
    "202": http("delivered", status=202),
    "204": http("delivered", status=204),
    "400": http("rejected", "400 Bad Request", status=400, message="no good"),
    "401": http("rejected", "401", status=401),
    "403": http("rejected", "403", status=403),
    "404": http("rejected", "404", status=404),
    "413": Mode(lambda: narrow("http/protobuf", status=413), "halved"),
    "400 that names a size": Mode(
        lambda: narrow("http/protobuf", status=400, message="request body too large"), "halved"
    ),
    "429 with Retry-After 2": Mode(lambda: busy("http/protobuf", status=429), "later"),
    "429 with Retry-After 120": http("retry", "429", status=429, retry_after=120),
    "500": http("rejected", "500", status=500),
    "502": http("retry", "502", status=502),
    "503": http("retry", "503", status=503),
    "504": http("retry", "504", status=504),
    "408": http("rejected", "408", status=408),
    "closes without an answer": http("retry", "closed before the answer", drop=True),
    "gRPC hang on connect": Mode(hang_on_connect, "retry", "DEADLINE_EXCEEDED"),
    "gRPC hang on answer": grpc("retry", "DEADLINE_EXCEEDED", hang=True),
    "gRPC never speaks": Mode(lambda: hostile(hang_on_answer), "retry", "DEADLINE_EXCEEDED"),
    "gRPC slow drip": Mode(lambda: hostile(drip), "retry", ""),
    "gRPC reset midway": Mode(lambda: hostile(reset_midway), "retry", "UNAVAILABLE"),
    "gRPC refused": Mode(refused, "retry", "UNAVAILABLE"),
    "gRPC unknown host": Mode(unknown_host, "retry", "UNAVAILABLE"),
    "gRPC TLS untrusted": Mode(lambda: distrusted("grpc", "untrusted"), "rejected", "ca_file"),
    "gRPC TLS expired": Mode(lambda: distrusted("grpc", "expired"), "rejected", "can't be verified"),
    "gRPC TLS of another host": Mode(lambda: distrusted("grpc", "another host's"), "rejected", "verified"),
    "gRPC message too large": Mode(
        lambda: narrow(
            "grpc", code="RESOURCE_EXHAUSTED", message="grpc: received message larger than max (9 vs. 8)"
        ),
        "halved",
    ),
    "gRPC message too large, as tonic says it": Mode(
        lambda: narrow(
            "grpc",
            code="OUT_OF_RANGE",
            message="Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes",
        ),
        "halved",
    ),
    "gRPC RESOURCE_EXHAUSTED, RetryInfo 2": Mode(lambda: busy("grpc", code="RESOURCE_EXHAUSTED"), "later"),
    "gRPC DEADLINE_EXCEEDED": grpc("retry", "DEADLINE_EXCEEDED", status=504),
    "gRPC UNAVAILABLE": grpc("retry", "UNAVAILABLE", status=503),
    "gRPC UNAVAILABLE, RetryInfo 120": grpc("retry", "UNAVAILABLE", status=503, retry_after=120),
    "gRPC RESOURCE_EXHAUSTED": grpc("rejected", "RESOURCE_EXHAUSTED", code="RESOURCE_EXHAUSTED"),
    "gRPC RESOURCE_EXHAUSTED, RetryInfo": grpc(
        "retry", "RESOURCE_EXHAUSTED", code="RESOURCE_EXHAUSTED", retry_after=120
    ),
    "gRPC UNAUTHENTICATED": grpc("rejected", "UNAUTHENTICATED", status=401),
    "gRPC PERMISSION_DENIED": grpc("rejected", "PERMISSION_DENIED", status=403),
    "gRPC UNIMPLEMENTED": grpc("rejected", "UNIMPLEMENTED", status=404),
    "gRPC INTERNAL": grpc("rejected", "INTERNAL", status=500),
    "gRPC CANCELLED": grpc("retry", "CANCELLED", code="CANCELLED"),
    "gRPC ABORTED": grpc("retry", "ABORTED", code="ABORTED"),
    "gRPC DATA_LOSS": grpc("retry", "DATA_LOSS", code="DATA_LOSS"),
    "gRPC OUT_OF_RANGE": grpc("retry", "OUT_OF_RANGE", code="OUT_OF_RANGE", message="later"),
    "gRPC partial": grpc("partial", "quota", rejected=5, message="quota"),
    "gRPC wholly rejected": grpc("partial", "quota", rejected=SPANS, message="quota"),
}


HANGING = ("hang on connect", "hang on answer", "never reads", "never speaks", "slow drip")
"""The modes without an answer; in each of the others a request ends by itself, and is to be the only one."""


class Seen:
    """One backend of a running installation, as `health()` shows it."""

    def __init__(self, fanout: Fanout, name: str) -> None:
        self._fanout, self._name = fanout, name

    @property
    def health(self) -> BackendHealth:
        return self._fanout.health().backends[self._name]

    @property
    def counts(self) -> Counts:
        return self.health.counts


@contextlib.contextmanager
def installed(*backends: BackendPlan) -> Iterator[Fanout]:
    """An installation whose backends send when they have `SPANS` spans, in one request."""
    text = 'schema = 1\n[service]\nname = "program"\n[backends.stands_in]\ntype = "console"\n'
    plan = attrs.evolve(resolve(parse(text, "tracing.toml"), {}), backends=backends)
    fanout = Fanout(plan)
    try:
        yield fanout
    finally:
        fanout.shutdown(0)


def at_once(plan: BackendPlan) -> BackendPlan:
    batch = attrs.evolve(
        plan.settings.batch,
        max_export_batch_size=SPANS,
        schedule_delay=Duration(60),
        export_timeout=Duration(LIMIT),
    )
    return attrs.evolve(plan, settings=attrs.evolve(plan.settings, batch=batch))


def the_longest_wait(fanout: Fanout) -> float:
    """A program's thread traces; how long the slowest of its spans took it.

    Not counted: a collection of all that the tests' process holds, which takes most of a second on a busy machine.
    """
    tracer, slowest = fanout.provider.get_tracer("program"), 0.0
    gc.disable()
    try:
        for number in range(SPANS):
            started = time.monotonic()
            with tracer.start_as_current_span(f"span {number}", attributes={"payload": "x" * 500}):
                pass
            slowest = max(slowest, time.monotonic() - started)
    finally:
        gc.enable()
    return slowest


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_each_failure_has_its_outcome_and_harms_nobody_else(mode: str) -> None:
    case = MODES[mode]
    protocol = "grpc" if mode.startswith("gRPC") else "http/protobuf"
    with OtlpServer(protocol) as other, case.server() as found:
        url, ca_file = found if isinstance(found, tuple) else (found, None)
        timeout = TIMEOUT if mode.removeprefix("gRPC ") in HANGING else LIMIT
        broken = at_once(backend(url, protocol, name="broken", timeout=timeout))
        if ca_file is not None:
            broken = with_files(broken, ca_file=ca_file)
        with installed(broken, at_once(backend(other.endpoint, protocol, name="other"))) as fanout:
            bad, good = Seen(fanout, "broken"), Seen(fanout, "other")
            assert the_longest_wait(fanout) < TIMEOUT * 0.75, "the program waits for nobody"
            wait_for(lambda: good.counts.delivered == SPANS, LIMIT, "all spans at the other backend")
            wait_for(lambda: bad.health.state != "starting", LIMIT, "the broken backend's outcome")
            if case.kind == "retry":
                _is_to_be_sent_again(fanout, bad)
            else:
                wait_for(lambda: bad.counts.pending == 0, LIMIT, "each span's fate")
                _has_its_fate(bad, case)
            # What is noted beside a success comes a moment after the counts.
            wait_for(lambda: case.says in bad.health.last_error, LIMIT, f"{case.says}: {bad.health}")
            assert good.counts.delivered == SPANS
            assert good.health.state in ("ok", "stopped")


PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "delivery.md"
HEAD = "| what comes of a request | over HTTP | over gRPC |\n|---|---|---|\n"
WORDS = {
    "delivered": "delivered",
    "partial": "partial",
    "rejected": "rejected",
    "retry": "retry",
    "halved": "delivered, halved",
    "later": "retry, after the 2 s it asked for",
}


def table() -> str:
    """The modes as the page shows them."""
    rows: dict[str, dict[str, str]] = {}
    for name, mode in MODES.items():
        protocol = "grpc" if name.startswith("gRPC ") else "http"
        rows.setdefault(name.removeprefix("gRPC "), {})[protocol] = WORDS[mode.kind]
    lines = (f"| {name} | {row.get('http', '')} | {row.get('grpc', '')} |\n" for name, row in rows.items())
    return HEAD + "".join(lines)


def _around_the_table() -> tuple[str, str]:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEAD)
    while rest.startswith("|"):
        rest = rest.partition("\n")[2]
    return before, rest


def test_the_page_on_delivery_shows_this_table() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


def _is_to_be_sent_again(fanout: Fanout, bad: Seen) -> None:
    wait_for(lambda: bad.health.retry_spans == SPANS, LIMIT, "the batch in the retry store")
    counts = bad.counts
    assert bad.health.state == "retrying"
    assert (counts.pending, counts.delivered, dict(counts.lost)) == (SPANS, 0, {})
    assert bad.health.queued_spans == 0, "the queue doesn't wait for a retry"
    assert not fanout.shutdown(0)
    assert dict(bad.counts.lost) == {"shutdown": SPANS}
    assert bad.counts.pending == 0


def _has_its_fate(bad: Seen, case: Mode) -> None:
    counts = bad.counts
    lost = {"rejected": SPANS, "partial": case.rejected}.get(case.kind, 0)
    assert counts.delivered == SPANS - lost
    assert dict(counts.lost) == ({"rejected": lost} if lost else {})
    requests = {"halved": 7, "later": 2}.get(case.kind, 1)
    assert counts.requests == requests, "what is final isn't sent again"
    # It follows the counts, too, where it was "retrying" before.
    state = "failing" if lost == SPANS else "ok"
    wait_for(lambda: bad.health.state == state, LIMIT, f"{state}: {bad.health}")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_with_the_authority_s_file_it_is_trusted(protocol: str, tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    with (
        OtlpServer(protocol, tls=tls) as server,
        rigged(with_files(backend(server.endpoint, protocol), ca_file=tls.ca_file)) as rig,
    ):
        rig.offer(3)
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered == 3


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_server_that_wants_a_client_certificate_gets_it(protocol: str, tmp_path: Path) -> None:
    tls = make_tls(tmp_path, client_required=True)
    with OtlpServer(protocol, tls=tls) as server:
        plan = with_files(backend(server.endpoint, protocol), ca_file=tls.ca_file)
        client = {"cert_file": tls.client_cert_file, "key_file": tls.client_key_file}
        with rigged(plan, with_files(plan, **client)) as (without, with_one):
            with_one.offer(2)
            assert with_one.flush(), with_one.ledger.health()
            without.offer(2)
            wait_for(lambda: without.ledger.state in ("failing", "retrying"), 30, "the refusal")
            assert without.counts.delivered == 0
            assert "client certificate: `tls.cert_file`" in without.ledger.health().last_error


def test_verification_can_be_switched_off_over_http(tmp_path: Path) -> None:
    with (
        OtlpServer(tls=make_tls(tmp_path)) as server,
        rigged(with_files(backend(server.endpoint), insecure_skip_verify=True)) as rig,
    ):
        rig.offer(1)
        assert rig.flush(), rig.ledger.health()


if __name__ == "__main__":
    PAGE.write_text(table().join(_around_the_table()), encoding="utf-8")
