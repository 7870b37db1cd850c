"""A fake backend takes and refuses what the vendor would; what it does stands in the profile."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import attrs
import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.profiles.catalog import load, names
from ajolo_fanout.profiles.inputs import placeholder
from ajolo_fanout.profiles.target import Target, resolve_target
from ajolo_fanout.testing.fakes import FakeBackend
from ajolo_fanout.testing.server import GRPC_METHOD, Answer
from ajolo_fanout.values import Secret

OTLP = [name for name in names() if load(name).kind == "otlp"]
KEYED = [name for name in OTLP if load(name).secret_inputs()]


@attrs.frozen
class Reply:
    """What came back."""

    status: int
    content_type: str
    body: bytes


def body(note: str = "x") -> bytes:
    """A request of one span."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"t" * 16, b"s" * 8, "chat"
    attribute = span.attributes.add()
    attribute.key, attribute.value.string_value = "note", note
    return request.SerializeToString()


def target_at(
    fake: FakeBackend, inputs: Mapping[str, Any] | None = None, protocol: str = "http/protobuf"
) -> Target:
    """A target as a user's file would make it, at the fake's address."""
    profile = fake.profile
    required = {one.name: placeholder(one) for one in profile.inputs if one.required}
    given = {name: value for name, value in required.items() if name not in profile.location()}
    settings = BackendSettings(endpoint=fake.endpoint, protocol=protocol)  # type: ignore[arg-type]
    made, findings = resolve_target(profile, {**given, **(inputs or {})}, settings)
    assert made is not None, findings
    return made


