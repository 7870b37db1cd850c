"""The verdict on one trace at one backend: kept or not, why, and with what probability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import attrs

from ajolo_fanout.steps.keep import Allowance, compile_rule
from ajolo_fanout.steps.sampling import NEVER, SamplingSettings, threshold
from ajolo_fanout.steps.weights import OWN, Upstream

__all__ = ["Head", "Judge", "Shares", "Verdict", "shares"]


@attrs.frozen
class Head:
    """What is known of a trace before any of its spans is looked at.

    Attributes:
        randomness: Its R.
        upstream: What was decided before it came here.
        asked: The reason for which code of the program wants it kept; empty where none does.
    """

    randomness: int
    upstream: Upstream = OWN
    asked: str = ""


@attrs.frozen
class Verdict:
    """What a backend's sampling says of a trace.

    Attributes:
        fate: Whether the backend gets it, as far as sampling goes.
        key: The key that left it out, or with `dry_run` would have; empty where none did.
        kept_by: The rule that fits, or the reason given in code; empty where the ratio alone decided.
        threshold: T of the probability that it had; None where nobody can know that.
    """

    fate: Literal["sent", "sampled_out"]
    key: str = ""
    kept_by: str = ""
    threshold: int | None = None


class Judge:
    """A backend's sampling, compiled; it remembers how much of each rule's rate is used up."""

    def __init__(self, settings: SamplingSettings) -> None:
        self._ignores = settings.parent == "ignore"
        self._dry = settings.dry_run
        self._ratio = threshold(settings.ratio)
        self._rules = [
            (
                rule.name,
                threshold(rule.ratio),
                compile_rule(rule),
                None if rule.max_traces_per_second is None else Allowance(rule.max_traces_per_second),
            )
            for rule in settings.keep
        ]

    @property
    def has_rules(self) -> bool:
        """Whether there are keep rules, so that code may ask for a trace, too."""
        return bool(self._rules)

    def hears(self, upstream: Upstream) -> bool:
        """Whether a trace with this past may be kept by rules, or by code."""
        return bool(self._rules) and (self._ignores or upstream.sampled)

    def __call__(self, head: Head, spans: Sequence[Any], root: Any, now: float) -> Verdict:
        """The verdict on a trace.

        Args:
            head: What is known beforehand.
            spans: Its spans, as far as they are there.
            root: The local root among them; None where it isn't there.
            now: Seconds, for the rules' rates.
        """
        upstream = OWN if self._ignores else head.upstream
        if not upstream.sampled:
            return self._out("sampling.parent", None)
        floor = upstream.threshold or 0
        certain = _takes(self._ratio, head.randomness, floor)
        wanted = self._ratio if certain else NEVER
        reason = head.asked if self._rules else ""
        if reason:
            certain, wanted = True, 0
        limited = False
        for name, share, fits, allowance in self._rules:
            if not _takes(share, head.randomness, floor) or (reason and (allowance or share >= wanted)):
                continue  # it doesn't take this one, or could add nothing any more
            if not fits(spans, root):
                continue
            if allowance is None:
                certain, wanted = True, min(wanted, share)
            elif not certain:
                if not allowance.take(now):
                    continue
                limited = True
            reason = reason or name
        if not certain and not limited:
            return self._out("sampling.ratio", upstream.threshold)
        known = certain and upstream.threshold is not None
        return self._sent(reason, upstream.threshold, max(floor, wanted) if known else None)

    def _sent(self, reason: str, before: int | None, wanted: int | None) -> Verdict:
        # A dry run sends all that came from upstream, so each stands for what it stood for there.
        return Verdict("sent", "", reason, before if self._dry else wanted)

    def _out(self, key: str, before: int | None) -> Verdict:
        if self._dry:
            return Verdict("sent", key, "", before)
        return Verdict("sampled_out", key)


def _takes(wanted: int, randomness: int, floor: int) -> bool:
    """Whether a share takes a trace; all takes what upstream sampled, also where its `th` contradicts R."""
    return not wanted or randomness >= max(wanted, floor)


@attrs.frozen
class Shares:
    """What share of all traces has to be recorded so that every backend gets what it wants.

    Attributes:
        ratio: The largest ratio of any backend.
        recorded: The same with keep rules and dry runs: what begins here is recorded up to this.
        ignored: What of the traces that weren't sampled upstream is recorded.
    """

    ratio: float = 0.0
    recorded: float = 0.0
    ignored: float = 0.0


def shares(backends: Iterable[SamplingSettings]) -> Shares:
    """What these backends need together."""
    made = Shares()
    for one in backends:
        wanted = 1.0 if one.dry_run else max([one.ratio, *(rule.ratio for rule in one.keep)])
        made = Shares(
            max(made.ratio, one.ratio),
            max(made.recorded, wanted),
            max(made.ignored, wanted if one.dry_run or one.parent == "ignore" else 0.0),
        )
    return made
