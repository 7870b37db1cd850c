"""Profiles are found in a wheel and in a checkout, read strictly, and added by adding one file."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from ajolo_fanout.errors import ConfigError, InstallError
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.catalog import data_folder, load, names
from ajolo_fanout.profiles.target import Target
from ajolo_fanout.testing.fakes import FakeBackend

MakeTarget: TypeAlias = "Callable[..., Target]"

ACME = """\
title = "Acme Traces"
summary = "A vendor that nobody has heard of."
kind = "otlp"
docs = ["https://acme.example/docs"]
checked = 2026-11-23
sources = ["Made up."]

[[inputs]]
name = "region"
kind = "choice"
help = "Where your account lives."
required = true
choices = { north = "north.acme.example", south = "south.acme.example" }

[[inputs]]
name = "token"
help = "An ingest token."
secret = true
required = true
env = "ACME_TOKEN"

[[inputs]]
name = "project"
help = "The project, where it isn't the account's first."

[[endpoints]]
protocol = "http/protobuf"
url = "https://{region}/ingest/v1/traces"
max_request_bytes = "2MiB"

[[headers]]
name = "authorization"
input = "token"
prefix = "Api-Token "

[[headers]]
name = "x-acme-project"
input = "project"

[[resource]]
name = "acme.project"
input = "project"

[defaults]
compression = "gzip"

[reasons]
compression = "it is far away"

[[answers]]
status = 401
meaning = "rejected"
hint = "{host} doesn't know the token; check `token` and `region`"

[self_test]
url = "{origin}/whoami"
headers = ["authorization"]
answers = [{ status = 200, verdict = "valid" }, { status = 418, verdict = "invalid" }]

[behaviour]
ok_status = 202
wrong_key = 418
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one more profile."""
    (tmp_path / "acme_traces.toml").write_text(ACME, encoding="utf-8")
    return tmp_path


def test_adding_a_backend_is_adding_one_file(folder: Path, target: MakeTarget) -> None:
    """It is listed, loaded, resolved, faked and self-tested without any other edit."""
    assert "acme_traces" in names(folder)
    profile = load("acme_traces", folder)
    made = target(profile, region="south", token="t", project="p")
    assert made.url == "https://south.acme.example/ingest/v1/traces"
    assert {name: value.reveal() for name, value in made.headers.items()} == {
        "authorization": "Api-Token t",
        "x-acme-project": "p",
    }
    assert dict(made.resource) == {"acme.project": "p"}
    assert made.answers[0].hint.startswith("south.acme.example doesn't know the token")
    assert made.self_test is not None
    assert made.self_test.url == "https://south.acme.example/whoami"
    with FakeBackend.of(made) as fake:
        local = target(profile, endpoint=fake.endpoint, token="t", project="p")
        assert local.self_test is not None
        for url, method, status in ((local.url, "POST", 202), (local.self_test.url, "GET", 200)):
            headers = {name: value.reveal() for name, value in local.headers.items()}
            headers["Content-Type"] = "application/x-protobuf"
            data = b"" if method == "POST" else None
            request = urllib.request.Request(url, data=data, headers=headers, method=method)
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == status


def test_an_input_that_is_not_set_leaves_no_header_and_no_attribute(folder: Path, target: MakeTarget) -> None:
    """Nothing is sent empty."""
    made = target(load("acme_traces", folder), region="north", token="t")
    assert list(made.headers) == ["authorization"]
    assert dict(made.resource) == {}


def test_our_own_profiles_can_not_be_replaced(folder: Path) -> None:
    """A profile decides where traces go."""
    (folder / "datadog.toml").write_text(ACME, encoding="utf-8")
    for act in (lambda: names(folder), lambda: load("datadog", folder), lambda: load("acme_traces", folder)):
        with pytest.raises(ConfigError, match="can't be replaced"):
            act()


@pytest.mark.parametrize("name", ["Acme.toml", "1acme.toml", "acme-traces.toml", "acme.v2.toml"])
def test_a_files_name_is_an_id(name: str, tmp_path: Path) -> None:
    """Small letters, digits and underscores, a letter first."""
    (tmp_path / name).write_text(ACME, encoding="utf-8")
    with pytest.raises(ConfigError, match="a profile's file is named like"):
        names(tmp_path)


@pytest.mark.parametrize(
    ("identifier", "word"),
    [("datadgo", 'did you mean "datadog"'), ("../../etc/passwd", "there are"), ("", "there are")],
)
def test_an_unknown_type_is_answered_with_the_nearest(identifier: str, word: str) -> None:
    """And a path is no type."""
    with pytest.raises(ConfigError, match=word) as caught:
        load(identifier)
    assert caught.value.problems[0].code == "unknown-type"


def test_a_profile_is_read_once() -> None:
    """Later calls get the same object."""
    assert load("tempo") is load("tempo")


def test_only_what_is_used_is_read(folder: Path) -> None:
    """A broken profile next door harms nobody who doesn't use it."""
    (folder / "broken.toml").write_text("title =", encoding="utf-8")
    assert load("acme_traces", folder).title == "Acme Traces"
    with pytest.raises(ConfigError, match=r"broken\.toml:1"):
        load("broken", folder)


