"""The named matches: `"llm"`, `"errors"` and `"roots"`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import StatusCode

__all__ = ["LLM_ATTRIBUTES", "LLM_SCOPES", "PRESETS"]

LLM_ATTRIBUTES: tuple[str, ...] = (
    "gen_ai.",
    "llm.",
    "openinference.",
    "traceloop.",
    "langfuse.",
    "ajolopy.",
)
"""Beginnings of the attribute names of GenAI, OpenInference, OpenLLMetry, Langfuse and Ajolopy."""

LLM_SCOPES: tuple[str, ...] = (
    "ajolopy",
    "agent_framework",
    "ai",
    "autogen-core",
    "haystack",
    "langfuse-sdk",
    "langsmith",
    "litellm",
    "openinference",
    "opentelemetry.instrumentation.agno",
    "opentelemetry.instrumentation.alephalpha",
    "opentelemetry.instrumentation.anthropic",
    "opentelemetry.instrumentation.bedrock",
    "opentelemetry.instrumentation.cohere",
    "opentelemetry.instrumentation.crewai",
    "opentelemetry.instrumentation.google_genai",
    "opentelemetry.instrumentation.google_generativeai",
    "opentelemetry.instrumentation.groq",
    "opentelemetry.instrumentation.haystack",
    "opentelemetry.instrumentation.langchain",
    "opentelemetry.instrumentation.llamaindex",
    "opentelemetry.instrumentation.mcp",
    "opentelemetry.instrumentation.mistralai",
    "opentelemetry.instrumentation.ollama",
    "opentelemetry.instrumentation.openai",
    "opentelemetry.instrumentation.openai_agents",
    "opentelemetry.instrumentation.openai_v2",
    "opentelemetry.instrumentation.replicate",
    "opentelemetry.instrumentation.sagemaker",
    "opentelemetry.instrumentation.together",
    "opentelemetry.instrumentation.transformers",
    "opentelemetry.instrumentation.vertexai",
    "opentelemetry.instrumentation.watsonx",
    "opentelemetry.instrumentation.writer",
    "pydantic-ai",
    "strands-agents",
    "vllm",
)
"""Scopes of LLM libraries: these, and those below them, such as `openinference.instrumentation.groq`."""

_MAX_SCOPES = 1024
_scopes: dict[str, bool] = {}
"""Scope -> whether it is one of them; a program has few."""


def _llm(span: Any) -> bool:
    scope = span.instrumentation_scope
    if scope is not None and _is_llm_scope(scope.name):
        return True
    return any(str(name).startswith(LLM_ATTRIBUTES) for name in span.attributes)


def _is_llm_scope(name: str) -> bool:
    found = _scopes.get(name)
    if found is None:
        found = any(name == one or name.startswith(f"{one}.") for one in LLM_SCOPES)
        if len(_scopes) >= _MAX_SCOPES:
            _scopes.clear()
        _scopes[name] = found
    return found


def _errors(span: Any) -> bool:
    return bool(span.status.status_code is StatusCode.ERROR)


def _roots(span: Any) -> bool:
    parent = span.parent
    return parent is None or bool(parent.is_remote)


PRESETS: dict[str, Callable[[Any], bool]] = {"llm": _llm, "errors": _errors, "roots": _roots}
"""Name in the file -> whether a span, or a draft, is meant."""
