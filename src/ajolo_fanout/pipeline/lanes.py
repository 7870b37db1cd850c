"""The lanes of a router, and how they are arranged: who decides alike, who shares a shape, who adds alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ajolo_fanout.health.ledger import Ledger
from ajolo_fanout.health.notices import Reach
from ajolo_fanout.otlp.rendition import Rendition
from ajolo_fanout.pipeline.deferring import DeferringPress
from ajolo_fanout.pipeline.renditions import Encoder, Press
from ajolo_fanout.pipeline.starts import Note
from ajolo_fanout.pipeline.whole import Whole
from ajolo_fanout.steps.adder import Adds, adder
from ajolo_fanout.steps.pipeline import Decider, Decision, Fate, Steps, decider, passes_sampled

__all__ = ["Arranged", "Group", "Lane", "Work", "arrange", "noted"]


@attrs.frozen
class Lane:
    """One backend, as the router sees it.

    Attributes:
        name: The backend's name.
        steps: What decides about a span, and what is done to it.
        ledger: Where its counts are kept.
        offer: Takes the renditions of a chunk, or counts why not. Never raises: what it raises all the same
            costs that chunk.
        stock: Whether a stock exporter sends, which wants the span in the SDK's form.
        reach: Watches whether anything reaches it.
    """

    name: str
    steps: Steps
    ledger: Ledger
    offer: Callable[[Sequence[Rendition]], None]
    stock: bool = False
    reach: Reach | None = None


@attrs.define(eq=False)
class Work:
    """A lane at work, with what is counted until the chunk is through: one ledger call a chunk."""

    lane: Lane
    decides: int | None
    kind: int | None = None  # of those that need whole traces
    adds: Adds | None = None
    respects: bool = True
    ready: list[Rendition] = attrs.field(factory=list)  # offered at once: one lock a chunk
    sampled_out: int = 0
    filtered: int = 0
    redacted: Counter[str] = attrs.field(factory=Counter)  # values by reason
    repaired: int = 0

    def leave_out(self, fate: str, key: str = "") -> None:
        """Count a span that the lane doesn't get; `key` is that of the rule against it, empty where it was code."""
        if fate == "filtered":
            self.filtered += 1
        else:
            self.sampled_out += 1
        reach = self.lane.reach
        if reach is None or reach.over:
            return
        if self.ready:  # of this chunk, which nobody has been offered yet
            reach.got()
        else:  # the lane's own origin: others, from other lines, may have decided by the same settings
            reach.left_out(fate, self.lane.steps.origin_of(key) if key else None)

    def settle(self) -> None:
        """Write down what was counted."""
        ledger = self.lane.ledger
        if self.sampled_out:
            ledger.sampled_out(self.sampled_out)
        if self.filtered:
            ledger.filtered(self.filtered)
        if self.redacted:
            ledger.redacted(self.redacted)
            self.redacted.clear()
        if self.repaired:
            ledger.repaired(self.repaired)
        self.sampled_out = self.filtered = self.repaired = 0

    def hand_over(self) -> None:
        """Offer what is ready.

        Raises:
            BaseException: what the lane raised, against its promise; that chunk is counted as lost.
        """
        ready, self.ready = self.ready, []
        if ready:
            if self.lane.reach is not None:
                self.lane.reach.got()
            try:
                self.lane.offer(ready)
            except BaseException:
                self.lane.ledger.lost("error", len(ready))
                raise


@attrs.frozen(eq=False)
class Group:
    """The lanes of one shape.

    Attributes:
        press: Makes their renditions.
        works: Those that decide span by span.
        whole: Those that need whole traces.
        quick: `works` again, where all of them get every sampled span: nothing has to be asked then. Those
            that add alike stand together.
    """

    press: Press
    works: list[Work] = attrs.field(factory=list)
    whole: list[Work] = attrs.field(factory=list)
    quick: list[tuple[Adds | None, list[Work]]] = attrs.field(factory=list)


@attrs.frozen(eq=False)
class Arranged:
    """All lanes of a router.

    Attributes:
        works: One for each lane, in their order.
        groups: The works by shape.
        deciders: The distinct ones; `Work.decides` is an index into them.
    """

    works: list[Work] = attrs.field(factory=list)
    groups: list[Group] = attrs.field(factory=list)
    deciders: list[Decider] = attrs.field(factory=list)


def arrange(lanes: Sequence[Lane], encoder: Encoder, whole: Whole, *, weighs: bool) -> Arranged:
    """Find out which lanes decide alike and which share a shape.

    Args:
        lanes: One a backend.
        encoder: What the presses share.
        whole: Takes the lanes that need whole traces.
        weighs: Whether weights are claimed.
    """
    arranged = Arranged()
    decider_of: dict[Any, int | None] = {}
    group_of: dict[Any, Group] = {}
    for lane in lanes:
        steps = lane.steps
        if steps.shape not in group_of:
            group_of[steps.shape] = Group(_press(lane, encoder))
            arranged.groups.append(group_of[steps.shape])
        group = group_of[steps.shape]
        if group.press.limited is not None:
            group.press.limited.backends.append(lane.name)
        if steps.needs_whole_traces:
            work = Work(lane, None, whole.kind_of(steps, lane.name))
            group.whole.append(work)
        else:
            key = steps.decision_key
            if key not in decider_of:
                made = decider(steps)
                decider_of[key] = None if made is None else len(arranged.deciders)
                if made is not None:
                    arranged.deciders.append(made)
            adds = adder(steps, weighs=weighs)
            work = Work(lane, decider_of[key], None, adds, steps.sampling.parent == "respect")
            group.works.append(work)
        arranged.works.append(work)
    for group in arranged.groups:
        _quicken(group)
    return arranged


def noted(backend: str, respects: bool, note: Note, verdict: Decision) -> Fate:
    """The fate of a span at a backend that decides span by span, what was noted at its start included.

    Args:
        backend: Its name.
        respects: Whether what was decided upstream holds for it.
        note: What was noted.
        verdict: What its steps say.
    """
    if not note.routing.allows(backend):
        return "filtered"
    if verdict.fate == "sent" and respects and not note.fragment.upstream.sampled and not verdict.would:
        return "sampled_out"  # its flag may say otherwise: `[sampling] propagate = "all"`
    return verdict.fate


def _press(lane: Lane, encoder: Encoder) -> Press:
    shape = lane.steps.shape
    return DeferringPress(shape, lane.ledger, stock=lane.stock) if shape.own else Press(shape, encoder)


def _quicken(group: Group) -> None:
    alike: dict[Any, tuple[Adds | None, list[Work]]] = {}
    for work in group.works:
        steps = work.lane.steps
        if work.lane.stock or group.whole or not passes_sampled(steps):
            return
        key = (steps.decision_key, steps.weight)
        alike.setdefault(key, (work.adds, []))[1].append(work)
    group.quick.extend(alike.values())
