"""What a plan promises to those who build from it."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import attrs
import pytest

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.document import parse
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.plan.origins import leaves
from ajolo_fanout.plan.render import render, values
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.profiles import catalog
from ajolo_fanout.values import Duration

from .support import Recorded, plan_of, problems_of

SERVICE = 'service.name = "agent"\n'
CONSOLE = '[backends.console]\ntype = "console"\n'
CASES = Path(__file__).parent / "cases"


def test_every_value_has_an_origin() -> None:
    """Whatever the tree shows, and whatever the settings hold, has one."""
    for name in catalog.names():
        plan = plan_of(SERVICE + every_input(name), allow_unset=True)
        (backend,) = plan.backends
        missing = [key for key in values(backend) if key not in backend.origins]
        assert not missing
        assert all(".".join(map(str, path)) in backend.origins for path in leaves(backend.settings))
        assert backend.steps.origins == backend.origins
    assert set(plan.origins) >= {"shutdown.timeout", "limits.event_count_limit", 'resource."service.name"'}


def every_input(name: str, secret: str = "${SECRET}") -> str:
    """A backend of a type with all its inputs that go together, secrets as given."""
    profile = catalog.load(name)
    lines = [f"[backends.{name}]", f'type = "{name}"']
    if any(profile.needs_endpoint(protocol) for protocol in profile.protocols()):
        lines.append('endpoint = "https://collector.example.com"')
    for one in profile.inputs:
        if one.secret:
            lines.append(f'{one.name} = "{secret}"')
        elif one.required:
            lines.append(f'{one.name} = "${{INPUT}}"')
    if profile.kind == "otlp":
        lines.append(f'headers = {{ "x-some-key" = "{secret}", authorization = "Bearer {secret}" }}')
    return "\n".join(lines) + "\n"


def forms(secret: str) -> set[str]:
    """A secret and what we make of it; Base64 at each of the three offsets it may have inside a text."""
    raw = secret.encode()
    inside = {base64.b64encode(b"x" * shift + raw).decode()[4:-4] for shift in range(3)}
    return {secret, raw.hex(), quote(secret, safe=""), json.dumps(secret)[1:-1], secret.upper(), *inside}


@pytest.mark.parametrize("name", catalog.names())
@pytest.mark.parametrize("place", ["variable", "literal", "file"])
def test_no_secret_in_any_face_of_a_plan(name: str, place: str, tmp_path: Path) -> None:
    """A marked secret in every secret place of every type, and whatever is derived from it."""
    secret = "s3cr3t+marked/0123456789abcdef"
    (tmp_path / "secret").write_text(secret + "\n", encoding="utf-8")
    text = every_input(name, "${SECRET}" if place != "literal" else secret)
    if place == "file":
        text = text.replace('= "${SECRET}"', '= { file = "secret" }')
    how = {"allow_unset": True} if "${INPUT}" in text else {}
    plan = plan_of(text, {"SECRET": secret}, tmp_path / "tracing.toml", **how)
    shown = [str(plan), render(plan, origins=True), json.dumps(plan.to_dict()), repr(plan)]
    shown += [repr(backend.target) + repr(backend.settings) for backend in plan.backends]
    shown += [str(attrs.asdict(plan, recurse=False))]
    (backend,) = plan.backends
    derived = {
        text for value in backend.target.headers.values() for text in value.reveal().split() if len(text) > 20
    }
    if catalog.load(name).kind == "otlp":
        assert any(secret in text for text in derived)
    for face in shown:
        for form in forms(secret) | derived:
            assert form not in face


def test_no_secret_in_any_error(tmp_path: Path) -> None:
    """Secrets that are wrong, in the wrong place, or under a wrong key are not shown."""
    secret = "s3cr3t-marked"
    (tmp_path / "secret").write_text(f"{secret}\n{secret}\n", encoding="utf-8")
    text = f"""
