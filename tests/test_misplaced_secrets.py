"""A credential that was written in the wrong place of the file is repeated nowhere: no message, no plan."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from ajolo_fanout import ConfigError, install_from_config
from ajolo_fanout.cli.main import main
from ajolo_fanout.config.document import parse
from ajolo_fanout.config.veil import veiled
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.steps.redaction.api_keys import VENDOR_KEYS

KEY = "sk-live-MARKED0123456789abcdef"
NAME = "sk_live_MARKED0123456789abcdef"
HEADER = f'"Authorization: Bearer {KEY}"'
SHORT = '"x-api-key: MARKED"'

HEAD = 'schema = 1\n[service]\nname = "agent"\n'
OTLP = f'{HEAD}[backends.otlp]\ntype = "otlp"\nendpoint = "http://localhost:4318"\n'
DATADOG = f'{HEAD}[backends.dd]\ntype = "datadog"\nsite = "eu"\n'

WRONG = {
    "a header as a key of a backend": f'{OTLP}{HEADER} = "x"',
    "a short one": f'{OTLP}{SHORT} = "x"',
    "a key as a key": f'{OTLP}{KEY} = "x"',
    "a header at the top": f'{HEADER} = "x"\n{OTLP}',
    "a header in [service]": f'schema = 1\n[service]\nname = "a"\n{HEADER} = "x"\n[backends.c]\ntype = "console"',
    "a header in [defaults]": f'{HEAD}[defaults]\n{HEADER} = "x"\n[backends.c]\ntype = "console"',
    "a key in [context]": f"{OTLP}[context]\n{KEY} = 1",
    "a backend that is off": f"{OTLP}enabled = false\n{HEADER} = 1",
    "a backend's name": f'{HEAD}[backends.{KEY}]\ntype = "otpl"',
    "a backend's quoted name": f'{HEAD}[backends.{HEADER}]\ntype = "console"',
    "a table's name": f"{OTLP}[{KEY}]\nx = 1",
    "an array's name": f"{OTLP}[[{KEY}]]\nx = 1",
    "a table twice": f"{OTLP}[backends.{HEADER}]\n[backends.{HEADER}]",
    "below a secret": f'{OTLP}api_key.{KEY} = "x"',
    "below a header": f'{OTLP}headers.authorization.{HEADER} = "x"',
    "a header's name": f'{OTLP}headers = {{ {HEADER} = "x" }}',
    "a short one as a header's name": f'{OTLP}headers = {{ {SHORT} = "x" }}',
    "in place of `file`": f'{DATADOG}api_key = {{ {KEY} = "x" }}',
    "a file's name": f'{DATADOG}api_key = {{ file = "{KEY}" }}',
    "a variable's name": f'{DATADOG}api_key = "${{{NAME}}}"',
    "an optional variable's name": f'{DATADOG}optional = true\napi_key = "${{{NAME}}}"',
    "an endpoint": f'{HEAD}[backends.c]\ntype = "otlp"\nendpoint = "{KEY}"',
    "a URL's password": f'{HEAD}[backends.c]\ntype = "otlp"\nendpoint = "https://u:{KEY}@example.com"',
    "a URL's user": f'{HEAD}[backends.c]\ntype = "otlp"\nendpoint = "https://{KEY}@example.com"',
    "a URL's query": f'{HEAD}[backends.c]\ntype = "otlp"\nendpoint = "https://example.com/?key={KEY}"',
    "a URL's port": f'{HEAD}[backends.c]\ntype = "otlp"\nendpoint = "https://example.com:{KEY}"',
    "a processor's key": f'{OTLP}processors = [{{ type = "set", {HEADER} = "x" }}]',
    "a processor's bare key": f'{OTLP}processors = [{{ type = "set", {KEY} = "x" }}]',
    "a processor's type": f'{OTLP}processors = [{{ type = "{KEY}" }}]',
    "a processor's module": f'{OTLP}processors = [{{ type = "{NAME}:x" }}]',
    "a processor's class": f'{OTLP}processors = [{{ type = "json:{NAME}" }}]',
    "a key of one's own": f'{OTLP}processors = [{{ type = "tests.own:Shorten", limit = 1, {KEY} = "x" }}]',
    "what one of one's own says": (
        f'{OTLP}processors = [{{ type = "tests.own:Shorten", limit = 0, names = ["{KEY}"] }}]'
    ),
    "a dialect": f'{OTLP}processors = [{{ type = "dialect", to = "{KEY}" }}]',
    "a key of a match": f'{OTLP}select.include = [{{ {HEADER} = "x" }}]',
    "a preset": f'{OTLP}select.include = ["{KEY}"]',
    "a kind": f'{OTLP}select.include = [{{ kind = "{KEY}" }}]',
    "a condition": f"{OTLP}select.include = [{{ attributes = {{ x = {{ {KEY} = true }} }} }}]",
    "a pattern": f'{OTLP}redaction.patterns = {{ x = "{KEY}(" }}',
    "a pattern's name": f'{OTLP}redaction.patterns = {{ {KEY} = "x" }}',
    "a hash key as content": f'{OTLP}redaction.content = "{KEY}"',
    "a hash key as a detector": f'{OTLP}redaction.detect = ["{KEY}"]',
    "a choice": f'{OTLP}compression = "{KEY}"',
    "a private key as its file": (
        f'{HEAD}[backends.c]\ntype = "otlp"\nendpoint = "https://example.com"\n'
        f'tls.ca_file = """-----BEGIN PRIVATE KEY-----\nMARKED/MARKED\n"""'
    ),
    "a key as a file of tls": f'{OTLP.replace("http:", "https:")}tls.ca_file = "{KEY}"',
}  # fmt: skip

RIGHT = {
    "an attribute of the resource": f'{HEAD}[resource]\n{HEADER} = "x"\n[backends.c]\ntype = "console"',
    "a header's name": f'{OTLP}headers = {{ "{KEY}" = "x" }}',
    "the other key": (
        f'{HEAD}[backends.c]\ntype = "langfuse"\nregion = "eu"\npublic_key = "{KEY}"\nsecret_key = "pk-lf-x"'
    ),
    "a tenant": (
        f'{HEAD}[backends.c]\ntype = "tempo"\nendpoint = "http://localhost:4318"\ntenant = "{KEY}"'
    ),
    "a URL's path": f'{HEAD}[backends.c]\ntype = "otlp"\nendpoint = "http://localhost:4318/{KEY}/v1/traces"',
    "what is set": f'{OTLP}processors = [{{ type = "set", attributes = {{ x = "{KEY}" }} }}]',
    "what is set under a telling name": (
        f'{OTLP}processors = [{{ type = "set", attributes = {{ "api.key" = "MARKED77" }} }}]'
    ),
    "what one's own has": f'{OTLP}processors = [{{ type = "tests.own:Shorten", limit = 1, names = ["{KEY}"] }}]',
    "what a match asks for": f'{OTLP}select.include = [{{ attributes = {{ {HEADER} = "{KEY}" }} }}]',
    "a rule's name": f'{OTLP}sampling.keep = [{{ name = "{KEY}", match = {{ status = "error" }} }}]',
    "a name to drop": f'{OTLP}redaction.drop = ["{KEY}"]',
    "a file": f'{HEAD}[backends.c]\ntype = "file"\npath = "{KEY}/x"',
}  # fmt: skip


def printed(*arguments: str) -> str:
    """What a command prints, whatever its exit code."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        main(list(arguments))
    return out.getvalue()


