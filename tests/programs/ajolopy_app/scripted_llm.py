"""An LLM inside the process for Ajolopy: the question's words decide what it answers, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ajolopy.providers import (
    Chunk,
    ChunkUsage,
    LLMProvider,
    LLMProviderError,
    Response,
    ToolCall,
    ToolCallDelta,
    register_provider,
    register_route,
)


class ScriptedLLM(LLMProvider):
    """Asks for a tool first, then answers with what the tool said."""

    GEN_AI_SYSTEM = "openai"

    async def complete(self, *, model: str, messages: list[Any], tools: Any = None, **_: Any) -> Response:
        question = next(message.content for message in messages if message.role == "user")
        if "outage" in question and model == "gpt-4o":
            raise LLMProviderError("the model is down (scripted)")
        heard = [message.content for message in messages if message.role == "tool"]
        if tools and not heard:
            return Response(
                text="", tool_calls=_calls(question), tokens_in=40, tokens_out=10, finish_reason="tool_calls"
            )
        return Response(
            text="It is " + " and ".join(heard),
            tokens_in=70,
            tokens_out=8,
            finish_reason="stop",
            cache_read_input_tokens=20,
        )

    async def stream(self, *, messages: list[Any], tools: Any = None, **_: Any) -> AsyncIterator[Chunk]:
        if tools and not any(message.role == "tool" for message in messages):
            call = ToolCallDelta(
                id="call_1", name="temperature", index=0, arguments_delta='{"place": "Bern"}'
            )
            yield Chunk(delta="", tool_call_delta=call)
            yield Chunk(delta="", finish_reason="tool_calls", usage=ChunkUsage(40, 10))
            return
        for part in ("It is ", "17", " degrees"):
            yield Chunk(delta=part)
        yield Chunk(delta="", finish_reason="stop", usage=ChunkUsage(70, 8))

    async def embed(self, *, model: str, text: Any) -> list[list[float]]:
        return [[1.0, 0.0]] * (1 if isinstance(text, str) else len(text))

    def count_tokens(self, *, model: str, text: str) -> int:
        return len(text) // 4

    def supports_prompt_caching(self) -> bool:
        return True

    def supports_tool_calling(self) -> bool:
        return True


def _calls(question: str) -> list[ToolCall]:
    place = "Nowhere" if "Nowhere" in question else "Bern"
    calls = [ToolCall(id="call_1", name="temperature", arguments={"place": place})]
    if "clock" in question:
        calls.append(ToolCall(id="call_2", name="clock", arguments={"place": place}))
    return calls


register_provider("scripted", ScriptedLLM)
register_route(
    "gpt-4o*", "scripted"
)  # real model names: so that Ajolopy knows their prices and writes the cost
