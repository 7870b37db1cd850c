"""Where requests go: a profile's own URL, or the user's `endpoint` held against what the profile knows."""

from __future__ import annotations

import ipaddress
import itertools
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

import attrs

from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.config.veil import veiled
from ajolo_fanout.profiles.finding import Finding
from ajolo_fanout.profiles.model import PLACEHOLDER, Endpoint, Profile, placeholders

__all__ = ["Address", "Place", "fill_text", "is_loopback", "place", "read_address", "recognise"]

_HOST = re.compile(r"[A-Za-z0-9._-]+")
_ECHOED = re.compile(r"[A-Za-z0-9._:/\[\]-]+")
_INNER_NAMES = (".local", ".internal", ".svc", ".lan", ".home.arpa")
_DEFAULT_PORTS = {("grpc", "http"): 4317, ("grpc", "https"): 443}
_TRACES = "/v1/traces"
_LONGEST_SOCKET = 103
"""What every system has room for in a socket's address: 108 bytes on Linux, 104 on macOS, less a zero."""


@attrs.frozen
class Address:
    """An endpoint in its parts; `host` in lower case and without brackets, `path` as written.

    A unix socket has no host: its `path` is all there is.
    """

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and the port where one is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")


@attrs.frozen
class Place:
    """Where requests go, and by which of the profile's endpoints."""

    address: Address
    entry: Endpoint

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.address.origin + self.address.path


def read_address(text: str, protocol: str) -> Address | str:
    """The parts of what a user wrote as `endpoint`, or what is wrong with it."""
    if any(character.isspace() or not character.isprintable() for character in text):
        return "has white space or a control character in it"
    if text.startswith("unix:"):
        return _read_socket(text, protocol)
    scheme, separator, _ = text.partition("://")
    if not separator:
        return f"a scheme is always written: {_with_scheme(text, protocol)}"
    if scheme not in ("http", "https"):
        example = "https" if scheme.endswith("s") else "http"
        return f"the scheme must be http or https (for gRPC too: http is plain, https is TLS), such as {example}://…"
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError:
        return "isn't a URL: the port must be a number up to 65535, and an IPv6 address stands in brackets"
    for present, what, instead in (
        ("@" in parts.netloc, "a user or password", "credentials are inputs or `headers`"),
        ("?" in text, "a query", "write what it says as `headers`"),
        ("#" in text, "a fragment", "leave it out"),
    ):
        if present:
            return f"an endpoint has no room for {what}; {instead}"
    host = (parts.hostname or "").lower()
    if not _host_is_right(host) or port == 0:
        return "isn't a URL with a host, such as https://collector.example.com:4318"
    return Address(scheme, host, port, parts.path)


def _read_socket(text: str, protocol: str) -> Address | str:
    """`unix:///path`, as gRPC names a socket by its absolute path."""
    if protocol != "grpc":
        return 'a unix socket is reached by gRPC only; write protocol = "grpc", or http://localhost:4318'
    path = text.removeprefix("unix://")
    if not path.startswith("/") or path.endswith("/") or "?" in path or "#" in path or "%" in path:
        return "a unix socket is written with its absolute path, such as unix:///var/run/agent.sock"
    if len(path.encode()) > _LONGEST_SOCKET:
        return f"the path of a unix socket has room for {_LONGEST_SOCKET} bytes only"
    return Address("unix", "", None, path)


def place(
    profile: Profile, protocol: str, values: Mapping[str, Any], address: Address | None
) -> tuple[Place | None, list[Finding]]:
    """The endpoint of `profile` that the inputs pick, at the user's `address` where there is one.

    Args:
        profile: Whose endpoints they are; at least one takes `protocol`.
        protocol: `"http/protobuf"` or `"grpc"`.
        values: The inputs' values, with those that the address shows.
        address: The user's `endpoint`, or None.

    Returns:
        The place, or None with what is wrong; warnings come with a place.
    """
    entries = [entry for entry in profile.endpoints if entry.protocol == protocol]
    entries = [entry for entry in entries if all(values.get(k) == v for k, v in entry.choice.items())]
    if not entries:
        return None, [Finding(("protocol",), f"{profile.id} has no {protocol} endpoint for these inputs")]
    entry = entries[0]
    if address is None:
        if entry.url is None:
            example = f"http://localhost:{4317 if protocol == 'grpc' else 4318}"
            return None, [
                Finding((), f"{profile.id} needs an `endpoint`, such as {example}", code="no-endpoint")
            ]
        found: Place | Finding = Place(_own_address(profile, entry, values), entry)
    elif protocol == "grpc":
        found = _grpc_place(profile, entry, address)
    else:
        found = _http_place(profile, entry, values, address)
    if isinstance(found, Finding):
        return None, [found]
    key = ("endpoint",) if address is not None else tuple(sorted(entry.choice))[:1]
    warnings = [Finding(key, entry.warning, severity="warning", code="endpoint")] if entry.warning else []
    return found, warnings


