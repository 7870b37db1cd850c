"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ajolo_fanout.config.document import parse
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve


def plan_of(
    text: str, environ: Mapping[str, str] | None = None, path: Path | None = None, **how: Any
) -> Plan:
    """The plan of a text; `schema` is written for it."""
    return resolve(parse("schema = 1\n" + text, "tracing.toml", path), environ or {}, **how)


def problems_of(
    text: str, environ: Mapping[str, str] | None = None, path: Path | None = None
) -> list[Problem]:
    """The errors of a text, in their order; the empty list when there are none."""
    try:
        plan_of(text, environ, path)
    except ConfigError as error:
        return [problem for problem in error.problems if problem.severity == "error"]
    return []


class Recorded(dict[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, *args: Any, **values: str) -> None:
        super().__init__(*args, **values)
        self.asked: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.append(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.asked.append(name)
        return super().__getitem__(name)
