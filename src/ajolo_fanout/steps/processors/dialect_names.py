"""Data: how the dialects of LLM tracing call the same things.

Facts: GenAI semantic conventions (renames up to 1.37), OpenInference's semantic conventions, Langfuse's and
Datadog's documented mappings (the pages are in `sources` of their profiles), and what Ajolopy 0.1.8 records.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "AJOLOPY_SCOPE",
    "AJOLOPY_SPANS",
    "COSTS",
    "CURRENT_NAMES",
    "GEN_AI_OPERATIONS",
    "KIND_NAMES",
    "OPENINFERENCE_NAMES",
    "PROVIDER_NAMES",
    "TRACELOOP_KINDS",
    "USAGE",
    "Kind",
]

Kind: TypeAlias = Literal["llm", "embedding", "agent", "tool", "chain", "retriever"]
"""What a span of an LLM program does; each dialect has its own word for it."""

CURRENT_NAMES: dict[str, str] = {
    "gen_ai.system": "gen_ai.provider.name",
    "gen_ai.usage.prompt_tokens": "gen_ai.usage.input_tokens",
    "gen_ai.usage.completion_tokens": "gen_ai.usage.output_tokens",
    "gen_ai.openai.request.seed": "gen_ai.request.seed",
    "gen_ai.openai.request.response_format": "gen_ai.output.type",
    "gen_ai.openai.request.service_tier": "openai.request.service_tier",
    "gen_ai.openai.response.service_tier": "openai.response.service_tier",
    "gen_ai.openai.response.system_fingerprint": "openai.response.system_fingerprint",
}
"""GenAI: removed name -> current name. The values mean the same."""

PROVIDER_NAMES: dict[str, str] = {
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""`gen_ai.provider.name`: what it was called as `gen_ai.system` -> what it is called now."""

GEN_AI_OPERATIONS: dict[str, Kind] = {
    "chat": "llm",
    "generate_content": "llm",
    "text_completion": "llm",
    "embeddings": "embedding",
    "execute_tool": "tool",
    "create_agent": "agent",
    "invoke_agent": "agent",
    "invoke_workflow": "chain",
    "retrieval": "retriever",
}
"""`gen_ai.operation.name` -> what the span does."""

TRACELOOP_KINDS: dict[str, Kind] = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"}
"""`traceloop.span.kind` -> what the span does."""

KIND_NAMES: dict[str, dict[Kind, str]] = {
    "gen_ai.operation.name": {
        "llm": "chat",
        "embedding": "embeddings",
        "agent": "invoke_agent",
        "tool": "execute_tool",
        "chain": "invoke_workflow",
        "retriever": "retrieval",
    },
    "langfuse.observation.type": {
        "llm": "generation",
        "embedding": "embedding",
        "agent": "agent",
        "tool": "tool",
        "chain": "chain",
        "retriever": "retriever",
    },
    "openinference.span.kind": {
        "llm": "LLM",
        "embedding": "EMBEDDING",
        "agent": "AGENT",
        "tool": "TOOL",
        "chain": "CHAIN",
        "retriever": "RETRIEVER",
    },
}
"""Attribute -> what the span does -> the attribute's value."""

AJOLOPY_SCOPE = "ajolopy."
"""The beginning of the scopes whose spans are Ajolopy's."""

AJOLOPY_SPANS: tuple[tuple[str, Kind], ...] = (
    ("agent.invoke ", "agent"),
    ("chat ", "llm"),
    ("execute_tool ", "tool"),
)
"""Ajolopy: the beginning of a span's name -> what it does."""

OPENINFERENCE_NAMES: tuple[tuple[str, str], ...] = (
    ("gen_ai.response.model", "llm.model_name"),
    ("gen_ai.request.model", "llm.model_name"),
    ("gen_ai.provider.name", "llm.provider"),
    ("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    ("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    ("gen_ai.tool.name", "tool.name"),
    ("gen_ai.agent.name", "agent.name"),
    ("gen_ai.conversation.id", "session.id"),
)
"""GenAI's current name -> OpenInference's; of two that lead to the same the first that is there counts."""

COSTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("input", ("gen_ai.cost_usd.input", "llm.cost.prompt"), "llm.cost.prompt"),
    ("output", ("gen_ai.cost_usd.output", "llm.cost.completion"), "llm.cost.completion"),
    ("total", ("gen_ai.cost_usd", "gen_ai.usage.cost", "llm.cost.total"), "llm.cost.total"),
)
"""A part of the cost in US dollars by Langfuse's name, where it may stand, and OpenInference's name."""

USAGE: tuple[tuple[str, Literal["tokens", "cost", "total"]], ...] = (
    ("gen_ai.usage.cost", "cost"),
    ("gen_ai.usage.", "tokens"),
    ("gen_ai.cost_usd", "cost"),
    ("ajolopy.cost_usd", "total"),
    ("llm.usage.", "tokens"),
    ("llm.token_count.", "tokens"),
    ("llm.cost.", "cost"),
    ("langfuse.observation.usage_details", "tokens"),
    ("langfuse.observation.cost_details", "cost"),
)
"""Beginnings of the names under which a backend finds what it adds up; of two that fit the first counts."""
