"""Where one backend's requests go, and all that its delivery needs to know of the other side."""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import attrs

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.profiles.endpoint import (
    Address,
    Place,
    fill_text,
    is_loopback,
    place,
    read_address,
    recognise,
)
from ajolo_fanout.profiles.finding import Finding
from ajolo_fanout.profiles.headers import Headers, headers_of
from ajolo_fanout.profiles.inputs import fill
from ajolo_fanout.profiles.model import Answer, Profile, Verdict
from ajolo_fanout.values import Secret

__all__ = ["Finding", "SelfTestRequest", "Target", "resolve_target"]

_SOMEWHERE = Address("https", "placeholder.invalid", None, "")


@attrs.frozen
class SelfTestRequest:
    """The vendor's own credential check, ready to be sent.

    Attributes:
        method: `"GET"` or `"POST"`.
        url: The whole URL.
        headers: By name in lower case.
        answers: What its statuses mean, hints filled in.
        proves: What a good answer proves, and what it doesn't.
    """

    method: str
    url: str
    headers: Mapping[str, Secret]
    answers: tuple[Verdict, ...]
    proves: str


@attrs.frozen
class Target:
    """Where a backend's requests go: made from a profile and the user's options.

    Attributes:
        profile: What is known of this kind of backend.
        kind: `"otlp"`, `"console"` or `"file"`.
        protocol: `"http/protobuf"` or `"grpc"`; empty for console and file.
        url: HTTP: the URL that is posted to. gRPC: `http://host:port` (plain), `https://host:port` (TLS) or
            `unix:///path`.
            Console: `console:stderr`; file: the file's `file://` URL.
        headers: Request headers, or gRPC metadata, by name in lower case.
        credentials: The names of the headers that authenticate.
        max_request_bytes: The largest request, before compression; 0 where there is no limit.
        answers: What the other side's answers mean, most particular first, hints filled in.
        resource: Attributes that this type puts on every span's resource.
        inputs: The inputs' values, defaults included, credentials as `Secret`.
        self_test: The vendor's credential check, where there is one for this address.
        stream: Console: `"stdout"` or `"stderr"`.
        file: File: where lines are appended.
        max_file_bytes: File: the size at which it is rotated.
        rotations: File: how many older files are kept.
    """

    profile: Profile = attrs.field(repr=lambda profile: profile.id)
    kind: Literal["otlp", "console", "file"]
    protocol: str
    url: str
    headers: Mapping[str, Secret] = attrs.field(factory=dict)
    credentials: frozenset[str] = frozenset()
    max_request_bytes: int = 0
    answers: tuple[Answer, ...] = attrs.field(default=(), repr=False)
    resource: Mapping[str, Any] = attrs.field(factory=dict)
    inputs: Mapping[str, Any] = attrs.field(factory=dict)
    self_test: SelfTestRequest | None = attrs.field(default=None, repr=False)
    stream: str | None = None
    file: Path | None = None
    max_file_bytes: int = 0
    rotations: int = 0

    @property
    def secure(self) -> bool:
        """Whether requests go over TLS."""
        return self.url.startswith("https://")

    @property
    def authority(self) -> str:
        """`host:port` as gRPC wants it, or `host[:port]` for HTTP; empty for console and file."""
        return urllib.parse.urlsplit(self.url).netloc if self.kind == "otlp" else ""

    @property
    def host(self) -> str:
        """The host's name alone, or the path of a unix socket; empty for console and file."""
        parts = urllib.parse.urlsplit(self.url)
        if self.kind != "otlp":
            return ""
        return parts.path if parts.scheme == "unix" else parts.hostname or ""


def resolve_target(
    profile: Profile,
    inputs: Mapping[str, Any],
    settings: BackendSettings,
    *,
    unset: Collection[str] = (),
) -> tuple[Target | None, list[Finding]]:
    """Where a backend of this profile sends.

    Args:
        profile: What is known of this kind of backend.
        inputs: What the user wrote for the profile's inputs, typed (`inputs_class()`); None or nothing for
            what isn't written.
        settings: The common keys, typed and merged.
        unset: Inputs that stand on placeholders; their texts are not looked at.

    Returns:
        The target, or None when any finding is an error, and everything that was found. Keys of findings
        are below the backend's own table.
    """
    written = {name: value for name, value in inputs.items() if value is not None}
    if profile.kind != "otlp":
        return _local_target(profile, written, unset)
    findings = _protocol_findings(profile, settings)
    address: Address | None = None
    located = settings.endpoint is not None
    guessed = isinstance(settings.endpoint, FromEnvironment) and not settings.endpoint.known
    if settings.endpoint is not None:
        read = read_address(settings.endpoint, settings.protocol)
        if guessed:  # some of it is a placeholder: what can be known is that there is an endpoint
            address = _SOMEWHERE if isinstance(read, str) else attrs.evolve(read, path="")
        elif isinstance(read, str):
            findings.append(Finding(("endpoint",), read, code="endpoint"))
        else:
            address = read
    inferred = recognise(profile, settings.protocol, address) if address is not None else {}
    values, wrong = fill(profile, written, located=located, inferred=inferred, unset=unset)
    contradictions = _contradictions(profile, written, inferred)
    findings += wrong + contradictions
    headers, wrong = headers_of(profile, values, settings.headers, settings.protocol)
    findings += wrong
    found: Place | None = None
    needed = profile.picks() if located else profile.picks() | profile.location()
    placeable = settings.protocol in profile.protocols() and needed <= values.keys() and not contradictions
    if placeable and located == (address is not None):
        found, wrong = place(profile, settings.protocol, values, address)
        findings += wrong
    if found is not None and not guessed:
        findings += _plaintext(found, headers, settings)
    if found is None or any(finding.severity == "error" for finding in findings):
        return None, findings
    return _target(profile, settings, values, headers, found), findings