def post(
    target: Target, *, url: str = "", data: bytes | None = None, method: str = "POST", **headers: str | None
) -> Reply:
    """One request as our own sender makes it, with headers replaced, or left out where None."""
    sent = {name: value.reveal() for name, value in target.headers.items()}
    sent["content-type"] = "application/x-protobuf"
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[dict-item]
    sent = {name: value for name, value in sent.items() if value is not None}
    payload = (body() if data is None else data) if method == "POST" else None
    request = urllib.request.Request(url or target.url, data=payload, headers=sent, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return Reply(answer.status, answer.headers.get("content-type", ""), answer.read())


def call(target: Target, data: bytes, metadata: Mapping[str, str] | None = None) -> grpc.StatusCode:
    """One gRPC call with the bytes passed through."""
    sent = {name: value.reveal() for name, value in target.headers.items()} if metadata is None else metadata
    with grpc.insecure_channel(target.authority) as channel:
        method = channel.unary_unary(GRPC_METHOD, lambda message: message, lambda message: message)
        try:
            method(data, timeout=10, metadata=tuple(sent.items()))
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("name", OTLP)
def test_what_the_profile_makes_is_taken(name: str) -> None:
    """The profile's own target, plain and compressed, arrives as spans."""
    with FakeBackend(name) as fake:
        target = target_at(fake)
        for data, encoding in ((body(), None), (gzip.compress(body()), "gzip")):
            reply = post(target, data=data, content_encoding=encoding)
            assert reply.status == fake.profile.behaviour.ok_status
        assert [span.name for span in fake.wait_for_spans(2)] == ["chat", "chat"]


@pytest.mark.parametrize(
    ("name", "status", "content_type", "text"),
    [
        ("datadog", 202, "application/x-protobuf", b""),
        ("langfuse", 200, "application/json", b'{"message":"OK"}'),
        ("honeycomb", 200, "application/x-protobuf", b""),
        ("grafana_cloud", 200, "application/x-protobuf", b""),
        ("tempo", 200, "application/x-protobuf", b""),
    ],
)
def test_success_is_the_vendors_own(name: str, status: int, content_type: str, text: bytes) -> None:
    """Datadog's 202, Langfuse's JSON, Honeycomb's empty body."""
    with FakeBackend(name) as fake:
        assert post(target_at(fake)) == Reply(status, content_type, text)


@pytest.mark.parametrize("name", [name for name in OTLP if name != "otlp"])
def test_another_path_is_404(name: str) -> None:
    """And nothing is taken."""
    with FakeBackend(name) as fake:
        target = target_at(fake)
        assert post(target, url=fake.endpoint + "/elsewhere").status == 404
        assert post(target, url=target.url + "/").status == 404
        assert fake.spans == []


@pytest.mark.parametrize(
    ("name", "missing", "wrong"),
    [("datadog", 403, 403), ("langfuse", 401, 401), ("honeycomb", 401, 401), ("grafana_cloud", 401, 401)],
)
def test_a_key_missing_or_wrong_is_refused(name: str, missing: int, wrong: int) -> None:
    """With the vendor's own status."""
    profile = load(name)
    inputs = {one.name: placeholder(one) for one in profile.inputs if one.required}
    with FakeBackend(name, inputs=inputs) as fake:
        target = target_at(fake)
        [header] = target.credentials
        assert post(target, **{header: None}).status == missing
        assert post(target, **{header: "wrong"}).status == wrong
        assert fake.spans == []
        assert post(target).status == profile.behaviour.ok_status


@pytest.mark.parametrize("name", KEYED)
def test_without_known_credentials_any_will_do_but_some_must_come(name: str) -> None:
    """For a file whose variables are not set."""
    with FakeBackend(name) as fake:
        target = target_at(fake)
        [header] = target.credentials
        assert post(target, **{header: None}).status == fake.profile.behaviour.missing_key
        assert post(target, **{header: "anything"}).status == fake.profile.behaviour.ok_status


@pytest.mark.parametrize(
    ("name", "status"),
    [("datadog", 415), ("langfuse", 400), ("honeycomb", 415), ("tempo", 415), ("otlp", 415)],
)
def test_a_wrong_content_type_is_refused(name: str, status: int) -> None:
    """415, Langfuse 400."""
    with FakeBackend(name) as fake:
        assert post(target_at(fake), content_type="text/plain").status == status


@pytest.mark.parametrize(("name", "status"), [("datadog", 415), ("langfuse", 400)])
def test_a_compression_not_taken_is_refused(name: str, status: int) -> None:
    """Deflate is HTTP's, and none of theirs."""
    import zlib

    with FakeBackend(name) as fake:
        reply = post(target_at(fake), data=zlib.compress(body()), content_encoding="deflate")
        assert reply.status == status


@pytest.mark.parametrize("name", OTLP)
def test_too_large_is_413_measured_before_compression(name: str) -> None:
    """A request that is small on the wire and large in memory is refused."""
    with FakeBackend(name, max_request_bytes=2000) as fake:
        target = target_at(fake)
        large = gzip.compress(body("x" * 5000))
        assert len(large) < 2000
        assert post(target, data=large, content_encoding="gzip").status == 413
        assert post(target).status == fake.profile.behaviour.ok_status
        assert len(fake.spans) == 1


@pytest.mark.parametrize("name", OTLP)
def test_the_limit_is_the_profiles(name: str) -> None:
    """Unless a test asks for another."""
    with FakeBackend(name) as fake:
        assert fake.max_request_bytes == target_at(fake).max_request_bytes


def test_what_does_not_parse_is_refused() -> None:
    """400, as OTLP says."""
    with FakeBackend("datadog") as fake:
        assert post(target_at(fake), data=b"\xff\xff").status == 400
        assert post(target_at(fake), method="GET").status == 405


@pytest.mark.parametrize("name", [name for name in OTLP if load(name).self_test])
def test_the_self_test_is_answered(name: str) -> None:
    """At the vendor's own path: valid, and invalid."""
    profile = load(name)
    test = profile.self_test
    assert test is not None
    path = test.url[test.url.index("/", 8 if test.url.startswith("https") else 0) :]
    inputs = {one.name: placeholder(one) for one in profile.inputs if one.required}
    with FakeBackend(name, inputs=inputs) as fake:
        target = target_at(fake)
        [header] = target.credentials
        verdicts = {one.status: one.verdict for one in test.answers}
        for changed, verdict in (({}, "valid"), ({header: "wrong"}, "invalid"), ({header: None}, "invalid")):
            reply = post(target, url=fake.endpoint + path, method="GET", **changed)
            assert verdicts[reply.status] == verdict
            json.loads(reply.body)


def test_each_datadog_intake_knows_its_own_path_only() -> None:
    """The fake of one answers 404 to the other's address."""
    with FakeBackend("datadog", inputs={"intake": "api"}) as old, FakeBackend("datadog") as documented:
        for fake, right, wrong in (
            (old, "/api/intake/otlp/v1/traces", "/v1/traces"),
            (documented, "/v1/traces", "/api/intake/otlp/v1/traces"),
        ):
            target = target_at(fake)
            assert post(target, url=fake.endpoint + right).status == 202
            assert post(target, url=fake.endpoint + wrong).status == 404


@pytest.mark.parametrize("name", ["honeycomb", "grafana_cloud"])
def test_over_grpc(name: str) -> None:
    """Taken, refused without or with a wrong key, refused when too large."""
    inputs = {one.name: placeholder(one) for one in load(name).inputs if one.required}
    with FakeBackend(name, "grpc", inputs=inputs, max_request_bytes=2000) as fake:
        target = target_at(fake, protocol="grpc")
        [header] = target.credentials
        assert call(target, body()) is grpc.StatusCode.OK
        assert call(target, body(), {}) is grpc.StatusCode.UNAUTHENTICATED
        assert call(target, body(), {header: "wrong"}) is grpc.StatusCode.UNAUTHENTICATED
        assert call(target, body("x" * 5000)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(fake.spans) == 1


@pytest.mark.parametrize("name", ["datadog", "langfuse"])
def test_a_vendor_without_grpc_refuses_it(name: str) -> None:
    """UNIMPLEMENTED, whatever comes."""
    with FakeBackend(name, "grpc") as fake:
        with grpc.insecure_channel(fake.endpoint.removeprefix("http://")) as channel:
            method = channel.unary_unary(GRPC_METHOD, lambda message: message, lambda message: message)
            with pytest.raises(grpc.RpcError) as caught:
                method(body(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert fake.spans == []


def test_a_tenant_that_is_given_must_come() -> None:
    """Routing headers are looked at like keys."""
    with FakeBackend("tempo", inputs={"tenant": "agents"}) as fake:
        assert post(target_at(fake, {"tenant": "agents"})).status == 200
        assert post(target_at(fake, {"tenant": "others"})).status == 401
        assert post(target_at(fake)).status == 401


def test_the_fake_of_a_target_wants_that_targets_credentials() -> None:
    """What `testing.fanout()` makes for each backend of a file."""
    settings = BackendSettings(headers={"x-gateway-key": Secret("g")})
    profile = load("langfuse")
    made, _ = resolve_target(
        profile, {"region": "eu", "public_key": "pk", "secret_key": Secret("sk")}, settings
    )
    assert made is not None
    with FakeBackend.of(made) as fake:
        local = attrs.evolve(made, url=fake.endpoint + "/api/public/otel/v1/traces")
        assert post(local).status == 200
        assert post(local, x_gateway_key=None).status == 401
        assert post(local, authorization="Basic eA==").status == 401


def test_a_script_has_its_say_first() -> None:
    """And then the vendor's behaviour again."""
    with FakeBackend("honeycomb", answer=[Answer(status=503)]) as fake:
        target = target_at(fake)
        assert [post(target).status for _ in range(3)] == [503, 200, 200]
        assert len(fake.spans) == 2


def test_what_is_not_sent_to_can_not_be_faked() -> None:
    """A console has no other side; an input that isn't there is a typing mistake."""
    with pytest.raises(ValueError, match="nothing to fake"):
        FakeBackend("console")
    with pytest.raises(ValueError, match="no input called"):
        FakeBackend("tempo", inputs={"tennant": "x"})