def test_data_is_found_in_a_wheel_and_in_a_checkout(tmp_path: Path) -> None:
    """In a wheel inside the package; in a checkout, and so in an editable install, at the top of the tree."""
    package = tmp_path / "src" / "ajolo_fanout"
    package.mkdir(parents=True)
    with pytest.raises(InstallError, match="backends"):
        data_folder("backends", package)
    checkout = tmp_path / "backends"
    checkout.mkdir()
    assert data_folder("backends", package) == checkout
    wheel = package / "_data" / "backends"
    wheel.mkdir(parents=True)
    assert data_folder("backends", package) == wheel


def test_the_data_of_this_very_installation_is_there() -> None:
    """Whichever of the two it is."""
    assert (data_folder("backends") / "datadog.toml").is_file()
    assert data_folder("examples").is_dir()


@pytest.mark.parametrize(
    ("old", "new", "key", "word"),
    [
        ('title = "Acme Traces"', "", "title", "required"),
        ("checked = 2026-11-23", 'checked = "2026-11-23"', "checked", "a date"),
        ("checked = 2026-11-23", "checked = 2026-11-23T10:00:00", "checked", "a date"),
        ('kind = "otlp"', 'kind = "zipkin"', "kind", "console"),
        ('kind = "otlp"', 'id = "acme"\nkind = "otlp"', "id", "file's name"),
        ('kind = "otlp"', 'kind = "otlp"\nif_site = "x"', "if_site", "unknown key"),
        ('name = "project"', 'name = "endpoint"', "inputs[2].name", "common to all backends"),
        ('name = "project"', 'name = "select"', "inputs[2].name", "common to all backends"),
        ('name = "project"', 'name = "type"', "inputs[2].name", "common to all backends"),
        ('name = "project"', 'name = "token"', "inputs[2].name", "two inputs"),
        ('name = "project"', 'name = "Project"', "inputs[2].name", "snake_case"),
        ("secret = true", 'secret = true\ndefault = "x"', "inputs[1].secret", "no value"),
        ("secret = true", 'secret = "yes"', "inputs[1].secret", "true or false"),
        ('kind = "choice"', 'kind = "text"', "inputs[0].choices", "choice"),
        ('kind = "choice"', 'kind = "choice"\ndefault = "west"', "inputs[0].default", "none of the choices"),
        ("{region}", "{token}", "endpoints[0].url", "no secret"),
        ("{region}", "{project}", "endpoints[0].url", "pattern"),
        ("{region}", "{zone}", "endpoints[0].url", "no input"),
        ("https://{region}", "http://{region}", "endpoints[0].url", "https://"),
        ("/ingest/v1/traces", "/ingest/v1/traces?a=b", "endpoints[0].url", "query"),
        ("/ingest/v1/traces", "", "endpoints[0].url", "whole path"),
        (
            'max_request_bytes = "2MiB"',
            "max_request_bytes = 2097152",
            "endpoints[0].max_request_bytes",
            "2MiB",
        ),
        ('input = "token"', 'value = "abc"', "headers[0].value", "from an input"),
        ('input = "token"', 'input = "tokn"', "headers[0]", "no input"),
        ('input = "token"', 'input = "token"\nvalue = "x"', "headers[0]", "one of"),
        ('name = "x-acme-project"', 'name = "X-Acme-Project"', "headers[1].name", "lower case"),
        ('input = "project"\n\n[defaults]', 'input = "token"\n\n[defaults]', "resource[0].input", "secret"),
        ('compression = "gzip"', 'endpoint = "https://evil"', "defaults.endpoint", "may set"),
        ('compression = "gzip"', "allow_plaintext = true", "defaults.allow_plaintext", "may set"),
        ('compression = "gzip"', 'region = "north"', "defaults.region", "unknown key"),
        ('compression = "gzip"', 'compression = "zip"', "defaults.compression", "gzip"),
        (
            'compression = "gzip"',
            "batch.max_queue_size = 9",
            "defaults.batch.max_queue_size",
            "without a reason",
        ),
        ('compression = "it is far away"', "", "defaults.compression", "without a reason"),
        (
            'compression = "it is far away"',
            'compression = "x"\ntimeout = "y"',
            "reasons.timeout",
            "isn't there",
        ),
        ("status = 401", "status = 99", "answers[0].status", "between"),
        ("status = 401", 'grpc = "NOPE"', "answers[0].grpc", "gRPC"),
        ("status = 401\n", "", "answers[0]", "a `status`"),
        ('meaning = "rejected"', 'meaning = "explode"', "answers[0].meaning", "too_large"),
        ("{host} doesn't", "{token} doesn't", "answers[0].hint", "secret"),
        ('"{origin}/whoami"', '"http://acme.example"', "self_test.url", "https://"),
        ('headers = ["authorization"]', 'headers = ["cookie"]', "self_test.headers[0]", "no header"),
        ('docs = ["https://acme.example/docs"]', "docs = []", "docs", "at least one"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(
    old: str, new: str, key: str, word: str, tmp_path: Path
) -> None:
    """Strict, and precise: the file, the line of the key, what is expected."""
    assert old in ACME
    (tmp_path / "acme.toml").write_text(ACME.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load("acme", tmp_path)
    problems = caught.value.problems
    found = [problem for problem in problems if problem.key == key]
    assert found, [str(problem) for problem in problems]
    assert any(word in problem.message for problem in found), [str(problem) for problem in problems]
    for problem in problems:
        assert problem.file == f"{tmp_path.name}/acme.toml"
        assert problem.line is not None or key == "title"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Each with its own line."""
    text = ACME.replace('name = "project"', 'name = "headers"').replace("https://{region}", "http://{region}")
    (tmp_path / "acme.toml").write_text(text.replace("status = 401", 'grpc = "NOPE"'), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load("acme", tmp_path)
    lines = {problem.line for problem in caught.value.problems}
    assert len(lines) >= 3


@pytest.mark.parametrize("kind", ["console", "file"])
def test_a_kind_needs_the_inputs_that_its_code_reads(kind: str, tmp_path: Path) -> None:
    """A console without a stream would fail when it is first used."""
    head = ACME.partition("[[inputs]]")[0].replace('kind = "otlp"', f'kind = "{kind}"')
    (tmp_path / "acme.toml").write_text(head, encoding="utf-8")
    with pytest.raises(ConfigError, match="declares the input"):
        load("acme", tmp_path)


def test_importing_the_catalog_reads_no_profile() -> None:
    """Profiles are parsed when a file uses them."""
    catalog._read.cache_clear()
    names()
    assert catalog._read.cache_info().currsize == 0
