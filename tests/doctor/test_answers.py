"""The doctor over HTTP and gRPC: what each way to answer, or not to, is called, and what is to be done."""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Iterator

import pytest
from tests import own
from tests.delivery.hostile import Hostile, answering, never_read, reset_midway
from tests.doctor.support import BOTH, Protocol, backend, diagnosed, examined, hosts, names, one

from ajolo_fanout.doctor.findings import Diagnosis
from ajolo_fanout.doctor.trial import ATTRIBUTE, SPAN_NAME
from ajolo_fanout.testing import Answer, FakeBackend, OtlpServer

HONEYCOMB = """
[backends.bee]
type = "honeycomb"
region = "eu"
api_key = "the-right-key"
"""


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest) -> Iterator[OtlpServer]:
    with OtlpServer(request.param) as running:
        yield running


def test_a_span_that_arrived_is_fine(server: OtlpServer) -> None:
    """Marked, by the file's own service, and named so that a person can find it."""
    found = diagnosed(backend(server.endpoint, server.protocol))
    assert (found.verdict, found.fine, found.next) == ("fine", True, "")
    assert {check.status for check in found.checks} <= {"ok", "skipped"}
    [span] = server.spans
    assert (span.name, span.attributes[ATTRIBUTE], span.parent_id) == (SPAN_NAME, "b", "")
    assert span.resource["service.name"] == "patient"
    assert span.trace_id in one(found, "span").said


def test_it_goes_through_the_backends_own_pipeline() -> None:
    """Processors, redaction, headers and compression are the file's."""
    more = """
compression = "gzip"
headers = { "x-team" = "agents" }
redaction.mask = ["deployment.*"]
[[backends.b.processors]]
type = "set"
attributes = { "deployment.region" = "eu-west-1", "added" = "yes" }
"""
    with OtlpServer() as server:
        assert diagnosed(backend(server.endpoint, more=more)).verdict == "fine"
        [span] = server.spans
        [post] = [request for request in server.requests if request.method == "POST"]
    assert span.attributes["added"] == "yes"
    assert span.attributes["deployment.region"] != "eu-west-1"
    assert (post.headers["content-encoding"], post.headers["x-team"]) == ("gzip", "agents")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('select.include = ["llm"]', "filtered out by select.include (tracing.toml:8)"),
        ('select.exclude = [{ name = "ajolo*" }]', "filtered out by select.exclude (tracing.toml:8)"),
        ("sampling.ratio = 0.0", "sampled out by sampling.ratio (tracing.toml:8)"),
        (
            'sampling.ratio = 0.0\nsampling.keep = [{ name = "e", match = { status = "error" } }]',
            "sampled out by sampling.ratio (tracing.toml:8)",
        ),
        ('select.include = ["llm"]\nselect.orphans = "reparent"', "filtered out by select.include"),
    ],
)
def test_no_rule_keeps_the_span_back_and_the_doctor_says_what_the_plan_would_do(
    rule: str, words: str
) -> None:
    with OtlpServer() as server:
        found = diagnosed(backend(server.endpoint, more=rule))
        assert found.verdict == "fine"
        assert len(server.spans) == 1
    assert words in one(found, "plan").said


def asked_over(protocol: Protocol, known: str) -> tuple[Diagnosis, int]:
    """Honeycomb's diagnosis where it knows the key `known`, and how many spans it took.

    Its check of the key is asked over HTTP, whatever spans are sent by.
    """
    inputs = {"region": "eu", "api_key": known}
    with (
        FakeBackend("honeycomb", inputs=inputs) as api,
        FakeBackend("honeycomb", protocol, inputs=inputs) as intake,
    ):
        route = hosts({"api.eu1.honeycomb.io": intake.endpoint, "api.eu1.honeycomb.io/1/auth": api.endpoint})
        found = diagnosed(f'{HONEYCOMB}protocol = "{protocol}"\n', route=route)
        return found, len(intake.spans)


