"""`ajolo-fanout init`: a file to start from that is right as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tomli
from click.testing import CliRunner, Result

from ajolo_fanout.cli import init as module
from ajolo_fanout.cli.main import cli
from ajolo_fanout.config.document import parse
from ajolo_fanout.plan.advice import Surroundings, examine
from ajolo_fanout.plan.declarative import carry
from ajolo_fanout.plan.starter import starter
from ajolo_fanout.profiles import catalog


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "My Agent"
    folder.mkdir()
    monkeypatch.chdir(folder)


def init(*arguments: str, answers: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["init", *arguments], input=answers)


def problems(text: str) -> list[str]:
    """All that `check --allow-unset` has to say of a file."""
    found = examine(parse(text, "tracing.toml"), Surroundings({}, allow_unset=True))
    return [str(one) for one in found.problems]


@pytest.mark.parametrize(
    "types", [*([name] for name in catalog.names()), ["tempo", "otlp", "langfuse", "file"]]
)
def test_a_starter_is_right_as_it_stands(types: list[str]) -> None:
    """No error, no warning, within TOML 1.0, and editors find its schema."""
    text = starter(types).text
    assert problems(text) == []
    assert text.startswith("#:schema tracing.schema.json\n")
    assert list(tomli.loads(text)["backends"]) == types


@pytest.mark.parametrize("name", catalog.names())
def test_every_line_to_uncomment_is_right_when_uncommented(name: str) -> None:
    """One hash is a setting, two are prose: a user takes the hash away and it works."""
    lines = starter([name]).text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("# "):
            changed = [*lines[:number], line[2:], *lines[number + 1 :]]
            errors = examine(parse("\n".join(changed), "t.toml"), Surroundings({}, allow_unset=True)).errors
            assert errors == (), line


@pytest.mark.parametrize("name", catalog.names())
def test_no_credential_stands_in_a_starter_and_every_variable_is_listed(name: str) -> None:
    made = starter([name])
    table = tomli.loads(made.text)["backends"][name]
    for one in catalog.load(name).inputs:
        if one.secret and one.required:
            assert table[one.name] == f"${{{one.env}}}"
            assert one.env in made.variables


def test_it_writes_the_file_and_its_schema_and_says_what_to_set() -> None:
    done = init("--backend", "datadog", "--backend", "langfuse", "--backend", "datadog")
    assert done.exit_code == 0
    text = Path("tracing.toml").read_text(encoding="utf-8")
    assert 'name = "my-agent"' in text
    assert Path("tracing.schema.json").is_file()
    for name in ("DD_API_KEY", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        assert f"export {name}=" in done.output
    assert CliRunner().invoke(cli, ["check", "--allow-unset", "--strict"]).exit_code == 0


def test_it_never_overwrites_without_force() -> None:
    Path("tracing.toml").write_text("mine")
    done = init("--backend", "console")
    assert done.exit_code == 2
    assert "there already" in done.output
    assert Path("tracing.toml").read_text() == "mine"
    assert init("--backend", "console", "--force").exit_code == 0
    assert "console" in Path("tracing.toml").read_text()


def test_a_schema_that_is_there_is_left_alone() -> None:
    Path("tracing.schema.json").write_text("mine")
    assert init("--backend", "console", "--force").exit_code == 0
    assert Path("tracing.schema.json").read_text() == "mine"


def test_without_a_terminal_it_asks_nothing() -> None:
    done = init()
    assert done.exit_code == 2
    assert "--backend" in done.output
    assert not Path("tracing.toml").exists()


def test_in_a_terminal_it_asks_until_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in the answer is told at once, with what was meant."""
    monkeypatch.setattr(module, "_asks", lambda: True)
    done = init(answers="lang_fuse\ntempo, console\nshop\n")
    assert done.exit_code == 0, done.output
    assert 'did you mean "langfuse"' in done.output
    table = tomli.loads(Path("tracing.toml").read_text())
    assert list(table["backends"]) == ["tempo", "console"]
    assert table["service"]["name"] == "shop"


def test_an_unknown_type_is_exit_2_with_a_hint() -> None:
    done = init("--backend", "lang_fuse")
    assert done.exit_code == 2
    assert 'did you mean "langfuse"' in done.output


def test_a_folder_that_is_not_there_is_told_in_words() -> None:
    done = init("--backend", "console", "nosuch/tracing.toml")
    assert done.exit_code == 2
    assert "can't be written" in done.output


# From an OpenTelemetry declarative configuration.

