"""Recorded agent traces, as the SDK's spans: fourteen runs under Ajolopy 0.1.8.

Thirteen are of a small weather agent; a run's name says what happened in it (`tool_raises`, `fallback`,
`all_down`, …), and those that end in `-capture` have prompts and completions on their chat spans. In
`nested_agents` a planner asks a guide, who asks the weather agent. The files: `examples/recorded/*.json`,
OTLP's JSON form.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["recorded_runs", "recorded_spans"]


def recorded_runs() -> tuple[str, ...]:
    """The names of the recorded runs, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.json")))


def recorded_spans(run: str | None = None) -> list[ReadableSpan]:
    """The spans of one run in the order in which they ended; of all runs, one after another, without a name.

    Raises:
        ValueError: when there is no run of that name; the message lists those there are.
    """
    from ajolo_fanout.replay.otlp_json import read_spans

    runs = recorded_runs()
    if run is not None and run not in runs:
        raise ValueError(f"no recorded run {run!r}; there are {', '.join(runs)}")
    spans: list[ReadableSpan] = []
    for name in runs if run is None else (run,):
        spans += read_spans((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return spans


def _folder() -> Path:
    from ajolo_fanout.profiles.catalog import data_folder

    return data_folder("examples") / "recorded"
