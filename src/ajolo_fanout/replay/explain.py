"""Why a span fares as it does at a backend: every step in its order, in words, with the line that decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.replay.content import Change
from ajolo_fanout.replay.model import Effect, Outcome, Redaction, Replay
from ajolo_fanout.replay.words import at, change_words, parent_words, path_words, value_words
from ajolo_fanout.steps.match import compile_any
from ajolo_fanout.steps.notes import NOTES
from ajolo_fanout.steps.sampling import NEVER, randomness

__all__ = ["Detail", "Step", "detail_of_change", "detail_of_redaction", "details", "steps_of"]

Mark = Literal["+", "-", "~", "x", ""]


@attrs.frozen
class Detail:
    """One thing that a step did.

    Attributes:
        mark: `+` added, `-` removed, `~` changed, `x` redacted.
        what: Of what; an attribute of the span by its name.
        text: The value, or why it went.
    """

    mark: Mark
    what: str
    text: str = ""

    def __str__(self) -> str:
        joint = ": " if self.mark == "x" else " = "
        return f"{self.mark} {self.what}{joint}{self.text}" if self.text else f"{self.mark} {self.what}"


@attrs.frozen
class Step:
    """One step, in words.

    Attributes:
        name: What it is called: `select`, `sampling`, a processor's type.
        text: What it says of the span.
        aside: What holds for this very trace alone; empty where nothing does.
        stops: Whether the span goes no further.
        details: What it did.
    """

    name: str
    text: str
    aside: str = ""
    stops: bool = False
    details: tuple[Detail, ...] = ()


def steps_of(replay: Replay, backend: BackendPlan, index: int) -> list[Step]:
    """Every step of a backend over one span, up to the one that leaves it out."""
    outcome = replay.outcomes[backend.name][index]
    steps = []
    for step in _all_steps(replay, backend, outcome, index):
        steps.append(step)
        if step.stops:
            break
    return steps


def _all_steps(replay: Replay, backend: BackendPlan, outcome: Outcome, index: int) -> Iterator[Step]:
    if outcome.fate == "lost":
        yield Step("lost", f"a step failed with {outcome.error}; the span is not sent", stops=True)
        return
    yield _select(replay, backend, outcome, index)
    yield _sampling(replay, backend, outcome, index)
    if outcome.fate == "filtered":
        text = f"its parent isn't sent here, so it isn't either{at(outcome.origin)}"
        yield Step("orphans", text, stops=True)
    if outcome.parent is not None:
        yield Step("orphans", f"{parent_words(outcome)}{_orphans_at(replay, backend, index)}")
    for effect in outcome.effects:
        yield _effect(effect)


def _select(replay: Replay, backend: BackendPlan, outcome: Outcome, index: int) -> Step:
    select = backend.steps.select
    if outcome.key == "select.include":
        return Step("select", f"no rule of select.include means it{at(outcome.origin)}", stops=True)
    if outcome.key.startswith("select.exclude"):
        return Step("select", f"{outcome.key} means it{at(outcome.origin)}", stops=True)
    for number, rule in enumerate(select.include):
        if compile_any((rule,))(replay.spans[index]):
            key = f"select.include[{number}]"
            return Step("select", f"{key} means it{at(backend.origins.get(key))}")
    return Step("select", "none of select.exclude means it" if select.exclude else "every span")


def _sampling(replay: Replay, backend: BackendPlan, outcome: Outcome, index: int) -> Step:
    sampling = backend.steps.sampling
    context = replay.spans[index].context
    least = 1 - randomness(context.trace_id, context.trace_state) / NEVER
    ratio = f"sampling.ratio = {sampling.ratio:g}{at(backend.origins.get('sampling.ratio'))}"
    among = f"this trace is in from a ratio of {min(1.0, least):.3g} on"
    if outcome.fate == "sampled_out":
        if outcome.key == "sampling.parent":
            parent = f"sampling.parent = {value_words(sampling.parent)}{at(outcome.origin)}"
            return Step("sampling", f"left out: it wasn't sampled upstream, and {parent}", stops=True)
        rules = ", no keep rule fits" if sampling.keep else ""
        recorded = "" if outcome.recorded else "; no backend needs it, so it isn't even recorded"
        return Step("sampling", f"left out by {ratio}{rules}{recorded}", among, stops=True)
    weight = "" if outcome.weight in (None, 1) else f"; it stands for {outcome.weight:.4g} traces"
    if outcome.key.startswith("sampling."):
        return Step("sampling", f"only sampling.dry_run keeps it: {ratio} would leave it out", among)
    if outcome.kept_by:
        rule = f"kept by the rule {value_words(outcome.kept_by)}{at(outcome.kept_origin)}"
        return Step("sampling", f"{rule}; {ratio}{weight}", among)
    if sampling.ratio >= 1:
        return Step("sampling", f"all traces{weight}")
    return Step("sampling", f"in by {ratio}{weight}", among)


def _orphans_at(replay: Replay, backend: BackendPlan, index: int) -> str:
    parent = replay.spans[index].parent
    key = "select.remote_parent" if parent is not None and parent.is_remote else "select.orphans"
    return f" by {key}{at(backend.origins.get(key))}"


def _effect(effect: Effect) -> Step:
    text = "laid over by its profile" if effect.step == "resource" else ""
    if effect.title != effect.step:
        text = f"{effect.step}{at(effect.origin)}"
    return Step(effect.title, text, details=tuple(details(effect)))


def details(effect: Effect) -> Iterator[Detail]:
    """What a step did, a line each; the notes that steps leave on a span are not told again."""
    for redaction in effect.redactions:
        yield detail_of_redaction(redaction)
    for change in effect.changes:
        if not _told_already(effect, change):
            yield detail_of_change(change)


def detail_of_change(change: Change, *, longest: int = 200) -> Detail:
    """A change in words."""
    mark, what, text = change_words(change, longest=longest)
    return Detail(mark, what, text)


def detail_of_redaction(redaction: Redaction) -> Detail:
    """What redaction took out, and by which rule."""
    why = redaction.removal.reason
    rule = f" by {redaction.key}{at(redaction.origin)}" if redaction.key else ""
    return Detail("x", path_words(redaction.removal.path), f"{why}{rule}")


def _told_already(effect: Effect, change: Change) -> bool:
    if effect.step == "redaction":
        return any(change.path.endswith(f".{name}") for name in NOTES)
    return False