YAML = """
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: shop}
    - {name: deployment.environment.name, value: "${env:STAGE:-dev}"}
    - {name: team.names, value: [a, b]}
    - {name: price, value: "5$ or $$6"}
  attributes_list: "region=eu,service.name=weaker"
  detection/development: {}
attribute_limits: {attribute_value_length_limit: 4096}
propagator: {composite: [{tracecontext: }]}
tracer_provider:
  processors:
    - batch:
        schedule_delay: 2000
        max_export_batch_size: 256
        export_timeout: "${TIMEOUT}"
        exporter:
          otlp_http:
            endpoint: https://user:s3cret@otel.example.com/v1/traces?key=s3cret
            headers:
              - {name: api-key, value: s3cret}
              - {name: x-team, value: agents}
            compression: gzip
            timeout: 1500
            tls: {ca_file: /etc/ca.pem}
    - batch:
        exporter:
          otlp_grpc:
            endpoint: tempo:4317
            tls: {insecure: true}
            headers_list: "x-scope-orgid=agents"
    - simple: {exporter: {console: }}
    - simple: {exporter: {otlp_file/development: {output_stream: file:///tmp/spans.jsonl}}}
    - simple: {exporter: {zipkin: {endpoint: x}}}
    - own_processor: {}
  limits: {attribute_count_limit: 64, event_attribute_count_limit: 3}
  sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0.25}}, local_parent_sampled: {always_on: }}}
meter_provider: {}
"""


def from_yaml(text: str, *arguments: str) -> Result:
    Path("otel.yaml").write_text(text, encoding="utf-8")
    return init("--from", "otel.yaml", *arguments)


def test_a_declarative_configuration_is_carried_over() -> None:
    """What has a counterpart stands in the file, which is right; what has none is named."""
    done = from_yaml(YAML)
    assert done.exit_code == 0, done.output
    text = Path("tracing.toml").read_text(encoding="utf-8")
    assert problems(text) == []
    table = tomli.loads(text)
    assert table["service"] == {"name": "shop", "environment": "${STAGE:-dev}"}
    assert table["resource"] == {"team.names": ["a", "b"], "price": "5$$ or $$6", "region": "eu"}
    assert table["limits"] == {"attribute_value_length_limit": 4096, "attribute_count_limit": 64}
    assert table["defaults"] == {"sampling": {"ratio": 0.25}}
    assert table["backends"] == {
        "collector": {
            "type": "otlp",
            "endpoint": "https://otel.example.com/v1/traces",
            "headers": {"api-key": "${API_KEY}", "x-team": "agents"},
            "compression": "gzip",
            "timeout": "1.5s",
            "tls": {"ca_file": "/etc/ca.pem"},
            "batch": {"schedule_delay": "2s", "max_export_batch_size": 256},
        },
        "collector_2": {
            "type": "otlp",
            "endpoint": "http://tempo:4317",
            "protocol": "grpc",
            "headers": {"x-scope-orgid": "agents"},
        },
        "console": {"type": "console"},
        "file": {"type": "file", "path": "/tmp/spans.jsonl"},
    }


def test_what_has_no_counterpart_is_named_and_no_credential_is_copied() -> None:
    done = from_yaml(YAML)
    for name in (
        "resource.detection/development",
        "propagator",
        "meter_provider",
        "tracer_provider.limits.event_attribute_count_limit",
        "tracer_provider.sampler.parent_based.local_parent_sampled",
        "tracer_provider.processors[0].batch.export_timeout",
        "tracer_provider.processors[0].batch.exporter.otlp_http.endpoint",
        "a credential is not copied; set API_KEY",
        "tracer_provider.processors[4].simple.exporter.zipkin",
        "tracer_provider.processors[5].own_processor",
    ):
        assert f"{name}" in done.output, name
    assert "s3cret" not in done.output + Path("tracing.toml").read_text()


