"""Sending recorded traces to servers, and asking them what they show their users."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ajolo_fanout import Fanout, install_from_config
from ajolo_fanout.replay.rerun import rerun
from ajolo_fanout.testing import recorded_spans

__all__ = ["CHATS", "RUNS", "SPANS", "ask", "hexed", "kind", "parent", "sent_through", "total"]

RUNS = ("two_tools-capture", "tool_raises", "nested_agents")
"""A plain agent with its prompts, one whose tool fails, and three agents of which one asks the next."""

SPANS = [span for run in RUNS for span in recorded_spans(run)]
CHATS = [span for span in SPANS if span.name.startswith("chat ")]

_KINDS = {"agent.invoke": "AGENT", "chat": "LLM", "execute_tool": "TOOL"}


@contextmanager
def sent_through(folder: Path, text: str) -> Iterator[Fanout]:
    """All of `SPANS` through a file with this text, until each is decided or waits."""
    path = folder / "tracing.toml"
    path.write_text(
        'schema = 1\nservice.name = "weather"\n'
        f"defaults.batch.schedule_delay = '60s'\ndefaults.timeout = '60s'\n{text}",
        encoding="utf-8",
    )
    path.chmod(0o600)
    with install_from_config(path, set_global=False) as fanout:
        rerun(fanout.provider, SPANS)
        fanout.flush(120)
        yield fanout


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


def parent(span: Any) -> str:
    """The id of a recorded span's parent as servers show it; empty for a root."""
    return hexed(span.parent.span_id) if span.parent else ""


def kind(span: Any) -> str:
    """What OpenInference calls a recorded span."""
    return _KINDS[span.name.split()[0]]


def total(name: str, spans: Iterable[Any] = CHATS) -> float:
    """The sum of one attribute over recorded spans."""
    return sum((span.attributes or {})[name] for span in spans)
