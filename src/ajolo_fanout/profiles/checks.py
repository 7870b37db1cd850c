"""What a profile's types don't say: names that must fit, texts that must not be there, reasons that must."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

from ajolo_fanout.config.backend import COMMON_KEYS, RESERVED_KEYS
from ajolo_fanout.profiles.endpoint import is_loopback
from ajolo_fanout.profiles.headers import NAME, authenticates
from ajolo_fanout.profiles.model import KIND_INPUTS, Endpoint, Header, Input, Profile, placeholders
from ajolo_fanout.values import Size

__all__ = ["GRPC_CODES", "IDENTIFIER", "UNDEFAULTED", "check"]

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
"""What a profile's id and an input's name look like."""

UNDEFAULTED = frozenset(("type", "endpoint", "headers", "enabled", "optional", "allow_plaintext", "tls"))
"""Common keys that a profile can't set for its users: where things go, and what is trusted, is theirs."""

GRPC_CODES = frozenset(
    [
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ]
)
"""The names of gRPC's status codes, `OK` excepted."""

_INPUT_TYPES: Mapping[str, tuple[type, ...]] = {"boolean": (bool,), "integer": (int,)}

Said: TypeAlias = "tuple[tuple[str | int, ...], str]"
"""One mistake: the key in the profile's file, and what is wrong there."""


def check(profile: Profile) -> list[Said]:
    """Everything that is wrong with a profile whose keys and types are right."""
    said: list[Said] = []
    rules: tuple[Callable[[Profile], Iterator[Said]], ...] = (_inputs, _kind, _endpoints, _headers, _resource)
    for rule in (*rules, _defaults, _answers, _self_test, _sources):
        said += rule(profile)
    return said


def _inputs(profile: Profile) -> Iterator[Said]:
    seen: set[str] = set()
    for index, one in enumerate(profile.inputs):
        key = ("inputs", index)
        if not IDENTIFIER.fullmatch(one.name):
            yield (*key, "name"), "an input's name is snake_case: a-z, 0-9 and _"
        if one.name in COMMON_KEYS | RESERVED_KEYS | {"type"}:
            yield (
                (*key, "name"),
                f'"{one.name}" is a key common to all backends; an input needs a name of its own',
            )
        if one.name in seen:
            yield (*key, "name"), f'there are two inputs called "{one.name}"'
        seen.add(one.name)
        for sub, message in _input(profile, one):
            yield (*key, *sub), message


def _input(profile: Profile, one: Input) -> Iterator[Said]:
    if (one.kind == "choice") != bool(one.choices):
        yield ("choices",), 'an input has `choices` exactly when its kind is "choice"'
    if one.by_value and one.kind != "choice":
        yield ("by_value",), "only a choice can be written by value"
    if one.secret and (one.kind != "text" or one.default is not None or one.default_by):
        yield ("secret",), "a secret input is text, and a profile holds no value for it"
    if one.required and one.default is not None:
        yield ("required",), "an input with a default is never required"
    if one.pattern is not None and not _compiles(one.pattern):
        yield ("pattern",), "isn't a regular expression"
    yield from _input_defaults(profile, one)
    if one.goes_with is not None:
        if profile.input(one.goes_with.input) is None:
            yield ("goes_with", "input"), "names no input of this profile"
        if not _compiles(one.goes_with.pattern):
            yield ("goes_with", "pattern"), "isn't a regular expression"


def _input_defaults(profile: Profile, one: Input) -> Iterator[Said]:
    if one.default is not None:
        yield from ((("default",), text) for text in _value_trouble(one, one.default))
    for other, by_choice in one.default_by.items():
        known = profile.input(other)
        for choice, value in by_choice.items():
            if known is None or choice not in known.choices:
                yield ("default_by", other, choice), "names no choice of another input"
            yield from ((("default_by", other, choice), text) for text in _value_trouble(one, value))


def _value_trouble(one: Input, value: Any) -> Iterator[str]:
    if one.kind == "choice":
        if value not in one.choices:
            yield "is none of the choices"
    elif not isinstance(value, _INPUT_TYPES.get(one.kind, (str,))) or (
        one.kind == "integer" and isinstance(value, bool)
    ):
        yield f"isn't what a {one.kind} input takes"
    elif one.kind == "size":
        try:
            Size.parse(str(value))
        except ValueError as error:
            yield f"isn't a size: {error}"


def _kind(profile: Profile) -> Iterator[Said]:
    for name, kind in KIND_INPUTS[profile.kind].items():
        declared = profile.input(name)
        if declared is None or declared.kind != kind:
            yield (
                ("inputs",),
                f'a profile of kind "{profile.kind}" declares the input "{name}" of kind "{kind}"',
            )
        elif not declared.required and declared.default is None:
            yield ("inputs",), f'"{name}" needs a default, or required = true'
    if (profile.kind == "otlp") != bool(profile.endpoints):
        yield ("endpoints",), 'a profile has endpoints exactly when its kind is "otlp"'
    if profile.kind != "otlp" and (profile.headers or profile.answers or profile.self_test):
        yield ("kind",), f"a {profile.kind} has no headers, answers or self-test"


def _endpoints(profile: Profile) -> Iterator[Said]:
    for index, entry in enumerate(profile.endpoints):
        key = ("endpoints", index)
        for sub, message in (*_endpoint_url(profile, entry), *_choices(profile, entry)):
            yield (*key, *sub), message
    for name in sorted(profile.picks()):
        one = profile.input(name)
        for choice in one.choices if one is not None else ():
            if not any(entry.choice.get(name, choice) == choice for entry in profile.endpoints):
                yield ("endpoints",), f'no endpoint for {name} = "{choice}"'


