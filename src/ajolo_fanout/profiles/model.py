"""A profile: what is known of one kind of backend, as `backends/<id>.toml` holds it.

Facts only. A profile chooses among behaviours coded here by name and never describes one: it has no
expressions, no conditions and no code. An input may fill a placeholder, pick one endpoint, or bring a header
or a resource attribute that is there when the input is set; nothing else depends on anything.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import attrs

from ajolo_fanout.values import Duration, Size, option

__all__ = [
    "KIND_INPUTS",
    "PLACEHOLDER",
    "USELESS_KEYS",
    "Answer",
    "Behaviour",
    "Endpoint",
    "GoesWith",
    "Header",
    "Input",
    "Known",
    "Profile",
    "ResourceAttribute",
    "SelfTest",
    "Verdict",
    "placeholders",
]

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
"""How a text of a profile names an input: `{site}`."""

_OTLP_ONLY = frozenset(
    [
        "allow_plaintext",
        "compression",
        "endpoint",
        "exporter",
        "headers",
        "protocol",
        "retry",
        "spool",
        "timeout",
        "tls",
    ]
)

USELESS_KEYS: Mapping[str, frozenset[str]] = {
    "otlp": frozenset(),
    "console": _OTLP_ONLY,
    "file": _OTLP_ONLY,
}
"""Common keys that a kind has no use for: they don't reach it from `[defaults]`, and are wrong under it."""

KIND_INPUTS: Mapping[str, Mapping[str, str]] = {
    "otlp": {},
    "console": {"stream": "choice"},
    "file": {"path": "path", "max_size": "size", "rotations": "integer"},
}
"""The inputs that the code of a kind reads, with their kinds: a profile of that kind declares them."""


@attrs.frozen
class GoesWith:
    """Two inputs that make sense together only: a check with two warnings, and no behaviour."""

    input: str = option("The other input.")
    pattern: str = option(
        "A regular expression; the other input belongs to this one when its whole text matches."
    )
    alone: str = option("The warning when this input is set and the other's text doesn't match.")
    missing: str = option("The warning when the other's text matches and this input isn't set.", default="")


@attrs.frozen
class Input:
    """A key that a user writes under a backend of this type, beside the common ones."""

    name: str = option("The key, a snake_case noun. Never the name of a common key.")
    help: str = option("What it is and where one finds it, in the user's words.")
    kind: Literal["text", "choice", "boolean", "integer", "size", "path"] = option(
        "What is written: `text`, `choice` (one of `choices`), `boolean`, `integer`, `size` or `path`.",
        default="text",
        choices=("text", "choice", "boolean", "integer", "size", "path"),
    )
    secret: bool = option("A credential: shown as *** everywhere, may come from a file.", default=False)
    required: bool = option(
        "It must be written; an input that is part of the URL only where no `endpoint` is.", default=False
    )
    default: Any = option("What stands when it isn't written.", default=None)
    default_by: Mapping[str, Mapping[str, Any]] = option(
        "Other defaults for some choices of another input: `default_by.site = { us1_fed = false }`.",
        factory=dict,
    )
    choices: Mapping[str, str] = option(
        "The names that may be written, each with what it puts into a placeholder.", factory=dict
    )
    by_value: bool = option("What a choice stands for may be written in place of its name.", default=False)
    pattern: str | None = option("A regular expression that the whole text must match.", default=None)
    minimum: int | None = option("The least integer or size allowed.", default=None)
    example: str = option("A value as a user would write it, never a real credential.", default="")
    env: str = option("The environment variable that usually holds it.", default="")
    goes_with: GoesWith | None = option("Another input that this one belongs to.", default=None)


@attrs.frozen
class Answer:
    """What one of the backend's answers means, and what to do about it. The first that fits is taken."""

    meaning: Literal["retry", "too_large", "rejected"] = option(
        "`retry` (send again later), `too_large` (halve it) or `rejected` (sending again is of no use).",
        choices=("retry", "too_large", "rejected"),
    )
    hint: str = option("What it means and the option that would help; `{host}` and inputs may stand in it.")
    status: int | None = option("The HTTP status.", default=None, minimum=100, maximum=599)
    grpc: str | None = option("The gRPC status code's name, such as `UNAUTHENTICATED`.", default=None)
    contains: str | None = option(
        "Only when the body or message contains this text, in any case.", default=None
    )

    def fits(self, status: int | None, grpc: str | None, body: str) -> bool:
        """Whether this is the entry for an answer of HTTP `status` or gRPC code `grpc` with `body`."""
        known = (status is not None and status == self.status) or (grpc is not None and grpc == self.grpc)
        return known and (self.contains is None or self.contains.lower() in body.lower())


