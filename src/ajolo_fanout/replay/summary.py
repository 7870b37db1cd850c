"""What a backend makes of many spans at once: how many of each fate, and what is done to all of them alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from ajolo_fanout.replay.explain import Detail, details
from ajolo_fanout.replay.model import Effect, Outcome
from ajolo_fanout.replay.words import fate_words

__all__ = ["Common", "Summary", "own_details", "summary"]


@attrs.frozen
class Common:
    """Something that is done to every span that is sent.

    Attributes:
        detail: What.
        step: By which step, in words; empty where the detail says it.
    """

    detail: Detail
    step: str


@attrs.frozen
class Summary:
    """One backend over all spans.

    Attributes:
        sent: How many it gets.
        changed: How many of them in another form than they were made in.
        redacted: How many values redaction takes out.
        left_out: How many it doesn't get, by the reason in words, the commonest first.
        common: What is done to every one that it gets.
    """

    sent: int
    changed: int
    redacted: int
    left_out: tuple[tuple[str, int], ...]
    common: tuple[Common, ...]


def summary(outcomes: Sequence[Outcome]) -> Summary:
    """The summary of one backend's outcomes."""
    sent = [one for one in outcomes if one.fate == "sent"]
    left_out = Counter(fate_words(one) for one in outcomes if one.fate != "sent")
    return Summary(
        len(sent),
        sum(1 for one in sent if one.changes or one.redactions),
        sum(len(one.redactions) for one in sent),
        tuple(left_out.most_common()),
        _common(sent),
    )


def own_details(outcome: Outcome, common: Sequence[Common]) -> list[Common]:
    """What is done to one span beyond what is done to all."""
    return [one for one in _told(outcome) if one not in common]


def _common(sent: Sequence[Outcome]) -> tuple[Common, ...]:
    if len(sent) < 2:
        return ()
    rest = [set(_told(one)) for one in sent[1:]]
    return tuple(one for one in _told(sent[0]) if all(one in other for other in rest))


def _told(outcome: Outcome) -> list[Common]:
    """All but the trace state: what it says is the weight, which is told once for a trace."""
    return [
        Common(detail, _step(effect))
        for effect in outcome.effects
        for detail in details(effect)
        if detail.what != "trace_state"
    ]


def _step(effect: Effect) -> str:
    if effect.step == "resource":
        return "its profile"
    if effect.title != effect.step:
        return f"{effect.step} {effect.title}"
    return "" if effect.step in ("redaction", "added") else effect.step