[service]
nmae = "{secret}"
[defaults]
api_key = "{secret}"
timeout = "{secret}"
headers = {{ a = "{secret}" }}
[backends.a]
type = "datadog"
site = "${{S}}"
api_key = {{ file = "secret" }}
api_kye = "{secret}"
enabled = "{secret}"
sampling.ratio = "${{S}}"
[backends.b]
type = "${{S}}"
[backends.c]
type = "otlp"
endpoint = "https://user:{secret}@example.com/{secret}"
headers = {{ "a b {secret}" = "{secret}\\n", "x" = ["{secret}"] }}
tls.ca_file = 5
[backends.d]
type = "honeycomb"
region = "eu"
api_key = "${{S}}\\u0007"
dataset = ["{secret}"]
"""
    with pytest.raises(ConfigError) as caught:
        plan_of(text, {"S": secret}, tmp_path / "tracing.toml")
    assert len(caught.value.problems) >= 12
    assert secret not in str(caught.value) + repr(caught.value) + "".join(map(str, caught.value.problems))


def test_a_disabled_backend_looks_nothing_up() -> None:
    """No variable but the one that switches it: neither its own nor those of [defaults]."""
    environ = Recorded(SWITCH="false", KEY="x")
    plan = plan_of(
        SERVICE
        + CONSOLE
        + '[defaults]\ntimeout = "${TIMEOUT}"\n[backends.dd]\ntype = "datadog"\nenabled = "${SWITCH}"\n'
        'site = "${SITE}"\napi_key = "${KEY}"\nheaders.a = { file = "${FILE}" }\n',
        environ,
    )
    assert [(off.name, off.reason) for off in plan.off] == [("dd", "disabled")]
    assert not {"SITE", "KEY", "FILE", "TIMEOUT"} & set(environ.asked)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe tells whether it was opened")
def test_a_disabled_backend_s_secret_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe that nobody writes would hold up whoever reads it for ever."""
    os.mkfifo(tmp_path / "secret")
    text = '[backends.dd]\ntype = "datadog"\nsite = "eu"\nenabled = false\napi_key = { file = "secret" }\n'
    assert plan_of(SERVICE + CONSOLE + text, {}, tmp_path / "tracing.toml").off[0].why == "enabled = false"


def test_an_optional_backend_is_on_when_all_is_set_and_off_when_anything_is_not() -> None:
    """Also for a variable that it only inherits; a key of its own that replaces it makes it needless."""
    text = SERVICE + CONSOLE + '[defaults]\ntimeout = "${TIMEOUT:-5s}"\ncompression = "${PACK}"\n'
    text += '[backends.dd]\noptional = true\ntype = "datadog"\nsite = "eu"\napi_key = "${KEY}"\n'
    assert plan_of(text, {"PACK": "none", "KEY": "k"}).off == ()
    (off,) = plan_of(text, {"KEY": "k"}).off
    assert (off.name, off.why, off.reason) == ("dd", "optional, and PACK is unset", "unset")
    assert plan_of(text + 'compression = "none"\n', {"KEY": "k"}).off == ()
    (off,) = plan_of(text + 'compression = "none"\n', {"KEY": ""}).off
    assert off.why == "optional, and KEY is unset"


def test_optional_doesn_t_excuse_mistakes() -> None:
    """A wrong value in a backend that is off is an error as in any other."""
    text = '[backends.dd]\noptional = true\ntype = "datadog"\nsite = "mars"\napi_key = "${KEY}"\n'
    (problem,) = problems_of(SERVICE + CONSOLE + text)
    assert (problem.key, problem.code) == ("backends.dd.site", "bad-choice")


def test_tolerant_keeps_what_is_right_and_says_what_is_not() -> None:
    """The backend with the error is off; its problems are warnings with their lines."""
    text = SERVICE + CONSOLE + '[backends.dd]\ntype = "datadog"\nsite = "mars"\napi_key = "${KEY}"\n'
    plan = plan_of(text, {"KEY": "k"}, tolerant=True)
    assert [backend.name for backend in plan.backends] == ["console"]
    assert [(off.name, off.reason) for off in plan.off] == [("dd", "broken")]
    (warning,) = plan.warnings
    assert (warning.severity, warning.key, warning.line) == ("warning", "backends.dd.site", 7)


