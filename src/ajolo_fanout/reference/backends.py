"""The page of the backends: what is known of each, from its profile."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.model import Answer, Endpoint, Input, Known, Profile
from ajolo_fanout.reference.types import Row, cell, table, toml
from ajolo_fanout.values import option_of

__all__ = ["backends"]

_INTRODUCTION = """\
# The backends

Each `type` is a profile: one file in `backends/` that holds what is known of that kind of backend, and no
code. Beside its own keys, below, each takes the keys [common to all](configuration.md#backendsname). What a
profile sets for you, a key of yours overrides. What is *counted as lost* after a 401, a 403 or a 404 (gRPC:
UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND, UNIMPLEMENTED) waits instead where the backend has a
[spool](../explanation/delivery.md#the-spool).
"""


def backends() -> str:
    """The whole page, in Markdown."""
    return "\n".join(_page()).rstrip("\n") + "\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    profiles = [catalog.load(name) for name in catalog.names()]
    yield "| type | what it is | protocols |"
    yield "|---|---|---|"
    for one in profiles:
        yield f"| [`{one.id}`](#{one.id}) | {cell(one.summary)} | {', '.join(one.protocols())} |"
    yield ""
    for one in profiles:
        yield from _profile(one)


def _profile(one: Profile) -> Iterator[str]:
    yield f"## `{one.id}`"
    yield ""
    yield f"{one.summary} Facts checked {one.checked.isoformat()}."
    yield ""
    yield from _example(one)
    if one.inputs:
        yield from table(_input(each) for each in one.inputs)
    yield from _endpoints(one)
    yield from _carried(one)
    yield from _defaults(one)
    yield from _known(one.known)
    yield from _answers(one)
    if one.self_test is not None and one.self_test.proves:
        request = f"{one.self_test.method} {one.self_test.url}"
        yield f"**Its own check of credentials**: `{request}`. {one.self_test.proves}"
        yield ""
    yield from _listed("Documentation", [f"<{url}>" for url in one.docs])
    yield from _listed("Where these facts come from", list(one.sources))


def _example(one: Profile) -> Iterator[str]:
    yield "```toml"
    yield f"[backends.{one.id}]"
    yield f'type = "{one.id}"'
    if any(one.needs_endpoint(protocol) for protocol in one.protocols()[:1]):
        yield f'endpoint = "http://collector.internal:{4317 if one.protocols()[0] == "grpc" else 4318}"'
    for each in one.inputs:
        if each.required:
            value = f'"${{{each.env}}}"' if each.env else toml(each.example or next(iter(each.choices), "…"))
            yield f"{each.name} = {value}"
    yield "```"
    yield ""


def _input(one: Input) -> Row:
    kind = "secret" if one.secret else {"text": "string"}.get(one.kind, one.kind)
    if one.choices:
        kind = " or ".join(f"`{toml(name)}`" for name in one.choices)
    if one.minimum is not None:
        kind += f", at least {one.minimum}"
    default = "required" if one.required else "" if one.default is None else f"`{toml(one.default)}`"
    for other, by_choice in one.default_by.items():
        default += "".join(f"; `{toml(value)}` for {other} `{choice}`" for choice, value in by_choice.items())
    more = " What it stands for in the address is taken as well." if one.by_value else ""
    # A credential has no example here: it would read as if it were to be written in the file.
    example = "" if one.secret or one.choices or not one.example else toml(one.example)
    usual = f" Usually in `{one.env}`." if one.env else ""
    return Row(one.name, kind, default, one.help + more + usual, example)


def _endpoints(one: Profile) -> Iterator[str]:
    if not one.endpoints:
        return
    yield "| goes to | protocol | when | largest request |"
    yield "|---|---|---|---|"
    for each in one.endpoints:
        where = (
            f"`{each.url}`"
            if each.url
            else "your `endpoint`" + (f", path `{each.path}`" if each.path else "")
        )
        if each.any_path:
            where += " or any other"
        yield f"| {cell(where)} | {each.protocol} | {_when(each)} | {each.max_request_bytes} before compression |"
    yield ""
    yield from _places(one)
    for each in one.endpoints:
        if each.warning:
            yield f"{cell(each.warning)}."
            yield ""


def _places(one: Profile) -> Iterator[str]:
    """What the choices of an input stand for in the addresses."""
    for each in one.inputs:
        if each.choices and any(f"{{{each.name}}}" in (to.url or "") for to in one.endpoints):
            stands = ", ".join(f"`{value}` for `{toml(name)}`" for name, value in each.choices.items())
            yield f"`{{{each.name}}}` is {stands}."
            yield ""


def _carried(one: Profile) -> Iterator[str]:
    carried = []
    for rule in one.headers:
        source = " and ".join(f"`{name}`" for name in rule.sources()) or f"`{rule.value}`"
        carried.append(f"`{rule.name}` from {source}" if rule.sources() else f"`{rule.name}: {rule.value}`")
    if carried:
        yield f"**Headers**: {', '.join(carried)}."
        yield ""
    attributes = [
        f"`{rule.name}` from `{rule.input}`" if rule.input else f"`{rule.name}` = `{rule.value}`"
        for rule in one.resource
    ]
    if attributes:
        yield f"**Resource attributes**: {', '.join(attributes)}."
        yield ""


def _defaults(one: Profile) -> Iterator[str]:
    found = [(".".join(key), value) for key, value in one.default_leaves()]
    if not found:
        return
    yield "| set for you | to | because |"
    yield "|---|---|---|"
    for key, value in found:
        yield f"| `{key}` | `{toml(value)}` | {cell(one.reasons.get(key, ''))} |"
    yield ""


def _known(known: Known) -> Iterator[str]:
    found = []
    for field in attrs.fields(Known):
        value, option = getattr(known, field.name), option_of(field)
        if value is not None and field.name != "note" and option is not None:
            found.append(f"{option.help[0].lower()}{option.help[1:].split(';')[0].rstrip('.')}: {value}")
    text = f"**Its limits**: {'; '.join(found)}. " if found else ""
    if text or known.note:
        yield (text + known.note).strip()
        yield ""


def _answers(one: Profile) -> Iterator[str]:
    answers = [(answer, _asked(each)) for each in one.endpoints for answer in each.answers]
    answers += [(answer, "") for answer in one.answers]
    if not answers:
        return
    yield "| answer | what is done | what it means |"
    yield "|---|---|---|"
    for answer, asked in answers:
        hint = cell(answer.hint.replace("{host}", "the host"))
        yield f"| {_answer(answer)}{asked} | {_DONE[answer.meaning]} | {hint} |"
    yield ""


def _asked(endpoint: Endpoint) -> str:
    """Of which endpoint alone an answer is."""
    return f" ({_when(endpoint) or endpoint.protocol})"


def _when(endpoint: Endpoint) -> str:
    return " and ".join(f"`{name} = {toml(value)}`" for name, value in endpoint.choice.items())


_DONE = {"retry": "sent again", "too_large": "halved", "rejected": "counted as lost"}


def _answer(answer: Answer) -> str:
    names = [str(name) for name in (answer.status, answer.grpc) if name is not None]
    return ", ".join(names) + (f' with "{cell(answer.contains)}"' if answer.contains else "")


def _listed(title: str, entries: list[str]) -> Iterator[str]:
    if entries:
        yield f"**{title}**"
        yield ""
        yield from (f"- {entry}" for entry in entries)
        yield ""
