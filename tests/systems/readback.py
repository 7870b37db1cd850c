"""Asking servers what they show their users."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from ajolo_fanout.testing import recorded_spans

__all__ = ["CHATS", "RUNS", "SPANS", "ask", "hexed", "total"]

RUNS = ("two_tools-capture", "tool_raises", "nested_agents")
"""A plain agent with its prompts, one whose tool fails, and three agents of which one asks the next."""

SPANS = [span for run in RUNS for span in recorded_spans(run)]
CHATS = [span for span in SPANS if span.name.startswith("chat ")]


def ask(url: str, *, headers: Mapping[str, str] | None = None, body: Any = None) -> tuple[int, Any]:
    """The status and the JSON that a server answers; with a body it is a POST."""
    data = None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json", **(headers or {})}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data=data, headers=given), timeout=60
        ) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def hexed(number: int) -> str:
    """A span's id as servers show it."""
    return format(number, "016x")


def total(name: str, spans: Iterable[Any] = CHATS) -> float:
    """The sum of one attribute over recorded spans."""
    return sum((span.attributes or {})[name] for span in spans)
