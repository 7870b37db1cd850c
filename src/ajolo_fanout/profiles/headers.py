"""The headers of a backend's requests: the profile's, with the user's own laid over them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ajolo_fanout.profiles.finding import Finding
from ajolo_fanout.profiles.model import Header, Profile
from ajolo_fanout.values import Secret

__all__ = ["NAME", "Headers", "authenticates", "headers_of"]

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
"""A header's name in lower case (RFC 9110, token)."""

_METADATA_NAME = re.compile(r"[0-9a-z_.-]+")
_AUTHENTICATES = re.compile(
    r"authorization|cookie|key|token|secret|password|credential|auth$|dsn|^x-honeycomb-team$"
)
"""The last is a vendor's whose name doesn't say so; a test holds this to the profiles' own headers."""

_OURS = frozenset(
    [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)


@attrs.frozen
class Headers:
    """What goes with every request.

    Attributes:
        values: By name in lower case, in the order they are sent.
        credentials: The names of those that authenticate.
    """

    values: Mapping[str, Secret]
    credentials: frozenset[str]


def authenticates(name: str) -> bool:
    """Whether a header's name says that it carries a credential."""
    return _AUTHENTICATES.search(name.lower()) is not None


def headers_of(
    profile: Profile, values: Mapping[str, Any], own: Mapping[str, Secret], protocol: str
) -> tuple[Headers, list[Finding]]:
    """The headers that `profile` and the user's `headers` table make.

    Args:
        profile: Whose header rules they are.
        values: The inputs' values.
        own: The user's `headers`, which win.
        protocol: `"grpc"` allows fewer names and characters.
    """
    made: dict[str, Secret] = {}
    credentials = set()
    findings = []
    secrets = profile.secret_inputs()
    for rule in profile.headers:
        value = _value(rule, values)
        if value is None:
            continue
        made[rule.name] = value
        if secrets.intersection(rule.sources()):
            credentials.add(rule.name)
        key = rule.sources()[-1:]
        findings += _troubles(key, rule.name, value, protocol)
        findings += _basic_troubles(rule, values)
    for name, value in own.items():  # names that differ in more than their case: `structure` sees to it
        key = ("headers", name)
        lower = name.lower()
        findings += _name_troubles(key, lower, protocol) or _troubles(key, lower, value, protocol)
        made[lower] = value
        if authenticates(lower):
            credentials.add(lower)
    return Headers(MappingProxyType(made), frozenset(credentials)), findings


def _value(rule: Header, values: Mapping[str, Any]) -> Secret | None:
    if rule.value is not None:
        return Secret(rule.value)
    if any(source not in values for source in rule.sources()):
        return None
    if rule.basic:
        user, password = (_secret(values[source]) for source in rule.basic)
        return user.derive(_basic, password)
    value = values[rule.input or ""]
    if isinstance(value, bool):
        return Secret("true") if value else None
    text = _secret(value)
    return text.derive(_Prefixed(rule.prefix)) if rule.prefix else text


def _secret(value: Any) -> Secret:
    return value if isinstance(value, Secret) else Secret(str(value))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


@attrs.frozen
class _Prefixed:
    prefix: str

    def __call__(self, text: str) -> str:
        return self.prefix + text


def _name_troubles(key: tuple[str, ...], name: str, protocol: str) -> list[Finding]:
    if not (_METADATA_NAME if protocol == "grpc" else NAME).fullmatch(name):
        return [Finding(key, "isn't a header's name", code="header")]
    if name in _OURS or (protocol == "grpc" and (name.startswith("grpc-") or name.endswith("-bin"))):
        return [Finding(key, "is set by the sender itself; leave it out", code="header")]
    return []


def _troubles(key: tuple[str, ...], name: str, value: Secret, protocol: str) -> list[Finding]:
    """What keeps a value from being sent as a header; the value itself is never shown."""
    text = value.reveal()
    if any(character in text for character in "\r\n\0"):
        trouble = "has a line break in it"
    elif not text.strip():
        trouble = "is empty"
    elif not _encodable(text, "ascii" if protocol == "grpc" else "latin-1"):
        trouble = f"has characters that a header can't carry (it must be {_alphabet(protocol)})"
    elif any(ord(character) < 0x20 and character != "\t" for character in text) or "\x7f" in text:
        trouble = "has a control character in it"
    elif text != text.strip():
        trouble = "has white space at its start or end"
    else:
        return []
    what = "" if key[-1:] == (name,) else f"as the header {name}: "
    return [Finding(key, what + trouble, code="header-value")]


def _basic_troubles(rule: Header, values: Mapping[str, Any]) -> list[Finding]:
    """Base64 would hide these: a colon in the user's part moves the border to the password."""
    if rule.basic and ":" in _secret(values[rule.basic[0]]).reveal():
        return [
            Finding((rule.basic[0],), "has a colon in it, which a user name can't have", code="bad-value")
        ]
    return []


def _encodable(text: str, alphabet: str) -> bool:
    try:
        text.encode(alphabet)
    except UnicodeEncodeError:
        return False
    return True


def _alphabet(protocol: str) -> str:
    return "ASCII" if protocol == "grpc" else "Latin-1"
