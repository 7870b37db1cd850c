"""A checkup of a file's text, with servers on loopback in the place of vendors' hosts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ajolo_fanout.config.document import parse
from ajolo_fanout.doctor.checkup import checkup
from ajolo_fanout.doctor.examiner import Route
from ajolo_fanout.doctor.findings import Check, Checkup, Diagnosis
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing.collector_run import free_ports

Protocol = Literal["http/protobuf", "grpc"]
BOTH: tuple[Protocol, ...] = ("http/protobuf", "grpc")
HEAD = 'schema = 1\n[service]\nname = "patient"\n'
SECONDS = 60.0
"""Enough for a loaded machine; what is to end by a time limit says its own."""


def backend(endpoint: str, protocol: Protocol = "http/protobuf", more: str = "", **tls: object) -> str:
    """A table of the file, with `more` lines at its end."""
    lines = "".join(f'tls.{key} = "{value}"\n' for key, value in tls.items())
    return f'[backends.b]\ntype = "otlp"\nprotocol = "{protocol}"\nendpoint = "{endpoint}"\n{lines}{more}'


def examined(text: str, **options: Any) -> Checkup:
    """The checkup of a file."""
    path = Path(options.pop("folder", ".")) / "tracing.toml"
    plan = resolve(parse(HEAD + text, "tracing.toml", path), os.environ)
    return checkup(plan, **{"seconds": SECONDS, **options})


def diagnosed(text: str, **options: Any) -> Diagnosis:
    """The diagnosis of a file's one backend."""
    [found] = examined(text, **options).backends
    return found


def one(found: Diagnosis, name: str) -> Check:
    """The check of that name; it was made once."""
    [check] = [check for check in found.checks if check.name == name]
    return check


def names(found: Diagnosis) -> list[str]:
    return [check.name for check in found.checks]


def hosts(servers: Mapping[str, str]) -> Route:
    """Asks servers in the place of hosts: `{"api.datadoghq.eu": "http://127.0.0.1:4318"}`.

    A key may go on with a path. What isn't named is asked where nobody listens.
    """
    nobody = f"http://127.0.0.1:{closed_port()}"

    def route(url: str) -> str:
        rest = url.partition("://")[2]
        host, slash, path = rest.partition("/")
        host = host.partition(":")[0]
        whole = host + slash + path
        named = max((key for key in servers if whole.startswith(key)), key=len, default=None)
        return (nobody if named is None else servers[named]) + slash + path

    return route


def closed_port() -> int:
    """A port on which nobody listens, and which the kernel gives to nobody meanwhile."""
    [port] = free_ports(1)
    return port