def _target(
    profile: Profile, settings: BackendSettings, values: Mapping[str, Any], headers: Headers, found: Place
) -> Target:
    host = found.address.host or found.address.path
    answers = tuple(
        attrs.evolve(answer, hint=fill_text(answer.hint, profile, values, host=host))
        for answer in (*found.entry.answers, *profile.answers)
    )
    return Target(
        profile=profile,
        kind=profile.kind,
        protocol=settings.protocol,
        url=found.url,
        headers=headers.values,
        credentials=headers.credentials,
        max_request_bytes=int(found.entry.max_request_bytes),
        answers=answers,
        resource=_resource(profile, values),
        inputs=MappingProxyType(dict(values)),
        self_test=_self_test(profile, values, headers, found.address),
    )


def _local_target(
    profile: Profile, written: Mapping[str, Any], unset: Collection[str]
) -> tuple[Target | None, list[Finding]]:
    values, findings = fill(profile, written, located=False, inferred={}, unset=unset)
    if any(finding.severity == "error" for finding in findings):
        return None, findings
    target = Target(
        profile=profile,
        kind=profile.kind,
        protocol="",
        url="",
        resource=_resource(profile, values),
        inputs=MappingProxyType(dict(values)),
    )
    if profile.kind == "console":
        stream = values["stream"]
        return attrs.evolve(target, url=f"console:{stream}", stream=stream), findings
    path = Path(values["path"])
    return attrs.evolve(
        target,
        url=path.absolute().as_uri(),
        file=path,
        max_file_bytes=int(values["max_size"]),
        rotations=int(values["rotations"]),
    ), findings


def _protocol_findings(profile: Profile, settings: BackendSettings) -> list[Finding]:
    findings = []
    taken = profile.protocols()
    if settings.protocol not in taken:
        name = "gRPC" if settings.protocol == "grpc" else settings.protocol
        message = f'{profile.title} takes no {name}; write protocol = "{taken[0]}", or leave `protocol` out'
        findings.append(Finding(("protocol",), message, code="protocol"))
    return findings


def _contradictions(
    profile: Profile, written: Mapping[str, Any], inferred: Mapping[str, str]
) -> list[Finding]:
    """An endpoint of the vendor's own that is another one than the inputs pick."""
    return [
        Finding(
            ("endpoint",),
            f'this is the address of {name} = "{inferred[name]}"; write that, or leave `endpoint` out',
            code="endpoint-and-choice",
        )
        for name in sorted(profile.picks() & inferred.keys() & written.keys())
        if inferred[name] != written[name]
    ]


def _plaintext(found: Place, headers: Headers, settings: BackendSettings) -> list[Finding]:
    if found.address.scheme in ("https", "unix") or not headers.credentials or settings.allow_plaintext:
        return []
    if is_loopback(found.address.host):
        return []
    secure = attrs.evolve(found.address, scheme="https").origin
    message = (
        f"the key ({', '.join(sorted(headers.credentials))}) would cross the network unencrypted; "
        f"write {secure}, or allow_plaintext = true where the way there is safe"
    )
    return [Finding(("endpoint",), message, code="plaintext-key")]


def _resource(profile: Profile, values: Mapping[str, Any]) -> Mapping[str, Any]:
    made: dict[str, Any] = {}
    for rule in profile.resource:
        value = rule.value if rule.input is None else values.get(rule.input)
        if value is not None:
            made[rule.name] = value
    return MappingProxyType(made)


def _self_test(
    profile: Profile, values: Mapping[str, Any], headers: Headers, address: Address
) -> SelfTestRequest | None:
    """The credential check; None where its address can't be known (an endpoint not the vendor's)."""
    test = profile.self_test
    if test is None or not profile.self_test_inputs() <= values.keys():
        return None
    others = {"origin": address.origin, "host": address.host}
    return SelfTestRequest(
        method=test.method,
        url=fill_text(test.url, profile, values, **others),
        headers=MappingProxyType({n: headers.values[n] for n in test.headers if n in headers.values}),
        answers=tuple(
            attrs.evolve(one, hint=fill_text(one.hint, profile, values, **others)) for one in test.answers
        ),
        proves=test.proves,
    )
