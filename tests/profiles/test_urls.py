"""Each vendor's addresses and headers, to the letter, held against the facts and not against the profile."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ajolo_fanout.profiles.target import Finding, Target

MakeTarget: TypeAlias = "Callable[..., Target]"
MakeErrors: TypeAlias = "Callable[..., list[Finding]]"
Resolve: TypeAlias = "Callable[..., tuple[Any, list[Finding]]]"

DATADOG_SITES = {
    "us1": "datadoghq.com",
    "us3": "us3.datadoghq.com",
    "us5": "us5.datadoghq.com",
    "eu": "datadoghq.eu",
    "ap1": "ap1.datadoghq.com",
    "ap2": "ap2.datadoghq.com",
    "uk1": "uk1.datadoghq.com",
    "us1_fed": "ddog-gov.com",
    "us2_fed": "us2.ddog-gov.com",
}
LANGFUSE_HOSTS = {
    "eu": "cloud.langfuse.com",
    "us": "us.cloud.langfuse.com",
    "jp": "jp.cloud.langfuse.com",
    "hipaa": "hipaa.cloud.langfuse.com",
}


def revealed(target: Target) -> dict[str, str]:
    """A target's headers as they are sent."""
    return {name: value.reveal() for name, value in target.headers.items()}


@pytest.mark.parametrize(("site", "host"), DATADOG_SITES.items())
def test_datadog_site(site: str, host: str, target: MakeTarget) -> None:
    """Nine sites, by name or in the DD_SITE form; the documented intake unless asked otherwise."""
    for written in (site, host):
        made = target("datadog", site=written, api_key="k")
        assert made.url == f"https://otlp.{host}/v1/traces"
        assert made.inputs["site"] == site
        assert made.self_test.url == f"https://api.{host}/api/v1/validate"
        assert {name: value.reveal() for name, value in made.self_test.headers.items()} == {"dd-api-key": "k"}
    old = target("datadog", site=site, api_key="k", intake="api")
    assert old.url == f"https://api.{host}/api/intake/otlp/v1/traces"


def test_datadog_headers(target: MakeTarget) -> None:
    """The key, and trace metrics unless they are not wanted; nothing that Datadog has dropped."""
    assert revealed(target("datadog", site="us1", api_key="k")) == {
        "dd-api-key": "k",
        "compute_stats": "true",
    }
    assert revealed(target("datadog", site="us1", api_key="k", compute_stats=False)) == {"dd-api-key": "k"}


@pytest.mark.parametrize("site", DATADOG_SITES)
def test_datadog_llmobs_is_said_either_way(site: str, target: MakeTarget) -> None:
    """True, false on the government sites, and always what the user says."""
    default = site not in ("us1_fed", "us2_fed")
    assert dict(target("datadog", site=site, api_key="k").resource) == {"dd_llmobs_enabled": default}
    for said in (True, False):
        made = target("datadog", site=site, api_key="k", llmobs=said)
        assert dict(made.resource) == {"dd_llmobs_enabled": said}


def test_datadog_limits_and_hints(target: MakeTarget) -> None:
    """15 MiB before compression; a 404 on one intake names the other."""
    documented = target("datadog", site="eu", api_key="k")
    old = target("datadog", site="eu", api_key="k", intake="api")
    assert documented.max_request_bytes == 15 * 1024 * 1024

    def hint(made: Target, status: int) -> str:
        return next(answer.hint for answer in made.answers if answer.fits(status, None, ""))

    assert 'intake = "api"' in hint(documented, 404)
    assert 'intake = "otlp"' in hint(old, 404)
    assert "otlp.datadoghq.eu" in hint(documented, 403)
    assert "`site`" in hint(documented, 403)
    assert "batch.max_export_batch_size" in hint(documented, 413)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.datadoghq.eu/api/intake/otlp/v1/traces",
        "https://api.datadoghq.eu/api/intake/otlp",
        "https://api.datadoghq.eu",
        "https://API.datadoghq.EU/api/intake/otlp/v1/traces/",
    ],
)
def test_the_old_recipes_address_is_recognised_when_pasted(endpoint: str, resolve: Resolve) -> None:
    """It works as the user wants it, and is warned about, with the documented way named."""
    made, findings = resolve("datadog", endpoint=endpoint, api_key="k")
    assert made.url == "https://api.datadoghq.eu/api/intake/otlp/v1/traces"
    assert made.inputs["intake"] == "api"
    assert made.inputs["site"] == "eu"
    [warning] = findings
    assert warning.severity == "warning"
    assert warning.key == ("endpoint",)
    assert 'intake = "otlp"' in warning.message