def test_further_backends_come_beside_what_is_carried_over() -> None:
    assert from_yaml(YAML, "--backend", "langfuse", "--backend", "console").exit_code == 0
    text = Path("tracing.toml").read_text()
    assert problems(text) == []
    assert list(tomli.loads(text)["backends"]) == ["collector", "collector_2", "console", "file", "langfuse"]


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ({"always_on": None}, {"ratio": 1.0, "parent": "ignore"}),
        ({"always_off": None}, {"ratio": 0.0, "parent": "ignore"}),
        ({"trace_id_ratio_based": {"ratio": 0.5}}, {"ratio": 0.5, "parent": "ignore"}),
        ({"parent_based": {"root": {"always_on": None}}}, None),
        ({"parent_based": {"root": {"probability/development": {"ratio": 0.5}}}}, {"ratio": 0.5}),
        ({"jaeger_remote": {}}, None),
        ({"trace_id_ratio_based": {"ratio": "${R}"}}, None),
    ],
)
def test_samplers_keep_their_meaning(sampler: object, expected: object) -> None:
    """A sampler that doesn't ask the parent is one that ignores it here."""
    carried = carry({"file_format": "1.0", "tracer_provider": {"sampler": sampler}})
    assert carried.defaults.get("sampling") == expected
    assert bool(carried.left) == (expected is None and "parent_based" not in str(sampler))


@pytest.mark.parametrize(
    "text",
    ["a: [", "- 1", "", "file_format_: 1", "&a [*a]", "!!python/object:os.system x", "[" * 3000, "a: \x07"],
)
def test_what_is_no_such_configuration_is_told_in_words(text: str) -> None:
    done = from_yaml(text)
    assert done.exit_code == 2
    assert done.output.startswith("Error: otel.yaml: ")
    assert not Path("tracing.toml").exists()


ODD: tuple[object, ...] = (
    None,
    5,
    True,
    "x",
    [],
    {},
    [5],
    {"a": 1},
    [{"name": 5}],
    {1: {2: 3}},
    float("nan"),
)
PATHS = (
    ("resource",),
    ("resource", "attributes"),
    ("attribute_limits",),
    ("tracer_provider",),
    ("tracer_provider", "processors"),
    ("tracer_provider", "sampler"),
    ("tracer_provider", "sampler", "parent_based"),
    ("tracer_provider", "limits"),
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_values_of_odd_types_are_left_out_not_stumbled_over(path: tuple[str, ...], odd: object) -> None:
    whole: dict[str, object] = {"file_format": "1.0"}
    at = whole
    for part in path[:-1]:
        at[part] = {}
        at = at[part]  # type: ignore[assignment]
    at[path[-1]] = odd
    made = starter((), "agent", carry(whole))
    assert tomli.loads(made.text)["schema"] == 1


@pytest.mark.parametrize(
    "key", ["endpoint", "tls", "headers", "headers_list", "timeout", "compression", "encoding"]
)
@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("exporter", ["otlp_http", "otlp_grpc", "otlp", "otlp_file/development", "console"])
def test_exporters_with_odd_values_are_left_out_not_stumbled_over(
    exporter: str, key: str, odd: object
) -> None:
    processor = {"batch": {"exporter": {exporter: {key: odd}}, "schedule_delay": odd}}
    whole = {"file_format": "1.0", "tracer_provider": {"processors": [processor]}}
    assert tomli.loads(starter((), "agent", carry(whole)).text)["schema"] == 1


def test_without_pyyaml_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    done = from_yaml(YAML)
    assert done.exit_code == 2
    assert "pip install 'ajolo-fanout[yaml]'" in done.output


def test_lists_are_percent_decoded_as_opentelemetry_reads_them() -> None:
    exporter = {"otlp_http": {"headers_list": "x-team=a%20b"}}
    processors = [{"simple": {"exporter": exporter}}]
    carried = carry(
        {
            "file_format": "1.0",
            "resource": {"attributes_list": "region=eu%20west,half=5%"},
            "tracer_provider": {"processors": processors},
        }
    )
    assert carried.resource == {"region": "eu west", "half": "5%"}
    assert carried.backends[0].keys["headers"] == {"x-team": "a b"}


def test_json_goes_out_as_protobuf_and_what_stands_in_for_an_odd_endpoint_is_said() -> None:
    exporter = {"otlp_http": {"encoding": "json", "endpoint": ["x"]}}
    processors = [{"simple": {"exporter": exporter}}]
    carried = carry({"file_format": "1.0", "tracer_provider": {"processors": processors}})
    assert carried.backends[0].keys["endpoint"] == "http://localhost:4318"
    where = "tracer_provider.processors[0].simple.exporter.otlp_http"
    assert [one.split(": ")[0] for one in carried.left] == [where, f"{where}.endpoint"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_left_out(number: float) -> None:
    attributes = [{"name": "odd", "value": number}, {"name": "odder", "value": [number]}]
    carried = carry({"file_format": "1.0", "resource": {"attributes": attributes}})
    assert not carried.resource
    assert len(carried.left) == 2
