"""What may stand as `endpoint`, in headers and in inputs; a refusal names the nearest thing that works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.headers import authenticates
from ajolo_fanout.profiles.target import Finding, Target

MakeTarget: TypeAlias = "Callable[..., Target]"
MakeErrors: TypeAlias = "Callable[..., list[Finding]]"
Resolve: TypeAlias = "Callable[..., tuple[Any, list[Finding]]]"


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("tempo:4317", "http://tempo:4317"),
        ("localhost:4318", "http://localhost:4318"),
        ("10.0.0.7:4318/v1/traces", "http://10.0.0.7:4318/v1/traces"),
        ("collector.internal", "http://collector.internal"),
        ("collector.example.com", "https://collector.example.com"),
        ("//collector.example.com", "https://collector.example.com"),
    ],
)
def test_a_scheme_is_always_written(endpoint: str, shown: str, errors: MakeErrors) -> None:
    """The error shows the endpoint as it was meant."""
    [finding] = errors("otlp", endpoint=endpoint)
    assert finding.message == f"a scheme is always written: {shown}"


@pytest.mark.parametrize(
    ("endpoint", "word"),
    [
        ("grpc://tempo:4317", "scheme must be http or https"),
        ("unix:agent.sock", "unix socket"),
        ("unix://agent.sock", "unix socket"),
        ("unix:///var/run/", "unix socket"),
        ("unix:///var/run/agent.sock?hunter2", "unix socket"),
        ("unix:///" + "a" * 103, "unix socket"),
        ("http://user:hunter2@tempo:4318", "user or password"),
        ("https://tempo/v1/traces?key=hunter2", "query"),
        ("https://tempo/v1/traces?", "query"),
        ("https://tempo/v1/traces#hunter2", "fragment"),
        ("https://", "host"),
        ("https://tempo:99999", "port"),
        ("https://tempo:0", "host"),
        ("https://tempo:hunter2", "port"),
        ("https://tem po", "white space"),
        ("https://tempo\n:4318", "white space"),
        ("https://[::1", "brackets"),
        ("https://höst", "host"),
        ("user:hunter2@tempo:4318", "scheme"),
        ("", "scheme"),
    ],
)
def test_what_is_no_endpoint_is_refused_without_being_shown(
    endpoint: str, word: str, errors: MakeErrors
) -> None:
    """Credentials end up in endpoints; none is repeated."""
    for protocol in ("http/protobuf", "grpc"):
        [finding] = errors("otlp", endpoint=endpoint, protocol=protocol)
        assert finding.key == ("endpoint",)
        assert word in finding.message
        assert "hunter2" not in finding.message


@pytest.mark.parametrize("profile", ["otlp", "datadog_agent"])
def test_a_unix_socket_is_an_endpoint_for_grpc_where_the_profile_says_so(
    profile: str, target: MakeTarget
) -> None:
    """A key may go through it: it never leaves the machine."""
    made = target(profile, endpoint="unix:///run/agent.sock", protocol="grpc", headers={"x-api-key": "k"})
    assert (made.url, made.host, made.secure) == ("unix:///run/agent.sock", "/run/agent.sock", False)
    assert any("/run/agent.sock" in answer.hint for answer in made.answers)


def test_a_unix_socket_is_refused_over_http_and_where_the_profile_doesn_t_know_it(errors: MakeErrors) -> None:
    [finding] = errors("otlp", endpoint="unix:///run/agent.sock")
    assert 'protocol = "grpc"' in finding.message
    [finding] = errors("tempo", endpoint="unix:///run/agent.sock", protocol="grpc")
    assert "unix socket" in finding.message


def test_an_endpoint_from_the_environment_is_not_repeated(errors: MakeErrors) -> None:
    """A secret may have been put into the wrong variable."""
    [finding] = errors("otlp", endpoint=FromEnvironment("hunter2", ("OTLP_URL",), whole=True))
    assert "hunter2" not in finding.message
    assert "http://localhost:4318" in finding.message


def test_a_placeholder_for_an_unset_variable_is_no_further_error(resolve: Resolve) -> None:
    """The unset variable is reported already."""
    for text in ("placeholder", "http://placeholder:4317", "https://host/placeholder"):
        endpoint = FromEnvironment(text, ("HOST",), known=False)
        made, findings = resolve("langfuse", endpoint=endpoint, public_key="pk", secret_key="sk")
        assert findings == []
        assert made is not None
    site = FromEnvironment("placeholder", ("DD_SITE",), whole=True, known=False)
    made, findings = resolve("datadog", site=site, api_key="k")
    assert findings == []
    assert made is not None


def test_grpc_has_no_path(errors: MakeErrors, target: MakeTarget) -> None:
    """A final slash is none."""
    [finding] = errors("tempo", endpoint="http://tempo:4317/v1/traces", protocol="grpc")
    assert "write http://tempo:4317" in finding.message
    assert 'protocol = "http/protobuf"' in finding.message
    assert target("tempo", endpoint="http://tempo:4317/", protocol="grpc").url == "http://tempo:4317"


@pytest.mark.parametrize(
    ("endpoint", "url", "secure"),
    [
        ("http://tempo", "http://tempo:4317", False),
        ("https://tempo", "https://tempo:443", True),
        ("https://tempo:4317", "https://tempo:4317", True),
        ("http://[::1]", "http://[::1]:4317", False),
    ],
)
def test_grpc_scheme_and_default_port(endpoint: str, url: str, secure: bool, target: MakeTarget) -> None:
    """Plain for http, TLS for https."""
    made = target("tempo", endpoint=endpoint, protocol="grpc")
    assert made.url == url
    assert made.secure is secure


def test_tempo_and_otlp_need_an_endpoint(errors: MakeErrors) -> None:
    """Only the user can know it; the error shows one."""
    for name in ("tempo", "otlp"):
        [finding] = errors(name)
        assert "http://localhost:4318" in finding.message
        [finding] = errors(name, protocol="grpc")
        assert "http://localhost:4317" in finding.message


def test_everything_wrong_is_said_at_once(errors: MakeErrors) -> None:
    """A missing key, a wrong choice, a wrong path and a bad header in one go."""
    found = errors(
        "datadog",
        endpoint="https://proxy.example/elsewhere",
        headers={"x-a": "a\u0100"},
        intake="other",
        protocol="grpc",
    )
    assert {(finding.key, finding.code) for finding in found} == {
        ((), "missing-input"),
        (("intake",), "bad-choice"),
        (("headers", "x-a"), "header-value"),
        (("protocol",), "protocol"),
    }
    found = errors("langfuse", endpoint="https://proxy.example/elsewhere")
    assert [finding.code for finding in found] == ["missing-input", "missing-input", "endpoint-path"]


def test_a_missing_input_says_what_may_be_written(errors: MakeErrors) -> None:
    """The choices, the alternative, and the variable that usually holds it."""
    [finding] = errors("datadog", api_key="k")
    assert "us1, us3, us5, eu, ap1, ap2, uk1, us1_fed, us2_fed" in finding.message
    assert "`endpoint`" in finding.message
    [finding] = errors("datadog", site="us1")
    assert 'api_key = "${DD_API_KEY}"' in finding.message


def test_a_misspelt_choice_is_answered_with_the_nearest(errors: MakeErrors) -> None:
    """By name, and by value where values are taken."""
    [finding] = errors("datadog", site="us1-fed", api_key="k")
    assert 'did you mean "us1_fed"?' in finding.message
    [finding] = errors("datadog", site="datadog.eu", api_key="k")
    assert 'did you mean "datadoghq.eu"?' in finding.message


def test_a_key_pasted_as_a_choice_is_not_repeated(errors: MakeErrors) -> None:
    """Long texts and those from the environment stand as dots."""
    key = "0123456789abcdef" * 2
    for pasted in (key, FromEnvironment("short", ("DD_SITE",), whole=True)):
        [finding] = errors("datadog", site=pasted, api_key="k")
        assert pasted not in finding.message
        assert '"…"' in finding.message


@pytest.mark.parametrize("region", ["evil.example/", "x@evil.example", "prod_eu", "", "-", "EU", "a.b"])
def test_free_text_can_not_move_the_host(region: str, errors: MakeErrors) -> None:
    """A region is letters, digits and single hyphens."""
    [finding] = errors("grafana_cloud", region=region, instance_id="1", token="glc_x")
    assert finding.key == ("region",)


@pytest.mark.parametrize(
    "bad", ["hunter2\nx: y", "hunter2\r", "hunter2\0", "hunter2\u0141", " hunter2", "", "\t"]
)
def test_a_secret_that_no_header_can_carry_is_refused_unseen(bad: str, errors: MakeErrors) -> None:
    """Line breaks (header injection), other alphabets, stray white space, nothing at all."""
    found = errors("datadog", site="us1", api_key=bad)
    assert {finding.key for finding in found} == {("api_key",)}
    assert all("hunter2" not in finding.message for finding in found)


@pytest.mark.parametrize("bad", ["sk\n", "sk\r\nx: y", "", " sk"])
def test_base64_hides_no_broken_secret(bad: str, errors: MakeErrors) -> None:
    """What stands inside Basic is looked at before it is encoded."""
    [finding] = errors("langfuse", region="eu", public_key="pk", secret_key=bad)
    assert finding.key == ("secret_key",)
    [finding] = errors("langfuse", region="eu", public_key="p:k", secret_key="sk")
    assert finding.key == ("public_key",)


def test_grpc_metadata_is_ascii(errors: MakeErrors, target: MakeTarget) -> None:
    """Latin-1 is for HTTP only."""
    table = {"endpoint": "http://localhost:4317", "tenant": "größe"}
    [finding] = errors("tempo", **table, protocol="grpc")
    assert "ASCII" in finding.message
    table["endpoint"] = "http://localhost:4318"
    assert target("tempo", **table).headers["x-scope-orgid"].reveal() == "größe"


def test_own_headers_lie_over_the_profiles(target: MakeTarget) -> None:
    """Whatever their case; names are sent in lower case."""
    made = target(
        "langfuse",
        region="eu",
        public_key="pk",
        secret_key="sk",
        headers={"X-Langfuse-Ingestion-Version": "3", "X-Team": "a"},
    )
    assert made.headers["x-langfuse-ingestion-version"].reveal() == "3"
    assert made.headers["x-team"].reveal() == "a"
    assert set(made.headers) == {"authorization", "x-langfuse-ingestion-version", "x-team"}


def test_own_headers_that_authenticate_are_keys_too(errors: MakeErrors) -> None:
    """An `otlp` backend has no inputs, but its headers may be keys."""
    [finding] = errors(
        "otlp", endpoint="http://collector.example:4318", headers={"Authorization": "Bearer x"}
    )
    assert finding.code == "plaintext-key"
    assert "authorization" in finding.message


@pytest.mark.parametrize("name", ["Content-Type", "content-length", "HOST", "Transfer-Encoding"])
def test_headers_of_the_sender_can_not_be_overwritten(name: str, errors: MakeErrors) -> None:
    """They would make two of one."""
    [finding] = errors("otlp", endpoint="http://localhost:4318", headers={name: "x"})
    assert finding.key == ("headers", name)


@pytest.mark.parametrize("name", ["grpc-timeout", "token-bin", "x!y"])
def test_grpc_metadata_names(name: str, errors: MakeErrors) -> None:
    """Some are kept by gRPC for itself."""
    [finding] = errors("otlp", endpoint="http://localhost:4317", protocol="grpc", headers={name: "x"})
    assert finding.key == ("headers", name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Authorization", True),
        ("x-api-key", True),
        ("DD-API-KEY", True),
        ("x-auth-token", True),
        ("cookie", True),
        ("X-Honeycomb-Team", True),
        ("x-honeycomb-dataset", False),
        ("x-scope-orgid", False),
        ("compute_stats", False),
    ],
)
def test_which_headers_authenticate(name: str, says: bool) -> None:
    """By their names."""
    assert authenticates(name) is says


@pytest.mark.parametrize("profile", catalog.names())
def test_what_a_profile_makes_of_a_secret_authenticates_under_any_type(profile: str) -> None:
    """A vendor's header that somebody writes under `headers` is as much a credential there."""
    loaded = catalog.load(profile)
    made = [rule.name for rule in loaded.headers if loaded.secret_inputs().intersection(rule.sources())]
    assert [name for name in made if not authenticates(name)] == []
