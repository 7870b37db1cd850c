"""What every file in `backends/` keeps to; a new file is tested by being there."""

from __future__ import annotations

import itertools
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest

from ajolo_fanout.profiles.catalog import data_folder, load, names
from ajolo_fanout.profiles.checks import IDENTIFIER
from ajolo_fanout.profiles.endpoint import is_loopback
from ajolo_fanout.profiles.model import Profile, placeholders
from ajolo_fanout.profiles.target import Finding, Target
from ajolo_fanout.values import Secret

MakeTarget: TypeAlias = "Callable[..., Target]"
MakeErrors: TypeAlias = "Callable[..., list[Finding]]"
Resolve: TypeAlias = "Callable[..., tuple[Any, list[Finding]]]"
Minimal: TypeAlias = "Callable[..., dict[str, Any]]"

FILES = sorted(data_folder("backends").glob("*.toml"))
IDS = [path.stem for path in FILES]
OTLP = [name for name in IDS if load(name).kind == "otlp"]
REMOTE = [name for name in OTLP if load(name).protocols() and not load(name).needs_endpoint("http/protobuf")]

LOOKS_LIKE_A_KEY = re.compile(
    r"\b[0-9a-f]{32,}\b|\b(?:sk|pk)-(?:lf-)?[A-Za-z0-9-]{8,}|glc_[A-Za-z0-9+/=]{8,}"
    r"|hc[a-z]ic_[0-9a-z]{8,}|eyJ[A-Za-z0-9_-]{10,}"
)


def choices_of_location(profile: Profile) -> list[dict[str, str]]:
    """Every combination of the choices that are part of the URL or pick one."""
    wanted = [
        one for one in profile.inputs if one.name in profile.location() | profile.picks() and one.choices
    ]
    combined = itertools.product(*(one.choices for one in wanted))
    return [dict(zip((one.name for one in wanted), chosen, strict=True)) for chosen in combined]


