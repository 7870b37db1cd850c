"""`type = "dialect"`: what the span is and what it cost, in the words that the backend reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from ajolo_fanout.steps.attributes import Attributes
from ajolo_fanout.steps.draft import Draft, Usage
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors.common import MATCH, Change, matching
from ajolo_fanout.steps.processors.dialect_messages import say_as_gen_ai, say_as_openinference
from ajolo_fanout.steps.processors.dialect_names import (
    AJOLOPY_SCOPE,
    AJOLOPY_SPANS,
    COSTS,
    CURRENT_NAMES,
    GEN_AI_OPERATIONS,
    KIND_NAMES,
    OPENINFERENCE_NAMES,
    PROVIDER_NAMES,
    TRACELOOP_KINDS,
    USAGE,
    Kind,
)
from ajolo_fanout.values import option

__all__ = ["DialectSettings", "kind_of_span"]

_KIND_OF_NAME: dict[str, dict[str, Kind]] = {
    attribute: {name: kind for kind, name in names.items()} for attribute, names in KIND_NAMES.items()
} | {"gen_ai.operation.name": GEN_AI_OPERATIONS, "traceloop.span.kind": TRACELOOP_KINDS}

_COST_DETAILS = "langfuse.observation.cost_details"


@attrs.frozen
class DialectSettings:
    """Translates the known dialects of LLM tracing.

    What is there already in the wanted dialect is left alone. Old GenAI names become current ones whatever
    the target, and Ajolopy's spans say what they are. What was said to a model and by it stands where the target
    has it: as messages of the current form, or under `input.value` and `output.value`.
    """

    to: Literal["gen_ai", "langfuse", "openinference"] = option(
        'What the backend reads: "gen_ai" (OpenTelemetry\'s current names, as Datadog wants them), '
        '"langfuse" or "openinference".',
        default="gen_ai",
        choices=("gen_ai", "langfuse", "openinference"),
        example='"langfuse"',
    )
    usage: Literal["keep", "leaf"] = option(
        'Where tokens and cost stand: "keep" leaves them where they are, "leaf" takes them off a span below '
        "which others that are sent carry them, so that no backend adds them up twice. Traces are held for that "
        "until they are finished.",
        default="keep",
        choices=("keep", "leaf"),
        example='"leaf"',
    )
    match: Match | None = option(MATCH, default=None, example='{ scope = "ajolopy.*" }')

    def compile(self) -> Change:
        """The function that translates."""

        def change(draft: Draft) -> None:
            kind = kind_of_span(draft)
            attributes = draft.attributes
            _to_current(attributes)
            if self.usage == "leaf" and draft.usage_below:
                _take_off(attributes, draft.usage_below)
            if kind is not None:
                _say_kind(attributes, kind, self.to)
            if self.to == "langfuse":
                _langfuse_cost(attributes)
            elif self.to == "openinference":
                _openinference_names(attributes)
                say_as_openinference(attributes)
            else:
                say_as_gen_ai(attributes)

        return matching(self.match, change)


def kind_of_span(span: Any) -> Kind | None:
    """What a span does, by whichever dialect it speaks; None for one that has nothing to do with LLMs."""
    attributes: Mapping[str, Any] = span.attributes
    for attribute, kinds in _KIND_OF_NAME.items():
        value = attributes.get(attribute)
        if isinstance(value, str) and value in kinds:
            return kinds[value]
    scope = span.instrumentation_scope
    if scope is not None and scope.name.startswith(AJOLOPY_SCOPE):
        return next((kind for beginning, kind in AJOLOPY_SPANS if span.name.startswith(beginning)), None)
    return None


def _take_off(attributes: Attributes, usage: Usage) -> None:
    for name in list(attributes.raw()):
        measure = next((measure for beginning, measure in USAGE if name.startswith(beginning)), None)
        if measure in usage:
            del attributes[name]


def _to_current(attributes: Attributes) -> None:
    present = attributes.raw()
    for old in [name for name in CURRENT_NAMES if name in present]:
        value = present[old]
        new = CURRENT_NAMES[old]
        del attributes[old]
        if new not in present:
            plain = isinstance(value, str) and new == "gen_ai.provider.name"
            attributes[new] = PROVIDER_NAMES.get(value, value) if plain else value
    if "ajolopy.agent.name" in present and "gen_ai.agent.name" not in present:
        attributes["gen_ai.agent.name"] = present["ajolopy.agent.name"]


def _say_kind(attributes: Attributes, kind: Kind, to: str) -> None:
    wanted = {
        "gen_ai": (),
        "langfuse": ("langfuse.observation.type",),
        "openinference": ("openinference.span.kind",),
    }
    for name in ("gen_ai.operation.name", *wanted[to]):
        if name not in attributes:
            attributes[name] = KIND_NAMES[name][kind]


def _langfuse_cost(attributes: Attributes) -> None:
    if _COST_DETAILS in attributes:
        return
    details = {part: value for part, names, _ in COSTS if (value := _number(attributes, names)) is not None}
    if details:
        attributes[_COST_DETAILS] = json.dumps(details)


def _openinference_names(attributes: Attributes) -> None:
    present = attributes.raw()
    for name, wanted in OPENINFERENCE_NAMES:
        if name in present and wanted not in present:
            attributes[wanted] = present[name]
    for _, names, wanted in COSTS:
        value = _number(attributes, names)
        if value is not None and wanted not in present:
            attributes[wanted] = value
    counts = [present.get(f"llm.token_count.{part}") for part in ("prompt", "completion")]
    if "llm.token_count.total" not in present and all(isinstance(count, int) for count in counts):
        attributes["llm.token_count.total"] = sum(count for count in counts if count is not None)


def _number(attributes: Attributes, names: tuple[str, ...]) -> float | None:
    present = attributes.raw()
    for name in names:
        value = present.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None