def test_tolerant_takes_what_is_no_table_for_a_broken_backend() -> None:
    """Each backend of the file is either used or off."""
    plan = plan_of(SERVICE + '[backends]\nodd = "console"\nconsole = { type = "console" }\n', tolerant=True)
    assert [backend.name for backend in plan.backends] == ["console"]
    assert [(off.name, off.reason) for off in plan.off] == [("odd", "broken")]
    assert [warning.key for warning in plan.warnings] == ["backends.odd"]


def test_a_mistake_beside_enabled_doesn_t_enable() -> None:
    """`enabled = false` holds whatever else is wrong."""
    environ = Recorded()
    text = CONSOLE + '[backends.dd]\ntype = "datadog"\nenabled = false\noptional = 5\nsite = "eu"\n'
    with pytest.raises(ConfigError):
        plan_of(SERVICE + text + 'api_key = "${KEY}"\n', environ)
    assert "KEY" not in environ.asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[backends]\n",
        CONSOLE + "spool = 1\nsampling.ratio = 7\n",
        '[defaults]\nredation.content = "drop"\n' + CONSOLE,
        '[defaults]\nredaction.content = "dropp"\n' + CONSOLE,
    ],
)
def test_tolerant_raises_where_nothing_can_be_used(text: str) -> None:
    """And where a mistake in [defaults] may have been meant to hold something back."""
    with pytest.raises(ConfigError):
        plan_of(SERVICE + text, tolerant=True)


@pytest.mark.parametrize("schema", ["schema = 2\n", ""])
def test_tolerant_takes_no_file_of_another_schema(schema: str) -> None:
    """What was written for another grammar isn't guessed at, right as the rest may be."""
    with pytest.raises(ConfigError) as caught:
        resolve(parse(schema + SERVICE + CONSOLE, "tracing.toml"), {}, tolerant=True)
    assert [problem.key for problem in caught.value.problems] == ["schema"]


def test_a_default_that_a_backend_replaces_doesn_t_break_it_when_tolerant() -> None:
    """Only those that inherit the mistake are off."""
    text = SERVICE + "[defaults]\nbatch.max_queue_size = 0\n" + CONSOLE + "batch.max_queue_size = 5\n"
    text += '[backends.other]\ntype = "console"\nstream = "stdout"\n'
    plan = plan_of(text, tolerant=True)
    assert [backend.name for backend in plan.backends] == ["console"]


def test_the_ratio_is_the_largest_that_any_backend_needs() -> None:
    """Backends that are off need nothing."""
    text = SERVICE + CONSOLE + "sampling.ratio = 0.1\n"
    text += '[backends.two]\ntype = "console"\nsampling.ratio = 0.25\n'
    text += '[backends.off]\ntype = "console"\nenabled = false\n'
    assert plan_of(text).ratio == 0.25


def test_shapes_are_shared_whatever_is_sampled() -> None:
    """Equal content, one rendition: sampling and delivery are no part of it."""
    text = SERVICE + '[defaults]\nredaction.content = "drop"\n' + CONSOLE
    text += '[backends.b]\ntype = "console"\nsampling.ratio = 0.5\nbatch.schedule_delay = "1s"\n'
    text += '[backends.c]\ntype = "console"\nredaction.content = "keep"\n'
    assert plan_of(text).shapes() == (("console", "b"), ("c",))


def test_a_batch_that_nobody_wrote_follows_its_queue_with_its_origin() -> None:
    """Whether the profile or the built-in value said more."""
    plan = plan_of(SERVICE + CONSOLE + "batch.max_queue_size = 7\n")
    assert plan["console"].settings.batch.max_export_batch_size == 7
    assert plan["console"].origins["batch.max_export_batch_size"].line == 5