def test_the_nine_profiles_are_there() -> None:
    """Those that the documentation promises."""
    promised = (
        "console",
        "datadog",
        "datadog_agent",
        "file",
        "grafana_cloud",
        "honeycomb",
        "langfuse",
        "otlp",
    )
    assert set(names()) >= {*promised, "tempo"}


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_it_loads_and_says_where_its_facts_come_from(path: Path) -> None:
    """Title, documentation, sources and a date, and an id that is the file's name."""
    profile = load(path.stem)
    assert profile.id == path.stem
    assert IDENTIFIER.fullmatch(profile.id)
    assert profile.title
    assert profile.summary.endswith((".", ")"))
    assert profile.docs
    assert profile.sources
    assert profile.checked.year >= 2026
    assert all(one.help for one in profile.inputs)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_no_literal_in_it_looks_like_a_credential(path: Path) -> None:
    """A profile is read by everybody; credentials are inputs."""
    assert not LOOKS_LIKE_A_KEY.search(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", IDS)
def test_every_placeholder_is_an_input_that_is_no_secret(name: str) -> None:
    """In URLs and hints alike."""
    profile = load(name)
    texts = [entry.url for entry in profile.endpoints]
    texts += [answer.hint for entry in profile.endpoints for answer in entry.answers]
    texts += [answer.hint for answer in profile.answers]
    test = profile.self_test
    texts += [test.url, *(one.hint for one in test.answers)] if test else []
    known = {one.name for one in profile.inputs if not one.secret} | {"host", "origin"}
    assert placeholders(texts) <= known


@pytest.mark.parametrize("name", OTLP)
def test_hints_name_options_that_exist(name: str) -> None:
    """What stands in backquotes in a hint is a key that a user can write under this type."""
    from ajolo_fanout.config.backend import COMMON_KEYS

    profile = load(name)
    known = COMMON_KEYS | {one.name for one in profile.inputs}
    hints = [answer.hint for answer in (*profile.answers, *(a for e in profile.endpoints for a in e.answers))]
    for hint in hints:
        for option in re.findall(r"`([^`]+)`", hint):
            if " " not in option:
                assert option.partition(".")[0] in known, hint


@pytest.mark.parametrize("name", OTLP)
def test_minimal_inputs_make_a_safe_target_for_each_region(
    name: str, target: MakeTarget, minimal: Minimal
) -> None:
    """https, or this very machine; a limit for requests; headers of `Secret`s with lower-case names."""
    profile = load(name)
    for protocol in profile.protocols():
        located = profile.needs_endpoint(protocol)
        for choices in choices_of_location(profile):
            table = {**minimal(profile, located=located), **choices, "protocol": protocol}
            if located:
                table["endpoint"] = "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"
            made = target(profile, **table)
            parts = urllib.parse.urlsplit(made.url)
            assert parts.scheme == "https" or is_loopback(parts.hostname or "")
            assert bool(parts.path) == (protocol != "grpc")
            assert made.max_request_bytes >= 1024 * 1024
            assert all(isinstance(value, Secret) for value in made.headers.values())
            assert all(header == header.lower() for header in made.headers)
            assert not any("{" in answer.hint for answer in made.answers)


@pytest.mark.parametrize("name", OTLP)
def test_credentials_are_masked_in_every_text_of_a_target(
    name: str, target: MakeTarget, minimal: Minimal
) -> None:
    """`repr` and `str` show neither the input nor what is derived from it."""
    profile = load(name)
    located = profile.needs_endpoint("http/protobuf")
    table = minimal(profile, located=located)
    marked = dict.fromkeys(profile.secret_inputs(), "canary-9f86d081")
    if located:
        table["endpoint"] = "http://localhost:4318"
    made = target(profile, **{**table, **marked}, headers={"x-own-key": "canary-own-2c26"})
    for text in (repr(made), str(made), repr(made.self_test), repr(attrs.asdict(made, recurse=False))):
        assert "canary" not in text
        for value in made.headers.values():
            revealed = value.reveal()
            assert len(revealed) < 8 or revealed not in text
    carried = " ".join(value.reveal() for value in made.headers.values())
    assert made.credentials
    assert "canary-own-2c26" in carried


@pytest.mark.parametrize("name", OTLP)
def test_a_protocol_that_it_does_not_speak_is_refused(name: str, resolve: Resolve, minimal: Minimal) -> None:
    """The error names the protocol that works."""
    profile = load(name)
    for protocol in {"http/protobuf", "grpc"} - set(profile.protocols()):
        made, findings = resolve(profile, **minimal(profile), protocol=protocol)
        assert made is None
        [finding] = [one for one in findings if one.key == ("protocol",)]
        assert 'protocol = "http/protobuf"' in finding.message


@pytest.mark.parametrize("name", OTLP)
def test_its_own_endpoint_pasted_is_completed_or_kept(
    name: str, target: MakeTarget, minimal: Minimal
) -> None:
    """Bare host, base path, whole path, with or without a final slash: one URL."""
    profile = load(name)
    table = minimal(profile, located=True)
    for entry in profile.endpoints:
        if entry.protocol != "http/protobuf":
            continue
        path = entry.path or urllib.parse.urlsplit(entry.url or "").path
        own = {**table, **entry.choice, "allow_plaintext": True}
        for written in ("", "/", path, path + "/", path.removesuffix("/v1/traces")):
            made = target(profile, **own, endpoint=f"http://proxy.example:8080{written}")
            assert made.url == f"http://proxy.example:8080{path}"


@pytest.mark.parametrize("name", OTLP)
def test_another_path_is_refused_or_taken_as_it_is(name: str, resolve: Resolve, minimal: Minimal) -> None:
    """Only a profile that takes anything takes it; the error shows the right URL."""
    profile = load(name)
    table = {**minimal(profile, located=True), "endpoint": "https://proxy.example/elsewhere"}
    made, findings = resolve(profile, **table)
    if any(entry.any_path for entry in profile.endpoints):
        assert made is not None
        assert made.url == "https://proxy.example/elsewhere"
    else:
        [finding] = findings
        assert finding.key == ("endpoint",)
        assert "https://proxy.example/" in finding.message
        assert 'type = "otlp"' in finding.message


@pytest.mark.parametrize("name", REMOTE)
def test_endpoint_together_with_a_region_is_refused(name: str, errors: MakeErrors, minimal: Minimal) -> None:
    """Where the profile has a region at all."""
    profile = load(name)
    for location in profile.location():
        [finding] = errors(profile, **minimal(profile), endpoint="https://proxy.example")
        assert finding.key == (location,)
        assert "`endpoint`" in finding.message


@pytest.mark.parametrize("name", [name for name in OTLP if load(name).secret_inputs()])
def test_a_key_never_goes_over_plain_http_to_another_host(
    name: str, resolve: Resolve, errors: MakeErrors, minimal: Minimal
) -> None:
    """Refused; taken on loopback, and with allow_plaintext."""
    profile = load(name)
    table = minimal(profile, located=True)
    [finding] = errors(profile, **table, endpoint="http://proxy.example")
    assert finding.code == "plaintext-key"
    assert "allow_plaintext = true" in finding.message
    assert resolve(profile, **table, endpoint="http://proxy.example", allow_plaintext=True)[0] is not None
    for host in ("localhost", "127.0.0.1", "127.8.9.1", "[::1]", "dev.localhost"):
        assert resolve(profile, **table, endpoint=f"http://{host}:8080")[0] is not None
