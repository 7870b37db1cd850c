"""`ajolo-fanout backends`: the profiles, as tables."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import click

from ajolo_fanout.cli.output import Output, json_option, table_for
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.model import Input, Known, Profile
from ajolo_fanout.values import Size, option_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["backends", "complete_type"]


@click.group(
    epilog="""\b
Examples:
  ajolo-fanout backends list
  ajolo-fanout backends show langfuse
  ajolo-fanout backends show datadog --json

\b
Exit codes:
  0  here it is
  2  the command line is wrong: there is no such type
"""
)
def backends() -> None:
    """The kinds of backends that `type = "…"` may name, and what is known of each."""


@backends.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """One line for each kind of backend."""
    profiles = [catalog.load(name) for name in catalog.names()]
    if as_json:
        click.echo(json.dumps([_brief(one) for one in profiles], indent=2))
        return
    rows = [(one.id, one.summary, ", ".join(one.protocols()), one.checked.isoformat()) for one in profiles]
    _table(Output.here().console(), ("type", "what it is", "protocols", "checked"), rows)


def complete_type(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The kinds of backends that begin so, for a shell."""
    return [name for name in catalog.names() if name.startswith(incomplete)]


@backends.command("show")
@click.argument("kind", metavar="TYPE", shell_complete=complete_type)
@json_option
def show(kind: str, *, as_json: bool) -> None:
    """All that is known of one kind: its keys, where it sends, limits, answers, documentation."""
    try:
        profile = catalog.load(kind)
    except ConfigError as error:
        raise click.BadParameter(error.problems[0].message, param_hint="TYPE") from error
    if as_json:
        click.echo(json.dumps(_plain(profile), indent=2))
        return
    from rich.padding import Padding
    from rich.text import Text

    console = Output.here().console()
    console.print(f"{profile.id}: {profile.title}", style="bold", markup=False)
    console.print(f"{profile.summary} Checked {profile.checked.isoformat()}.", markup=False)
    for title, heads, rows in _sections(profile, wide=console.width >= _WIDE):
        if rows:
            console.print()
            console.print(title, style="bold", markup=False)
            _table(console, heads, rows)
    for title, texts in (("Documentation", profile.docs), ("Sources", profile.sources)):
        if texts:
            console.print()
            console.print(title, style="bold", markup=False)
            for text in texts:
                # An address stays in one piece, so that it can be clicked.
                if title == "Documentation":
                    console.print(f"  {text}", markup=False, soft_wrap=True)
                else:
                    console.print(Padding(Text(text), (0, 0, 0, 2), expand=False))


Rows: TypeAlias = Sequence[tuple[str, ...]]

_WIDE = 110
"""Columns from which on a variable has a column of its own."""


def _sections(profile: Profile, *, wide: bool) -> Iterator[tuple[str, tuple[str, ...], Rows]]:
    if wide:
        keys: Rows = [(one.name, _kind(one), _default(one), one.env, one.help) for one in profile.inputs]
        yield "Its own keys", ("key", "type", "default", "usually in", ""), keys
    else:
        keys = [
            (
                one.name,
                _kind(one),
                _default(one),
                f"{one.help} Usually in {one.env}." if one.env else one.help,
            )
            for one in profile.inputs
        ]
        yield "Its own keys", ("key", "type", "default", ""), keys
    endpoints = [
        (
            one.url or f"your endpoint{', ' + one.path if one.path else ''}",
            one.protocol,
            " and ".join(f"{name} = {value}" for name, value in one.choice.items()),
            str(one.max_request_bytes),
        )
        for one in profile.endpoints
    ]
    yield "Where it sends", ("URL", "protocol", "when", "largest request"), endpoints
    defaults = [
        (key := ".".join(path), _toml(value), profile.reasons.get(key, ""))
        for path, value in profile.default_leaves()
    ]
    yield "Set for you", ("key", "to", "because"), defaults
    limits = [
        ("Good to know" if field.name == "note" else option.help.split(";")[0].rstrip("."), str(value))
        for field in attrs.fields(Known)
        if (value := getattr(profile.known, field.name)) and (option := option_of(field)) is not None
    ]
    yield "Limits", ("", ""), limits
    answers = [
        (
            " ".join(str(part) for part in (one.status, one.grpc) if part),
            one.meaning,
            one.hint.replace("{host}", "the host"),
        )
        for one in (*(answer for entry in profile.endpoints for answer in entry.answers), *profile.answers)
    ]
    test = profile.self_test
    asked = (
        [] if test is None else [(f"{test.method} {test.url.replace('{origin}', 'the host')}", test.proves)]
    )
    yield "How `doctor` asks about the key", ("", ""), asked
    yield "Its answers", ("answer", "counts as", "what it means"), answers


def _kind(one: Input) -> str:
    if one.choices:
        return " | ".join(one.choices)
    return "secret" if one.secret else {"text": "string"}.get(one.kind, one.kind)


def _default(one: Input) -> str:
    return "required" if one.required else "" if one.default is None else _toml(one.default)


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _brief(profile: Profile) -> dict[str, Any]:
    return {
        "type": profile.id,
        "title": profile.title,
        "summary": profile.summary,
        "protocols": list(profile.protocols()),
        "checked": profile.checked.isoformat(),
    }


def _plain(value: Any) -> Any:
    """A profile as JSON takes it; sizes are strings, as in the file."""
    if attrs.has(type(value)):
        found = {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
        return {"type": value.id, **found} if isinstance(value, Profile) else found
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (Size, Path, dt.date)):
        return str(value)
    return value if type(value) in (str, int, float) else str(value)


def _table(console: Console, heads: tuple[str, ...], rows: Rows) -> None:
    from rich.text import Text

    table = table_for(console, heads=any(heads))
    last = len(heads) - 1
    for number, head in enumerate(heads):
        # What is copied from here stays in one piece; what explains it wraps.
        table.add_column(
            head, no_wrap=number == 0 and any(heads), overflow="fold", ratio=1 if number == last else None
        )
    for row in rows:
        table.add_row(*(Text(cell, style="cyan" if not number else "") for number, cell in enumerate(row)))
    console.print(table)
