"""Keep rules: which finished traces a backend gets although its ratio would leave them out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ajolo_fanout.steps.match import Match, compile_match
from ajolo_fanout.values import option

__all__ = ["TOTAL_COST", "Allowance", "Fits", "KeepRule", "compile_rule", "cost_of", "is_local_root"]

TOTAL_COST = "ajolopy.cost_usd.total"
"""What the root of an agent's trace says of the whole, in US dollars."""

_COST = "gen_ai.cost_usd"
"""What one call of a model says of itself."""


@attrs.frozen
class KeepRule:
    """Keeps traces beyond the ratio. All that a rule says has to hold; the first that keeps is the reason."""

    name: str = option(
        "What the rule is called; it stands on the trace's root as ajolo_fanout.kept_by.", example='"errors"'
    )
    match: Match | None = option(
        "A span of the trace, any one, has to match this.", default=None, example='{ status = "error" }'
    )
    root: Match | None = option(
        "The trace's local root has to match this.", default=None, example='{ min_duration = "30s" }'
    )
    min_cost: float | None = option(
        "The trace cost at least this much, in US dollars: its root's ajolopy.cost_usd.total, else the sum "
        "of gen_ai.cost_usd.",
        default=None,
        minimum=0,
        example="0.5",
    )
    ratio: float = option(
        "The share of these traces that is kept, 0 to 1.", default=1.0, minimum=0, maximum=1, example="0.5"
    )
    max_traces_per_second: float | None = option(
        "The most traces a second that this rule keeps; beyond it, the next rule has its say. What such a "
        "rule keeps has no known weight.",
        default=None,
        minimum=0.001,
        example="5",
    )


Fits = Callable[[Sequence[Any], Any], bool]
"""Whether a rule is meant for a trace: its spans, and its local root or None."""


def compile_rule(rule: KeepRule) -> Fits:
    """A function that says whether a trace is one that `rule` is about, whatever its ratio and its limit."""
    on_any = None if rule.match is None else compile_match(rule.match)
    on_root = None if rule.root is None else compile_match(rule.root)
    least = rule.min_cost

    def fits(spans: Sequence[Any], root: Any) -> bool:
        if on_root is not None and (root is None or not on_root(root)):
            return False
        if on_any is not None and not any(map(on_any, spans)):
            return False
        return least is None or cost_of(spans, root) >= least

    return fits


def cost_of(spans: Sequence[Any], root: Any) -> float:
    """What a trace cost, in US dollars: what its root says of the whole, else the sum of the calls."""
    if root is not None and (total := _amount(root, TOTAL_COST)) is not None:
        return total
    return math.fsum(cost for span in spans if (cost := _amount(span, _COST)) is not None)


def _amount(span: Any, name: str) -> float | None:
    value = (span.attributes or {}).get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def is_local_root(span: Any) -> bool:
    """Whether a span has no parent in this process: none at all, or a remote one."""
    return span.parent is None or bool(span.parent.is_remote)


class Allowance:
    """So many a second, with a second's worth saved up; at least one."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate)
        self._left = self._most
        self._at = -math.inf

    def take(self, now: float) -> bool:
        """Whether there is one left at `now` (seconds of any clock that never goes back)."""
        if now > self._at:
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
