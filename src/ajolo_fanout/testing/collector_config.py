"""The configuration that a Collector for tests runs with: OTLP in, one file out, and the reading of that file.

The configuration is written as JSON, which a reader of YAML takes. Component names and keys are the Collector's own
(opentelemetry-collector and -contrib, 0.145).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import attrs

from ajolo_fanout.testing.tls import Tls

__all__ = ["SPANS", "BasicAuth", "BearerToken", "Listen", "as_text", "configuration", "laid_over", "messages"]

SPANS = "spans.pb"
"""The file that it writes: one message after another, each behind its length in four bytes (`fileexporter`)."""

_LENGTH = struct.Struct(">I")


@attrs.frozen
class BearerToken:
    """What the Collector's `bearertokenauth` asks of every request: one header with one text.

    With `scheme=""` it is any backend's key in any header: `BearerToken(key, "dd-api-key", "")`.

    Attributes:
        token: The right token. Not shown in the `repr`.
        header: The header, or gRPC metadata, that carries it.
        scheme: What stands before it, with a space between; empty for nothing.
    """

    token: str = attrs.field(repr=False)
    header: str = "authorization"
    scheme: str = "Bearer"

    def extension(self) -> tuple[str, dict[str, Any]]:
        """The extension's name and settings."""
        # Go's HTTP server gives header names in this form, and the extension compares them as they are.
        header = "-".join(part.capitalize() for part in self.header.split("-"))
        settings = {"header": header, "scheme": _literal(self.scheme), "token": _literal(self.token)}
        return "bearertokenauth", settings


@attrs.frozen
class BasicAuth:
    """What the Collector's `basicauth` asks of every request: HTTP's Basic scheme, also over gRPC.

    Attributes:
        username: Without a colon.
        password: Not shown in the `repr`.
    """

    username: str
    password: str = attrs.field(repr=False)

    def extension(self) -> tuple[str, dict[str, Any]]:
        """The extension's name and settings."""
        return "basicauth", {"htpasswd": {"inline": _literal(f"{self.username}:{self.password}")}}


@attrs.frozen
class Listen:
    """Where the Collector listens and writes, as it sees it itself.

    Attributes:
        http: `address:port` of OTLP over HTTP.
        grpc: `address:port` of OTLP over gRPC.
        health: `address:port` of the health check.
        folder: The folder of the certificates and of the file that it writes.
    """

    http: str
    grpc: str
    health: str
    folder: str


def configuration(
    listen: Listen, *, tls: Tls | None, auth: BearerToken | BasicAuth | None, path: str
) -> dict[str, Any]:
    """The whole configuration as plain values.

    Args:
        listen: Where it listens and writes.
        tls: Serve TLS, to clients with a certificate only where it says so.
        auth: What every request must carry; None: nothing.
        path: The URL path that takes traces over HTTP.
    """
    http: dict[str, Any] = {"endpoint": listen.http, "traces_url_path": path}
    grpc: dict[str, Any] = {"endpoint": listen.grpc}
    extensions: dict[str, Any] = {"health_check": {"endpoint": listen.health}}
    for protocol in (http, grpc):
        if tls is not None:
            protocol["tls"] = _server_tls(tls, listen.folder)
        if auth is not None:
            name, settings = auth.extension()
            extensions[name] = settings
            protocol["auth"] = {"authenticator": name}
    # As protobuf: its JSON has no -0.0.
    exporter = {
        "path": f"{listen.folder}/{SPANS}",
        "format": "proto",
        "append": True,
        "flush_interval": "20ms",
    }
    return {
        "extensions": extensions,
        "receivers": {"otlp": {"protocols": {"http": http, "grpc": grpc}}},
        "exporters": {"file": exporter},
        "service": {
            "extensions": list(extensions),
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    }


def laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key: tables merge, everything else that `over` has replaces what is `under` it."""
    merged = dict(under)
    for name, value in over.items():
        before = merged.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[name] = laid_over(before, value)
        else:
            merged[name] = value
    return merged


def messages(content: bytes) -> tuple[list[bytes], int]:
    """The whole messages at the start of `content`, and how much they take: another may still be being written."""
    found: list[bytes] = []
    place = 0
    while place + _LENGTH.size <= len(content):
        start = place + _LENGTH.size
        end = start + _LENGTH.unpack_from(content, place)[0]
        if end > len(content):
            break
        found.append(content[start:end])
        place = end
    return found, place


def as_text(config: Mapping[str, Any]) -> str:
    """What the Collector reads."""
    return json.dumps(config, indent=2) + "\n"


def _server_tls(tls: Tls, folder: str) -> dict[str, Any]:
    files = {"cert_file": f"{folder}/server.pem", "key_file": f"{folder}/server.key"}
    return {**files, "client_ca_file": f"{folder}/ca.pem"} if tls.client_required else files


def _literal(text: str) -> str:
    """`text` with nothing in it that the Collector would put something in place of."""
    return text.replace("$", "$$")
