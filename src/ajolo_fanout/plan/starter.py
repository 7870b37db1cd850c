"""A commented `tracing.toml` to start from, made of the profiles of the chosen backends."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ajolo_fanout.plan.declarative import Carried, CarriedBackend
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.model import Input, Profile

__all__ = ["SCHEMA_FILE", "Starter", "starter"]

SCHEMA_FILE = "tracing.schema.json"
"""Where the file's first line tells editors to look for its schema: beside it."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WIDTH = 100

_HEAD = f"""\
#:schema {SCHEMA_FILE}

## tracing.toml: where traces go, and what each place gets to see.
##
## Lines with two hashes are prose. Lines with one hash are what you may want: uncomment and change them.
## ${{NAME}} stands for an environment variable, ${{NAME:-text}} has a default, $$ is a dollar.
## `ajolo-fanout check` says what is wrong, `ajolo-fanout plan` what goes where.

schema = 1
"""

_COMMON = """\

## A share of all traces, what this backend must not see, and which spans it gets at all:
# sampling.ratio = 0.2
# redaction.content = "drop"
# redaction.detect = ["email", "credit_card", "api_key"]
# select.include = ["llm"]
"""


@attrs.frozen
class Starter:
    """A file to start from.

    Attributes:
        text: The file.
        variables: The environment variables that it needs, in its order.
    """

    text: str
    variables: tuple[str, ...]


def starter(types: Sequence[str], service: str = "my-agent", carried: Carried | None = None) -> Starter:
    """Write a file for backends of these types.

    Args:
        types: Ids of profiles; one that is named twice counts once.
        service: What the program is called, where `carried` doesn't say.
        carried: What another configuration says already.

    Raises:
        ConfigError: there is no profile of that name.
    """
    profiles = [catalog.load(name) for name in dict.fromkeys(types)]
    known = carried or Carried()
    parts = [_HEAD, *_top(known, service)]
    names = {backend.name for backend in known.backends}
    parts += [_carried(backend) for backend in known.backends]
    parts += [_backend(profile) for profile in profiles if profile.id not in names]
    text = "\n".join(parts)
    needed = [
        name for line in text.splitlines() if not line.startswith("#") for name in _VARIABLE.findall(line)
    ]
    return Starter(text, tuple(dict.fromkeys(needed)))


def _top(carried: Carried, service: str) -> Iterator[str]:
    said = {"name": service, **carried.service}
    lines = ["## Who is sending.", "[service]", *_assignments(said)]
    if "version" not in said:
        lines.append('# version = "${APP_VERSION:-dev}"')
    if "environment" not in said:
        lines.append('# environment = "production"')
    yield _lines(lines)
    for name in ("resource", "limits", "defaults"):
        if table := getattr(carried, name):
            yield _lines([f"[{name}]", *_assignments(table)])


def _carried(backend: CarriedBackend) -> str:
    head = [f"[backends.{backend.name}]", f'type = "{backend.type}"']
    return "\n" + _lines([*head, *_assignments(backend.keys)]) + _COMMON


def _backend(profile: Profile) -> str:
    lines = [*_prose(profile.summary)]
    lines += [f"## {url}" for url in profile.docs[:1]]
    lines += [f"[backends.{profile.id}]", f'type = "{profile.id}"']
    protocols = profile.protocols()
    if protocols and profile.needs_endpoint(protocols[0]):
        host = profile.id.replace("_", "-") if profile.id != "otlp" else "collector"
        lines += [f'endpoint = "http://{host}.internal:{4317 if protocols[0] == "grpc" else 4318}"']
    for one in sorted(profile.inputs, key=lambda one: not one.required):
        lines += ["", *_prose(one.help)]
        hash_ = "" if one.required else "# "
        lines.append(f"{hash_}{one.name} = {_value(one)}{_choices(one)}")
    common = _COMMON if profile.kind == "otlp" else ""
    return "\n" + _lines(lines) + common


def _value(one: Input) -> str:
    """What to write: credentials never stand in the file, and variables only where there is no default."""
    if one.secret:
        return _toml(f"${{{one.env or one.name.upper()}}}")
    if one.default is not None:
        return _toml(one.default)
    return _toml(one.example or next(iter(one.choices), "") or f"${{{one.env or one.name.upper()}}}")


def _choices(one: Input) -> str:
    return f"  # {', '.join(one.choices)}" if len(one.choices) > 1 else ""


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="## ", subsequent_indent="## ", break_long_words=False)


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _assignments(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in table.items():
        name = above + (key if _BARE.fullmatch(key) else _toml(key))
        if isinstance(value, Mapping) and key != "headers":
            yield from _assignments(value, f"{name}.")
        else:
            yield f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (
            f"{key if _BARE.fullmatch(key) else _toml(key)} = {_toml(inner)}" for key, inner in value.items()
        )
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    # JSON's strings are TOML's, but for one character, and for halves of emoji, which TOML doesn't know.
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text.encode("utf-8", "replace").decode()