@pytest.mark.parametrize(
    ("environ", "value", "kind"),
    [
        ({}, 2048, "built in"),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "7"}, 7, "environment"),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "7", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "8"}, 8, "environment"),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "7", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ""}, 7, "environment"),
    ],
)
def test_the_providers_limits(environ: dict[str, str], value: int, kind: str) -> None:
    """File, environment (the more particular variable first), built in; the backends' own are apart."""
    plan = plan_of(SERVICE + CONSOLE, environ)
    assert plan.limits.attribute_count_limit == value
    assert plan.origins["limits.attribute_count_limit"].kind == kind
    assert plan["console"].settings.limits.attribute_count_limit is None
    written = plan_of(SERVICE + "limits.attribute_count_limit = 9\n" + CONSOLE, environ)
    assert written.limits.attribute_count_limit == 9


def test_the_resource_is_the_file_s_over_the_environment_s() -> None:
    """`environment` is sent under both names; names and values of the variable are percent-decoded."""
    text = '[service]\nenvironment = "prod"\n[resource]\n"a" = [1, 2.5]\n' + CONSOLE
    environ = {
        "OTEL_RESOURCE_ATTRIBUTES": "a=x,deployment.environment=dev,k%20k=v%2Cw=%3D, ,",
        "OTEL_SERVICE_NAME": "e",
    }
    plan = plan_of(text, environ)
    assert dict(plan.resource) == {
        "a": (1.0, 2.5),
        "deployment.environment": "prod",
        "deployment.environment.name": "prod",
        "k k": "v,w==",
        "service.name": "e",
    }
    assert not plan.warnings
    assert str(plan.origins['resource."k k"']) == "environment OTEL_RESOURCE_ATTRIBUTES"


def test_placeholders_are_of_the_wanted_type() -> None:
    """With `allow_unset` a plan is whole, and no two credentials are the same."""
    text = '[backends.a]\ntype = "datadog"\nsite = "${SITE}"\napi_key = "${A}"\n'
    text += 'timeout = "${T}"\ncompute_stats = "${C}"\nprotocol = "${P}"\n'
    text += text.replace("backends.a", "backends.b").replace("${A}", "${B}")
    plan = plan_of(SERVICE + text, allow_unset=True)
    a, b = plan.backends
    assert a.target.inputs["site"] == "us1"
    assert a.target.inputs["compute_stats"] is True
    assert a.settings.timeout == Duration(10)
    assert a.target.headers["dd-api-key"].reveal() == "placeholder-A"
    assert b.target.headers["dd-api-key"].reveal() == "placeholder-B"
    assert not plan.warnings


def test_a_plan_is_frozen_and_hides_nothing_but_secrets() -> None:
    """`to_dict()` is JSON; nothing of a plan can be changed."""
    plan = plan_of(SERVICE + CONSOLE)
    assert json.loads(json.dumps(plan.to_dict()))["backends"][0]["batch"]["max_queue_bytes"] == "64MiB"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        plan.ratio = 0.5  # type: ignore[misc]
    with pytest.raises(TypeError):
        plan.resource["a"] = 1  # type: ignore[index]
    with pytest.raises(KeyError):
        plan["nobody"]


def test_nothing_in_a_plan_s_text_steers_a_terminal() -> None:
    """A resource attribute from the environment may hold anything."""
    plan = plan_of(SERVICE + CONSOLE, {"OTEL_RESOURCE_ATTRIBUTES": "a%1B=b%1B%5B2J%0A"})
    assert "\x1b" not in str(plan) + render(plan, origins=True)


def test_every_common_key_is_in_the_text_with_origins() -> None:
    """What the file can say of a backend, the plan shows."""
    shown = render(plan_of(SERVICE + every_input("otlp"), allow_unset=True), origins=True)
    for field in attrs.fields(BackendSettings):
        if field.name not in ("endpoint", "select", "retry", "spool"):
            assert field.name in shown