def test_the_old_recipe_by_name_is_warned_about_too(resolve: Resolve) -> None:
    """At the key that asks for it."""
    _, [warning] = resolve("datadog", site="us1", api_key="k", intake="api")
    assert (warning.severity, warning.key) == ("warning", ("intake",))
    _, findings = resolve("datadog", site="us1", api_key="k")
    assert findings == []


def test_a_datadog_endpoint_of_the_other_intake_is_refused(errors: MakeErrors) -> None:
    """An address that contradicts `intake` is named for what it is."""
    [finding] = errors(
        "datadog", endpoint="https://api.datadoghq.com/api/intake/otlp/v1/traces", intake="otlp", api_key="k"
    )
    assert 'intake = "api"' in finding.message


def test_a_government_endpoint_pasted_switches_llmobs_off(target: MakeTarget) -> None:
    """The site is read off a known host, so its defaults hold."""
    made = target("datadog", endpoint="https://otlp.ddog-gov.com/v1/traces", api_key="k")
    assert made.resource["dd_llmobs_enabled"] is False
    assert made.self_test.url == "https://api.ddog-gov.com/api/v1/validate"


def test_a_proxy_in_front_of_datadog_has_no_self_test(target: MakeTarget) -> None:
    """Whose site it is can't be known."""
    made = target("datadog", endpoint="https://proxy.example", api_key="k")
    assert made.url == "https://proxy.example/v1/traces"
    assert made.self_test is None
    assert made.resource["dd_llmobs_enabled"] is True


def test_datadog_agent(target: MakeTarget, errors: MakeErrors) -> None:
    """HTTP 4318, gRPC 4317, no key; the other protocol's port is refused by name."""
    assert target("datadog_agent").url == "http://localhost:4318/v1/traces"
    assert target("datadog_agent", protocol="grpc").url == "http://localhost:4317"
    assert revealed(target("datadog_agent")) == {}
    [finding] = errors("datadog_agent", endpoint="http://localhost:4317")
    assert "the Datadog Agent's gRPC port" in finding.message
    assert "http://localhost:4318" in finding.message
    assert 'protocol = "grpc"' in finding.message
    [finding] = errors("datadog_agent", endpoint="http://dd-agent:4318", protocol="grpc")
    assert "HTTP port" in finding.message
    assert "http://dd-agent:4317" in finding.message


def test_tempo(target: MakeTarget) -> None:
    """Both protocols; the tenant only when one is set."""
    assert target("tempo", endpoint="http://tempo:4318").url == "http://tempo:4318/v1/traces"
    made = target("tempo", endpoint="http://tempo:4317", protocol="grpc", tenant="agents")
    assert made.url == "http://tempo:4317"
    assert made.max_request_bytes == 4 * 1024 * 1024
    assert revealed(made) == {"x-scope-orgid": "agents"}
    assert revealed(target("tempo", endpoint="http://tempo:4318")) == {}


def test_grafana_cloud(target: MakeTarget) -> None:
    """The gateway of the region, Basic of instance id and token."""
    inputs = {"region": "prod-eu-west-2", "instance_id": "123456", "token": "glc_x"}
    made = target("grafana_cloud", **inputs)
    assert made.url == "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp/v1/traces"
    assert revealed(made) == {"authorization": "Basic " + base64.b64encode(b"123456:glc_x").decode()}
    assert target("grafana_cloud", **inputs, protocol="grpc").url == (
        "https://otlp-gateway-prod-eu-west-2.grafana.net:443"
    )


def test_grafana_clouds_old_address_is_refused(errors: MakeErrors) -> None:
    """<stack>.grafana.net/tempo takes no traces."""
    [finding] = errors(
        "grafana_cloud", endpoint="https://me.grafana.net/tempo", instance_id="1", token="glc_x"
    )
    assert finding.code == "endpoint-path"