def _endpoint_url(profile: Profile, entry: Endpoint) -> Iterator[Said]:
    if entry.url is None:
        if (entry.path is None) != (entry.protocol == "grpc"):
            yield ("path",), "an HTTP endpoint has a `url` or a `path`, one for gRPC never a path"
        return
    if entry.path is not None:
        yield ("path",), "the path is part of `url` already"
    parts = urllib.parse.urlsplit(entry.url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        yield ("url",), "must begin with https://, or with http:// and a loopback host"
    if parts.query or parts.fragment or "@" in parts.netloc or parts.path.endswith("/"):
        yield ("url",), "has no user, query, fragment or final slash"
    if entry.protocol == "grpc" and (parts.path or not parts.netloc.rpartition(":")[2].isdigit()):
        yield ("url",), "for gRPC is scheme, host and port"
    if entry.protocol != "grpc" and not parts.path:
        yield ("url",), "needs its whole path, such as /v1/traces"
    yield from _url_inputs(profile, entry.url)


def _url_inputs(profile: Profile, url: str) -> Iterator[Said]:
    for name in sorted(placeholders([url])):
        one = profile.input(name)
        if one is None:
            yield ("url",), f"{{{name}}} is no input of this profile"
        elif one.secret or (one.kind != "choice" and one.pattern is None):
            yield ("url",), f"{{{name}}} must be a choice, or a text with a pattern, and no secret"


def _choices(profile: Profile, entry: Endpoint) -> Iterator[Said]:
    for name, choice in entry.choice.items():
        one = profile.input(name)
        if one is None or choice not in one.choices:
            yield ("choice", name), "names no choice of an input"
        elif one.default is None:
            yield ("choice", name), f'"{name}" picks an endpoint and so needs a default'


def _headers(profile: Profile) -> Iterator[Said]:
    for index, rule in enumerate(profile.headers):
        for sub, message in _header(profile, rule):
            yield ("headers", index, *sub), message
    names = [rule.name for rule in profile.headers]
    if len(names) != len(set(names)):
        yield ("headers",), "a header stands here twice"


def _header(profile: Profile, rule: Header) -> Iterator[Said]:
    if not NAME.fullmatch(rule.name):
        yield ("name",), "a header's name is written in lower case"
    if sum((rule.value is not None, rule.input is not None, bool(rule.basic))) != 1:
        yield (), "a header has one of `value`, `input` and `basic`"
    if rule.basic and len(rule.basic) != 2:
        yield ("basic",), "names two inputs, user and password"
    if rule.value is not None and authenticates(rule.name):
        yield ("value",), "a header that authenticates takes its text from an input"
    for name in rule.sources():
        if profile.input(name) is None:
            yield (), f'"{name}" is no input of this profile'


def _resource(profile: Profile) -> Iterator[Said]:
    for index, rule in enumerate(profile.resource):
        if (rule.value is None) == (rule.input is None):
            yield ("resource", index), "an attribute has one of `value` and `input`"
        one = profile.input(rule.input) if rule.input is not None else None
        if rule.input is not None and (one is None or one.secret):
            yield ("resource", index, "input"), "names no input of this profile, or a secret one"


def _defaults(profile: Profile) -> Iterator[Said]:
    for name in profile.defaults:
        if name in UNDEFAULTED or name not in COMMON_KEYS | RESERVED_KEYS:
            yield ("defaults", name), "isn't a common key that a profile may set"
    leaves = {".".join(key): key for key, _ in profile.default_leaves()}
    for name, key in leaves.items():
        if not profile.reasons.get(name):
            yield ("defaults", *key), f'stands without a reason; say why under [reasons] as "{name}"'
    for name in profile.reasons:
        if name not in leaves:
            yield ("reasons", name), "is a reason for a default that isn't there"


def _answers(profile: Profile) -> Iterator[Said]:
    entries = [(("endpoints", i, "answers"), entry.answers) for i, entry in enumerate(profile.endpoints)]
    for key, answers in [*entries, (("answers",), profile.answers)]:
        for index, answer in enumerate(answers):
            if answer.status is None and answer.grpc is None:
                yield (*key, index), "an answer has a `status`, a `grpc` code, or both"
            if answer.grpc is not None and answer.grpc not in GRPC_CODES:
                yield (*key, index, "grpc"), "isn't the name of a gRPC status code"
            yield from (((*key, index, "hint"), text) for text in _hint(profile, answer.hint, {"host"}))


def _hint(profile: Profile, text: str, others: Collection[str]) -> Iterator[str]:
    for name in sorted(placeholders([text]) - set(others)):
        one = profile.input(name)
        if one is None or one.secret:
            yield f"{{{name}}} is no input of this profile, or a secret one"


def _self_test(profile: Profile) -> Iterator[Said]:
    test = profile.self_test
    if test is None:
        return
    if not test.url.startswith(("https://", "{origin}/")):
        yield ("self_test", "url"), "must begin with https:// or {origin}/"
    for text in _hint(profile, test.url, {"origin"}):
        yield ("self_test", "url"), text
    names = {rule.name for rule in profile.headers}
    for index, name in enumerate(test.headers):
        if name not in names:
            yield ("self_test", "headers", index), "is no header of this profile"
    for index, verdict in enumerate(test.answers):
        for text in _hint(profile, verdict.hint, {"origin", "host"}):
            yield ("self_test", "answers", index, "hint"), text


def _sources(profile: Profile) -> Iterator[Said]:
    if not profile.docs or not all(url.startswith("https://") for url in profile.docs):
        yield ("docs",), "needs at least one https:// page"
    if not profile.sources:
        yield ("sources",), "says where the facts come from"


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