@pytest.mark.parametrize("protocol", BOTH)
def test_a_vendor_with_a_check_of_its_own_is_asked_first(protocol: Protocol) -> None:
    found, taken = asked_over(protocol, "the-right-key")
    assert (found.verdict, taken) == ("fine", 1)
    assert names(found) == ["connect", "clock", "credentials", "span"]
    assert {check.status for check in found.checks} == {"ok"}
    assert "team in this region" in one(found, "credentials").said


@pytest.mark.parametrize("protocol", BOTH)
def test_a_wrong_key_is_told_by_both_the_vendors_check_and_the_span(protocol: Protocol) -> None:
    found, taken = asked_over(protocol, "another-key")
    assert (found.verdict, taken) == ("key-refused", 0)
    assert one(found, "credentials").code == one(found, "span").code == "key-refused"
    assert "check `api_key` and `region`" in found.next
    assert "--find-site" in found.next


def test_a_key_that_is_valid_and_still_refused_lacks_a_right() -> None:
    """A valid key doesn't prove that it may send traces."""
    with FakeBackend("honeycomb", inputs={"region": "eu", "api_key": "the-right-key"}) as bee:
        bee.answer = lambda request: Answer(status=403) if request.method == "POST" else None
        found = diagnosed(HONEYCOMB, route=hosts({"api.eu1.honeycomb.io": bee.endpoint}))
    assert found.verdict == "key-refused"
    assert one(found, "credentials").status == "ok"
    assert "may lack a right" in found.next
    assert "make an ingest key" in found.next


def test_a_check_that_gives_no_clear_answer_is_a_warning() -> None:
    """The span decides."""
    with FakeBackend("honeycomb", inputs={"region": "eu", "api_key": "the-right-key"}) as bee:
        bee.answer = lambda request: Answer(status=429) if request.method == "GET" else None
        found = diagnosed(HONEYCOMB, route=hosts({"api.eu1.honeycomb.io": bee.endpoint}))
    assert found.verdict == "fine"
    assert one(found, "credentials").status == "warning"
    assert one(found, "credentials").next == "asked too often; wait a minute"


CASES: list[tuple[str, Answer, str, str]] = [
    ("wrong-path", Answer(status=404), "wrong-path", "OTLP's own path is /v1/traces"),
    ("no post", Answer(status=405), "wrong-path", "OTLP's own path is /v1/traces"),
    ("redirect", Answer(status=302, headers={"Location": "https://login.example"}), "not-otlp", "`endpoint`"),
    (
        "website",
        Answer(body=b"<!doctype html><html><body>Welcome</body></html>", content_type="text/html"),
        "not-otlp",
        "address of a website",
    ),
    ("busy", Answer(status=503), "busy", "wait"),
    ("too often", Answer(status=429), "busy", "wait"),
    ("bad request", Answer(status=400, message="no such tenant"), "rejected", "the answer says why"),
    ("partly", Answer(rejected=1, message="span too old"), "rejected", "the answer says why"),
    ("key", Answer(status=401), "key-refused", "`headers`"),
    (
        "nginx without a client certificate",
        Answer(status=400, message="<h1>400 Bad Request</h1> No required SSL certificate was sent"),
        "client-certificate",
        "`tls.cert_file`",
    ),
    ("cut off", Answer(drop=True), "cut-off", "`endpoint`"),
]