@pytest.mark.parametrize("place", WRONG)
def test_it_is_in_no_message(place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what `check` prints, nor what installing raises or logs; the line is told all the same."""
    path = tmp_path / "tracing.toml"
    path.write_text(WRONG[place], encoding="utf-8")
    path.chmod(0o600)
    said = [printed("check", str(path)), printed("check", "--format", "json", str(path)), caplog.text]
    lines: list[int | None] = []
    try:
        with install_from_config(path, set_global=False) as fanout:
            said += [repr(fanout), str(fanout.plan), repr(fanout.plan.off)]
    except ConfigError as error:
        said += [str(error), repr(error)]
        lines = [problem.line for problem in error.problems if problem.severity == "error"]
    assert all(lines)
    for text in [*said, caplog.text]:
        assert "marked" not in text.lower(), text


@pytest.mark.parametrize("place", RIGHT)
def test_it_is_in_no_plan(place: str, tmp_path: Path) -> None:
    """A file may be right and say too much; what is sent is as written, what is shown isn't."""
    path = tmp_path / "tracing.toml"
    path.write_text(RIGHT[place], encoding="utf-8")
    plan = resolve(parse(RIGHT[place], "tracing.toml", path), {})
    said = [str(plan), repr(plan), repr(plan.backends), json.dumps(plan.to_dict())]
    said += [printed("plan", "--origins", str(path)), printed("plan", "--graph", str(path))]
    assert "backends" in said[-2] or "1 backend" in said[-2]
    for text in said:
        assert "marked" not in text.lower(), text


@pytest.mark.parametrize("row", VENDOR_KEYS, ids=lambda row: row.example[:9])
def test_a_key_of_every_vendor_is_known_as_one(row: object) -> None:
    assert veiled(getattr(row, "example")) == "…"  # noqa: B009 - pytest gives objects


@pytest.mark.parametrize(
    "word",
    [
        "3f786850e387550fdab836ed7e6dc881",  # as Datadog's are
        "hNkW3tYq8ZfR2cLbV5xMpA",  # as Honeycomb's were
        "sk-lf-0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0",
        "Authorization: Bearer x",
        "api-key: x",
        "Bearer abc",
    ],
)
def test_so_is_what_nobody_would_call_a_key_so(word: str) -> None:
    assert veiled(word) == "…"


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.response.finish_reasons",
        "http.request.header.x-forwarded-for",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "LANGFUSE_SECRET_KEY_2",
        "deployment.environment.name",
        "550e8400-e29b-41d4-a716-446655440000",
        "My Order",
        "my_agent.processors:Shorten",
        "claude-sonnet-4-20250514",
        "attribute_value_length_limit",
        "prod-eu-west-2-tempo-0123",
        "datadogproduction1",
        "tempo2024production1",
        "task-queue-service-production-eu1",
        "my_company2024processors:MyAgentProcessors2",
    ],
)
def test_a_name_is_shown(name: str) -> None:
    """Else nobody could find what is meant."""
    assert veiled(name) == name