@attrs.frozen
class Endpoint:
    """Where one protocol goes in."""

    protocol: Literal["http/protobuf", "grpc"] = option(
        "`http/protobuf` or `grpc`.", choices=("http/protobuf", "grpc")
    )
    max_request_bytes: Size = option("The largest request that is taken, before compression.")
    url: str | None = option(
        "The whole URL, with `{inputs}`; for gRPC scheme, host and port. Absent where only users know it.",
        default=None,
    )
    path: str | None = option(
        "HTTP without `url`: the path that an `endpoint` without one gets.", default=None
    )
    any_path: bool = option("An `endpoint` with any other path is taken as it is.", default=False)
    choice: Mapping[str, str] = option(
        'Of several endpoints this one is picked when these inputs have these choices: `{ intake = "api" }`.',
        factory=dict,
    )
    unix: bool = option("gRPC: an `endpoint` may be a unix socket, `unix:///path`.", default=False)
    refused_ports: tuple[int, ...] = option("Ports that belong to the other protocol.", default=())
    warning: str | None = option("Said whenever this endpoint is used.", default=None)
    answers: tuple[Answer, ...] = option("Answers of this endpoint alone; looked at first.", default=())


@attrs.frozen
class Header:
    """A request header (gRPC: metadata).

    It is left out when an input it is made of isn't set. A boolean makes it `true`, or leaves it out.
    """

    name: str = option("In lower case.")
    value: str | None = option("A fixed text.", default=None)
    input: str | None = option("The input whose text it carries.", default=None)
    prefix: str = option("What stands before the input's text, such as `Bearer ` with its space.", default="")
    basic: tuple[str, ...] = option("Two inputs, user and password of `Basic` authentication.", default=())

    def sources(self) -> tuple[str, ...]:
        """The inputs that this header is made of."""
        return self.basic or ((self.input,) if self.input is not None else ())


@attrs.frozen
class ResourceAttribute:
    """A resource attribute on every span that this backend gets; left out when its input isn't set."""

    name: str = option("The attribute's name.")
    value: str | None = option("A fixed text.", default=None)
    input: str | None = option("The input whose value it carries, a boolean as a boolean.", default=None)


@attrs.frozen
class Known:
    """What the backend is known to refuse, cut or drop. For `check`, and for people."""

    trace_bytes: Size | None = option("The largest trace.", default=None)
    span_bytes: Size | None = option("The largest span or event.", default=None)
    attribute_bytes: Size | None = option(
        "The longest attribute value; longer ones are cut there.", default=None
    )
    attributes: int | None = option("The most attributes on one span.", default=None)
    max_age: Duration | None = option(
        "The age beyond which a span is refused or dropped; nothing waits longer to be sent again.",
        default=None,
    )
    note: str = option("What else is good to know.", default="")


@attrs.frozen
class Verdict:
    """What one status of the self-test says of the credentials."""

    status: int = option("The HTTP status.", minimum=100, maximum=599)
    verdict: Literal["valid", "invalid", "unclear"] = option(
        "`valid`, `invalid` or `unclear`.", choices=("valid", "invalid", "unclear")
    )
    hint: str = option("What to do next; `{host}` and inputs may stand in it.", default="")


@attrs.frozen
class SelfTest:
    """The vendor's own way to ask whether credentials are good."""

    url: str = option("With `{origin}` (scheme, host and port of the backend's URL) or inputs in it.")
    method: Literal["GET", "POST"] = option("The HTTP method.", default="GET", choices=("GET", "POST"))
    headers: tuple[str, ...] = option("The backend's headers that go with it.", default=())
    proves: str = option("What a good answer proves, and what it doesn't.", default="")
    answers: tuple[Verdict, ...] = option("What its statuses mean.", default=())