@pytest.mark.parametrize(("region", "host"), LANGFUSE_HOSTS.items())
def test_langfuse_region(region: str, host: str, target: MakeTarget) -> None:
    """Four clouds, Basic of the two keys, the ingestion version."""
    made = target("langfuse", region=region, public_key="pk", secret_key="sk")
    assert made.url == f"https://{host}/api/public/otel/v1/traces"
    assert revealed(made) == {
        "authorization": "Basic " + base64.b64encode(b"pk:sk").decode(),
        "x-langfuse-ingestion-version": "4",
    }
    assert made.self_test.url == f"https://{host}/api/public/projects"
    assert made.max_request_bytes == 5_000_000


@pytest.mark.parametrize("path", ["", "/", "/api/public/otel", "/api/public/otel/v1/traces"])
def test_langfuse_self_hosted(path: str, target: MakeTarget) -> None:
    """Its host is enough."""
    made = target("langfuse", endpoint=f"http://localhost:3000{path}", public_key="pk", secret_key="sk")
    assert made.url == "http://localhost:3000/api/public/otel/v1/traces"
    assert made.self_test.url == "http://localhost:3000/api/public/projects"


@pytest.mark.parametrize(("region", "host"), [("us", "api.honeycomb.io"), ("eu", "api.eu1.honeycomb.io")])
def test_honeycomb_region(region: str, host: str, target: MakeTarget) -> None:
    """Two regions, both protocols, one header."""
    made = target("honeycomb", region=region, api_key="k")
    assert made.url == f"https://{host}/v1/traces"
    assert revealed(made) == {"x-honeycomb-team": "k"}
    assert made.self_test.url == f"https://{host}/1/auth"
    grpc = target("honeycomb", region=region, api_key="k", protocol="grpc")
    assert grpc.url == f"https://{host}:443"
    assert grpc.authority == f"{host}:443"
    assert grpc.self_test.url == f"https://{host}:443/1/auth"


CLASSIC = ["0123456789abcdef" * 2, "hcaic_" + "0a" * 29]


@pytest.mark.parametrize("key", CLASSIC)
def test_honeycomb_dataset_belongs_to_a_classic_key(key: str, resolve: Resolve) -> None:
    """There it is sent, and missed when it isn't there."""
    made, findings = resolve("honeycomb", region="us", api_key=key, dataset="agents")
    assert made.headers["x-honeycomb-dataset"].reveal() == "agents"
    assert findings == []
    _, [warning] = resolve("honeycomb", region="us", api_key=key)
    assert warning.severity == "warning"
    assert "`dataset`" in warning.message
    assert key not in warning.message


def test_honeycomb_dataset_with_another_key_is_warned_about(resolve: Resolve) -> None:
    """Honeycomb would ignore it."""
    _, [warning] = resolve("honeycomb", region="us", api_key="hcxik_short", dataset="agents")
    assert (warning.severity, warning.key) == ("warning", ("dataset",))


def test_console_and_file(target: MakeTarget) -> None:
    """No network: a stream, and a file with its rotation."""
    assert target("console").stream == "stderr"
    assert target("console", stream="stdout").url == "console:stdout"
    made = target("file", path="traces.jsonl")
    assert str(made.file) == "/srv/app/traces.jsonl"
    assert (made.max_file_bytes, made.rotations) == (64 * 1024 * 1024, 3)
    other = target("file", path="/var/log/t.jsonl", max_size="1MiB", rotations=0)
    assert (str(other.file), other.max_file_bytes, other.rotations) == ("/var/log/t.jsonl", 1024 * 1024, 0)


def test_otlp_takes_anything(target: MakeTarget) -> None:
    """A path is kept to the letter, none becomes OTLP's own."""
    assert target("otlp", endpoint="http://collector:4318").url == "http://collector:4318/v1/traces"
    assert target("otlp", endpoint="https://x.example/otlp/in/").url == "https://x.example/otlp/in/"
    assert target("otlp", endpoint="https://x.example", protocol="grpc").url == "https://x.example:443"
    assert target("otlp", endpoint="http://x.example/", protocol="grpc").url == "http://x.example:4317"