def recognise(profile: Profile, protocol: str, address: Address) -> dict[str, str]:
    """What an address of the vendor's own says of the inputs: its region, and which endpoint it is.

    Known are the hosts of every endpoint whose URL is made of choices alone; a path then tells endpoints of
    one host, or of an unknown host (a proxy), apart.
    """
    by_path: dict[str, str] | None = None
    path = address.path.rstrip("/")
    for entry in profile.endpoints:
        if entry.protocol != protocol:
            continue
        for choices in _combinations(profile, entry):
            known = _own_address(profile, entry, choices)
            if known.host == address.host:
                return {**choices, **entry.choice}
        own_path = _path_of(profile, entry, {})
        if path and by_path is None and own_path and path in (own_path, own_path.removesuffix(_TRACES)):
            by_path = dict(entry.choice)
    return by_path or {}


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine: localhost, 127.0.0.0/8, ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def fill_text(text: str, profile: Profile, values: Mapping[str, Any], **others: str) -> str:
    """`text` with its placeholders filled: a choice by what it stands for, anything else as written."""

    def one(found: re.Match[str]) -> str:
        name = found[1]
        if name in others:
            return others[name]
        value = values.get(name)
        known = profile.input(name)
        choices = known.choices if known is not None else {}
        return f"({name} not given)" if value is None else str(choices.get(value, value))

    return PLACEHOLDER.sub(one, text)


def _own_address(profile: Profile, entry: Endpoint, values: Mapping[str, Any]) -> Address:
    assert entry.url is not None
    quoted = {
        name: value if name in _choice_names(profile) else urllib.parse.quote(str(value), safe="")
        for name, value in values.items()
    }
    parts = urllib.parse.urlsplit(fill_text(entry.url, profile, quoted))
    return Address(parts.scheme, (parts.hostname or "").lower(), parts.port, parts.path)


def _http_place(
    profile: Profile, entry: Endpoint, values: Mapping[str, Any], address: Address
) -> Place | Finding:
    if address.port is not None and address.port in entry.refused_ports:
        return _foreign_port(profile, entry, address)
    full = _path_of(profile, entry, values)
    path = address.path.rstrip("/")
    if path in ("", full, full.removesuffix(_TRACES)):
        return Place(attrs.evolve(address, path=full), entry)
    if entry.any_path:
        return Place(address, entry)
    own = attrs.evolve(address, path="").origin + full
    message = f'this path is not one of {profile.id}\'s; write {own}, or use type = "otlp" for any other path'
    return Finding(("endpoint",), message, code="endpoint-path")


def _grpc_place(profile: Profile, entry: Endpoint, address: Address) -> Place | Finding:
    if address.scheme == "unix":
        if entry.unix:
            return Place(address, entry)
        message = f"{profile.title} is not known to listen on a unix socket; write its address with a scheme"
        return Finding(("endpoint",), message, code="endpoint")
    if address.port is not None and address.port in entry.refused_ports:
        return _foreign_port(profile, entry, address)
    if address.path.rstrip("/"):
        http = ', or protocol = "http/protobuf"' if "http/protobuf" in profile.protocols() else ""
        message = f"an endpoint for gRPC has no path; write {address.origin}{http}"
        return Finding(("endpoint",), message, code="endpoint-path")
    port = address.port or _grpc_port(entry, address.scheme)
    return Place(attrs.evolve(address, path="", port=port), entry)


def _grpc_port(entry: Endpoint, scheme: str) -> int:
    own = urllib.parse.urlsplit(entry.url or "")
    if own.scheme == scheme and own.port is not None:
        return own.port
    return _DEFAULT_PORTS["grpc", scheme]


def _foreign_port(profile: Profile, entry: Endpoint, address: Address) -> Finding:
    other = "grpc" if entry.protocol != "grpc" else "http/protobuf"
    own = 4317 if entry.protocol == "grpc" else 4318
    name = "gRPC" if other == "grpc" else "HTTP"
    message = (
        f"port {address.port} is {profile.title}'s {name} port; write "
        f'{attrs.evolve(address, port=own).origin}, or protocol = "{other}"'
    )
    return Finding(("endpoint",), message, code="endpoint-port")


def _path_of(profile: Profile, entry: Endpoint, values: Mapping[str, Any]) -> str:
    if entry.url is None:
        return entry.path or ""
    return fill_text(urllib.parse.urlsplit(entry.url).path, profile, values)


def _combinations(profile: Profile, entry: Endpoint) -> list[dict[str, str]]:
    """Every way to fill the placeholders of an endpoint's URL; none where one of them is free text."""
    if entry.url is None:
        return []
    names = sorted(placeholders([entry.url]))
    inputs = [profile.input(name) for name in names]
    choices = [list(one.choices) if one is not None else [] for one in inputs]
    return [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*choices)]


def _choice_names(profile: Profile) -> frozenset[str]:
    return frozenset(one.name for one in profile.inputs if one.kind == "choice")


def _host_is_right(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(host) is not None


def _with_scheme(text: str, protocol: str) -> str:
    """The endpoint as it was probably meant; without its text where that may be anything."""
    example = f"http://localhost:{4317 if protocol == 'grpc' else 4318}"
    if isinstance(text, FromEnvironment) or not _ECHOED.fullmatch(text) or veiled(text) != text:
        return f"such as {example}"
    text = text.lstrip("/")
    host = text.partition("/")[0]
    name = host.partition(":")[0].lower() if not host.startswith("[") else host
    inner = "." not in name or name.endswith(_INNER_NAMES) or name.replace(".", "").isdigit()
    return f"{'http' if inner or host.endswith((':4317', ':4318')) else 'https'}://{text}"