@pytest.mark.parametrize(
    ("answer", "verdict", "advice"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_over_http_each_refusal_has_its_verdict_and_next_step(
    answer: Answer, verdict: str, advice: str
) -> None:
    with OtlpServer(answer=answer) as server:
        found = diagnosed(backend(server.endpoint))
    assert found.verdict == verdict
    assert advice in found.next
    assert not found.fine


@pytest.mark.parametrize(
    ("answer", "verdict", "advice"),
    [
        (Answer(status=404, message="unknown service"), "wrong-path", 'protocol = "http/protobuf"'),
        (Answer(status=401), "key-refused", "`headers`"),
        (Answer(status=503, message="draining"), "busy", "wait"),
        (Answer(status=400, code="INVALID_ARGUMENT", message="no"), "rejected", "the answer says why"),
        (Answer(rejected=1, message="span too old"), "rejected", "the answer says why"),
    ],
)
def test_over_grpc_each_refusal_has_its_verdict_and_next_step(
    answer: Answer, verdict: str, advice: str
) -> None:
    with OtlpServer("grpc", answer=answer) as server:
        found = diagnosed(backend(server.endpoint, "grpc"))
    assert found.verdict == verdict
    assert advice in found.next


def test_a_wrong_path_of_a_known_vendor_is_told_in_its_words() -> None:
    """Tempo's API listens beside its OTLP receiver, and takes none."""
    with FakeBackend("tempo") as tempo:
        tempo.path = "/api/traces"
        found = diagnosed(f'[backends.t]\ntype = "tempo"\nendpoint = "{tempo.endpoint}"\n')
    assert found.verdict == "wrong-path"
    assert "its own API (3200) is not" in found.next
    assert found.next not in found.said


def test_http_where_the_server_speaks_grpc() -> None:
    with OtlpServer("grpc") as server:
        found = diagnosed(backend(server.endpoint))
    assert found.verdict == "wrong-protocol"
    assert 'protocol = "grpc"' in found.next


@pytest.mark.parametrize("kind", ["otlp", "tempo", "datadog_agent"])
def test_grpc_where_the_server_speaks_http(kind: str) -> None:
    """Whatever the profile has to say of the code that gRPC makes of it."""
    with OtlpServer() as server:
        found = diagnosed(backend(server.endpoint, "grpc").replace('"otlp"', f'"{kind}"'))
    assert found.verdict == "wrong-protocol"
    assert 'protocol = "http/protobuf"' in found.next


def test_an_answer_that_ends_in_its_middle_is_cut_off() -> None:
    with Hostile(reset_midway) as server:
        found = diagnosed(backend(server.url))
    assert found.verdict == "cut-off"


def test_no_answer_in_time(server: OtlpServer) -> None:
    """The request's own time-out bounds it, and says so."""
    server.answer = Answer(hang=True)
    found = diagnosed(backend(server.endpoint, server.protocol, 'timeout = "500ms"'), seconds=20)
    server.release()
    assert found.verdict == "no-answer"
    assert "timeout" in found.next


def test_a_server_that_reads_nothing_ends_by_the_doctors_own_time() -> None:
    with Hostile(never_read) as server:
        found = diagnosed(backend(server.url, more='timeout = "1h"'), seconds=2)
    assert found.verdict in ("no-answer", "unfinished")
    assert "--timeout" in found.next or "timeout" in found.next


@pytest.mark.parametrize(("minutes", "way"), [(-42, "ahead of"), (42, "behind"), (60 * 30, "behind")])
def test_a_clock_that_is_off_is_a_verdict_though_spans_are_taken(minutes: int, way: str) -> None:
    """Spans of another time are taken, and nobody finds them."""
    date = dt.datetime.now(dt.timezone.utc) + dt.timedelta(minutes=minutes)
    header = {"Date": email.utils.format_datetime(date, usegmt=True)}
    with OtlpServer(answer=Answer(headers=header)) as server:
        found = diagnosed(backend(server.endpoint))
    assert found.verdict == "clock-off"
    assert way in found.said
    assert f"{abs(minutes)} minutes" in found.said or "30 hours" in found.said
    assert one(found, "span").status == "ok"


def test_a_time_without_a_zone_is_gmt() -> None:
    """As HTTP has it: "-0000" says that no zone was said."""
    date = email.utils.format_datetime(dt.datetime.now(dt.timezone.utc)).replace("+0000", "-0000")
    with OtlpServer(answer=Answer(headers={"Date": date})) as server:
        assert one(diagnosed(backend(server.endpoint)), "clock").status == "ok"


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 32 Nov 2026 99:99:99 GMT"])
def test_a_server_without_a_time_leaves_the_clock_unknown(date: str) -> None:
    with OtlpServer(answer=Answer(headers={"Date": date})) as server:
        found = diagnosed(backend(server.endpoint))
    assert found.verdict == "fine"
    assert one(found, "clock").status == "skipped"


def test_an_answer_out_of_a_cache_does_not_accuse_the_clock() -> None:
    old = dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=2)
    headers = {"Date": email.utils.format_datetime(old, usegmt=True), "Age": "7200"}
    with OtlpServer(answer=Answer(headers=headers)) as server:
        assert one(diagnosed(backend(server.endpoint)), "clock").status == "ok"


def test_a_warning_beside_success_is_told() -> None:
    with OtlpServer(answer=Answer(message="your plan ends tomorrow")) as server:
        found = diagnosed(backend(server.endpoint))
    assert found.verdict == "fine"
    assert one(found, "span").status == "warning"
    assert "your plan ends tomorrow" in one(found, "span").said


def test_bytes_that_are_no_http_are_no_success() -> None:
    with Hostile(answering(b"220 mail.example ESMTP\r\n")) as server:
        found = diagnosed(backend(server.url))
    assert found.verdict == "cut-off"


@pytest.mark.parametrize("protocol", BOTH)
def test_a_stock_exporter_is_tried_and_its_request_judged_by_our_own(protocol: Protocol) -> None:
    """What a stock exporter took proves nothing; the same request, sent by us, does."""
    with OtlpServer(protocol) as server:
        found = diagnosed(backend(server.endpoint, protocol, 'exporter = "stock"'))
        assert len(server.spans) == 2
    assert found.verdict == "fine"
    assert "can't tell" in one(found, "stock").said
    assert one(found, "span").status == "ok"


def test_a_stock_exporter_that_takes_a_redirect_for_success_is_found_out() -> None:
    """Whether it reads 301 as success itself, or follows and is shown a page, as it does before 1.45."""
    with (
        Hostile(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html/>")) as page,
        OtlpServer(answer=Answer(status=301, headers={"Location": page.url})) as server,
    ):
        found = diagnosed(backend(server.endpoint, more='exporter = "stock"'))
    assert one(found, "stock").status == "ok"
    assert found.verdict == "not-otlp"


def test_a_step_that_fails_is_told_with_its_place() -> None:
    more = '[[backends.b.processors]]\ntype = "tests.own:raises"\n'
    with OtlpServer() as server:
        found = diagnosed(backend(server.endpoint, more=more))
        assert server.spans == []
    assert found.verdict == "step-failed"
    assert "own.py" in found.said


def test_a_step_that_never_comes_back_is_told_as_that() -> None:
    """Not as a backend that doesn't answer: it was never asked."""
    more = '[[backends.b.processors]]\ntype = "tests.own:sleeps_for_ever"\n'
    with OtlpServer() as server:
        found = diagnosed(backend(server.endpoint, more=more), seconds=5)
        own.release.set()
        posted = [request for request in server.requests if request.method == "POST"]
    own.release.clear()
    assert posted == []
    assert found.verdict == "step-failed"
    assert "came to no end" in found.said


def test_where_the_sdk_is_disabled_no_span_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    with OtlpServer() as server:
        found = diagnosed(backend(server.endpoint))
    assert (found.verdict, found.next) == ("sdk-disabled", "unset OTEL_SDK_DISABLED")


def test_many_backends_are_asked_side_by_side_and_each_is_told_in_the_files_order() -> None:
    """One that hangs delays no other's diagnosis, and nothing outlasts the time."""
    told: list[str] = []
    with OtlpServer() as good, OtlpServer(answer=Answer(hang=True)) as hanging:
        text = (
            f'[backends.slow]\ntype = "otlp"\nendpoint = "{hanging.endpoint}"\n'
            f'[backends.quick]\ntype = "otlp"\nendpoint = "{good.endpoint}"\n'
            '[backends.away]\ntype = "otlp"\nendpoint = "${NO_SUCH}"\noptional = true\n'
            f'[backends.resting]\ntype = "otlp"\nendpoint = "{good.endpoint}"\nenabled = false\n'
        )
        found = examined(
            text, seconds=5, tell=lambda step: told.append(step.backend if step.diagnosis else "")
        )
        hanging.release()
    assert [one.backend for one in found.backends] == ["slow", "quick", "away", "resting"]
    assert [one.verdict for one in found.backends] == ["no-answer", "fine", "off", "off"]
    assert [name for name in told if name] == ["quick", "slow"]
    assert not found.fine
    assert "NO_SUCH" in found.backends[2].said