@attrs.frozen
class Behaviour:
    """How the vendor's intake answers; the fake backend of `ajolo_fanout.testing` does the same."""

    ok_status: int = option("Success.", default=200)
    ok_body: str = option("The body of success; empty: OTLP's empty response.", default="")
    ok_content_type: str = option("Its content type.", default="application/x-protobuf")
    missing_key: int = option("HTTP status when no credentials came.", default=401)
    wrong_key: int = option("HTTP status for credentials that are wrong.", default=401)
    wrong_key_grpc: str = option("gRPC code for credentials missing or wrong.", default="UNAUTHENTICATED")
    wrong_content_type: int = option("HTTP status for a content type not taken.", default=415)
    wrong_encoding: int = option("HTTP status for a compression not taken.", default=415)
    too_large: int = option("HTTP status for a request over the limit.", default=413)
    too_large_grpc: str = option("gRPC code for a request over the limit.", default="RESOURCE_EXHAUSTED")
    content_types: tuple[str, ...] = option(
        "Content types taken.", default=("application/x-protobuf", "application/json")
    )
    encodings: tuple[str, ...] = option("Compressions taken, besides none.", default=("gzip",))


@attrs.frozen
class Profile:
    """One kind of backend. `id` is the file's name and is written nowhere."""

    title: str = option("The product's name.")
    summary: str = option("One sentence: what it is.")
    kind: Literal["otlp", "console", "file"] = option(
        "The code that delivers: `otlp`, `console` or `file`.", choices=("otlp", "console", "file")
    )
    docs: tuple[str, ...] = option("The vendor's pages a user would read.")
    checked: dt.date = option("The day these facts were last held against their sources.")
    sources: tuple[str, ...] = option("Where each fact comes from, and which are inferred.")
    inputs: tuple[Input, ...] = option("The keys of this type.", default=())
    endpoints: tuple[Endpoint, ...] = option("Where requests go in, the preferred first.", default=())
    headers: tuple[Header, ...] = option("What every request carries.", default=())
    resource: tuple[ResourceAttribute, ...] = option("What every span's resource carries.", default=())
    defaults: Mapping[str, Any] = option(
        "Defaults for common keys, as a user would write them.", factory=dict
    )
    reasons: Mapping[str, str] = option(
        'Why, for each default: `"batch.schedule_delay" = "…"`.', factory=dict
    )
    weight: Literal["tracestate", "sample_rate"] = option(
        "How it reads what a kept trace stands for: `tracestate` (`ot=th:`) or `sample_rate` (the attribute "
        "`SampleRate`, a whole number).",
        default="tracestate",
        choices=("tracestate", "sample_rate"),
    )
    known: Known = option("What the backend refuses, cuts or drops.", factory=Known)
    answers: tuple[Answer, ...] = option("What its answers mean.", default=())
    self_test: SelfTest | None = option("How to ask whether credentials are good.", default=None)
    behaviour: Behaviour = option("How its intake answers.", factory=Behaviour)
    id: str = ""

    def input(self, name: str) -> Input | None:
        """The input called `name`, or None."""
        return next((one for one in self.inputs if one.name == name), None)

    def default_leaves(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        """The path of each default below `defaults`, and its value: tables are walked into."""
        yield from _leaves(self.defaults, ())

    def protocols(self) -> tuple[str, ...]:
        """The protocols that some endpoint takes, each once, in the file's order."""
        return tuple(dict.fromkeys(endpoint.protocol for endpoint in self.endpoints))

    def location(self) -> frozenset[str]:
        """The inputs that are part of a URL: never written together with `endpoint`."""
        return placeholders(endpoint.url for endpoint in self.endpoints)

    def picks(self) -> frozenset[str]:
        """The inputs that pick one of several endpoints."""
        return frozenset(name for endpoint in self.endpoints for name in endpoint.choice)

    def needs_endpoint(self, protocol: str) -> bool:
        """Whether only the user can know where `protocol` goes."""
        return all(entry.url is None for entry in self.endpoints if entry.protocol == protocol)

    def self_test_inputs(self) -> frozenset[str]:
        """The inputs that the self-test's URL needs."""
        return placeholders([self.self_test.url if self.self_test else None]) - {"origin"}

    def secret_inputs(self) -> frozenset[str]:
        """The inputs that hold credentials."""
        return frozenset(one.name for one in self.inputs if one.secret)


def _leaves(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def placeholders(texts: Iterable[str | None]) -> frozenset[str]:
    """The names that stand in braces in any of `texts`."""
    return frozenset(name for text in texts if text for name in PLACEHOLDER.findall(text))
