"""What was said to a model and by it, under the names and in the form that the wanted dialect has for it.

Facts: the GenAI conventions' JSON schemas of `gen_ai.input.messages` and `gen_ai.output.messages` (messages of a
`role` and `parts`), OpenInference's `input.value` and `output.value` with their `mime_type`. Datadog's LLM
Observability looks for the former, and knows no plain `gen_ai.prompt`; Phoenix and Arize look for the latter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ajolo_fanout.steps.attributes import Attributes

__all__ = ["say_as_gen_ai", "say_as_openinference"]

_SIDES = (
    ("input", ("gen_ai.input.messages", "gen_ai.prompt", "gen_ai.tool.call.arguments")),
    ("output", ("gen_ai.output.messages", "gen_ai.completion", "gen_ai.tool.call.result")),
)
"""OpenInference's beginning of a name, and where the conventions have the same, the first that is there."""


def say_as_gen_ai(attributes: Attributes) -> None:
    """Make `gen_ai.prompt` and `gen_ai.completion`, which are no more, messages of the current form."""
    present = attributes.raw()
    for old, new, role in (
        ("gen_ai.prompt", "gen_ai.input.messages", "user"),
        ("gen_ai.completion", "gen_ai.output.messages", "assistant"),
    ):
        text = present.get(old)
        if isinstance(text, str) and text and new not in present:
            try:
                messages = list(_messages(text, role))
                if role == "assistant":
                    reasons = present.get("gen_ai.response.finish_reasons")
                    reason = str(reasons[0]) if isinstance(reasons, (list, tuple)) and reasons else "stop"
                    messages = [{**one, "finish_reason": reason} for one in messages]
                said = json.dumps(messages, ensure_ascii=False)
            except RecursionError:  # nested as deep as Python goes; it stays what it is
                continue
            del attributes[old]
            attributes[new] = said


def say_as_openinference(attributes: Attributes) -> None:
    """Put what went in and came out under `input.value` and `output.value`."""
    present = attributes.raw()
    for side, names in _SIDES:
        text = next((present[name] for name in names if isinstance(present.get(name), str)), None)
        if text is not None and f"{side}.value" not in present:
            attributes[f"{side}.value"] = text
            is_json = text.lstrip().startswith(("{", "["))
            attributes[f"{side}.mime_type"] = "application/json" if is_json else "text/plain"


def _messages(text: str, role: str) -> Iterator[dict[str, Any]]:
    """The messages in `text`: those of a JSON array in the form that chat APIs have, or all of it as one."""
    for one in _listed(text) or [{"role": role, "content": text}]:
        said = one.get("content")
        parts = [
            _part(part) for part in (said if isinstance(said, list) else [said]) if part not in (None, "")
        ]
        if one["role"] == "tool":
            response = {"type": "tool_call_response", "response": said}
            parts = [{**response, **({"id": one["tool_call_id"]} if "tool_call_id" in one else {})}]
        calls = one.get("tool_calls")
        parts += [
            _call(call) for call in (calls if isinstance(calls, list) else []) if isinstance(call, Mapping)
        ]
        yield {"role": one["role"], "parts": parts}


def _listed(text: str) -> list[dict[str, Any]] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not found:
        return None
    right = all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in found)
    return found if right and not any("parts" in one for one in found) else None


def _part(said: Any) -> dict[str, Any]:
    if isinstance(said, Mapping):
        text = said.get("text")
        return {"type": "text", "content": text} if isinstance(text, str) else {"type": "generic", **said}
    return {
        "type": "text",
        "content": said if isinstance(said, str) else json.dumps(said, ensure_ascii=False),
    }


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    named: Mapping[str, Any] = function if isinstance(function, Mapping) else call
    known = {"id": call.get("id"), "name": named.get("name"), "arguments": named.get("arguments")}
    return {"type": "tool_call", **{key: value for key, value in known.items() if value is not None}}
