"""`[[tests]]`: spans that a file is tried with, and what each backend is to get of them.

No class is called `Test…`: pytest would take it for a collection of tests wherever it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs
from opentelemetry.util.types import AttributeValue

from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.match import Kind, StatusName
from ajolo_fanout.values import Duration, option

__all__ = ["ExpectedSpan", "GivenEvent", "GivenSpan", "InFileTest"]

KINDS = ("internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
FATES = ("sent", "filtered", "sampled_out")


@attrs.frozen
class GivenEvent:
    """An event of a span."""

    name: str = option("The event's name.", example='"exception"')
    attributes: Mapping[str, AttributeValue] = option(
        "Its attributes.", factory=dict, example='{ "exception.type" = "ValueError" }'
    )


@attrs.frozen
class GivenSpan:
    """A span that a test begins with."""

    name: str = option("The span's name.", example='"chat gpt-4o"')
    id: str | None = option(
        "What other spans of the test, and `expect`, call it; 16 hexadecimal digits become its span id.",
        default=None,
        example='"agent"',
    )
    parent: str | None = option(
        "The `id` of the span that it hangs from; without it, it is a root.", default=None, example='"agent"'
    )
    trace_id: str | None = option(
        "32 hexadecimal digits, by whose last 14 a ratio decides. A span without it is of its parent's trace, "
        "a root without it of one that every ratio above 0 keeps.",
        default=None,
        example='"0af7651916cd43dd8448eb211c80319c"',
    )
    kind: Kind = option("The span's kind.", default="internal", choices=KINDS, example='"server"')
    status: StatusName = option("The span's status.", default="unset", choices=STATUSES, example='"error"')
    duration: Duration = option("How long it took.", default=Duration(0.1), minimum=0, example='"30s"')
    scope: str = option(
        "The name of the instrumentation scope: of the library that made the span.",
        default="",
        example='"openinference.instrumentation.openai"',
    )
    attributes: Mapping[str, AttributeValue] = option(
        "The span's attributes.", factory=dict, example='{ "gen_ai.prompt" = "hello" }'
    )
    resource: Mapping[str, AttributeValue] = option(
        "Attributes laid over the resource that the file gives.",
        factory=dict,
        example='{ "service.name" = "web" }',
    )
    events: tuple[GivenEvent, ...] = option(
        "The span's events, in order.", default=(), example='[{ name = "exception" }]'
    )


@attrs.frozen
class ExpectedSpan:
    """What a backend is to get of one span."""

    fate: Literal["sent", "filtered", "sampled_out"] = option(
        "Whether the backend gets it, or what leaves it out.",
        default="sent",
        choices=FATES,
        example='"filtered"',
    )
    name: Condition | None = option("What its name has to be there.", default=None, example='"chat *"')
    parent: str | None = option(
        'The `id` of the span that it hangs from there; `""` for a root.', default=None, example='"agent"'
    )
    attributes: Mapping[str, Condition] = option(
        "What its attributes have to be there.",
        factory=dict,
        example='{ "user.note" = "[credit_card]" }',
    )
    absent: tuple[str, ...] = option(
        "Attributes that must not be there, by name: globs of `*` and `?`.",
        default=(),
        example='["gen_ai.prompt", "gen_ai.*.messages"]',
    )

    @property
    def about_content(self) -> bool:
        """Whether it says anything of the span that only one that is sent can have."""
        return bool(self.name is not None or self.parent is not None or self.attributes or self.absent)


@attrs.frozen
class InFileTest:
    """One test of a file: these spans in, that is what each backend is to get."""

    name: str = option("What the test is called.", example='"no card number reaches Datadog"')
    spans: tuple[GivenSpan, ...] = option(
        "The spans, parents and children in any order.", default=(), example='[{ name = "chat gpt-4o" }]'
    )
    spans_file: Path | None = option(
        "A file of spans in their place: OTLP JSON, as a `file` backend writes it; they count in the order "
        "in which they ended.",
        default=None,
        example='"spans.jsonl"',
    )
    expect: Mapping[str, tuple[ExpectedSpan, ...]] = option(
        "By a backend's name, one table for each of the spans, in their order. Backends that aren't named "
        "are not looked at.",
        factory=dict,
        example='{ datadog = [{ absent = ["gen_ai.prompt"] }] }',
    )
