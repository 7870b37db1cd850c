"""Spans through the decisions of many backends as the router takes them, without a thread, a queue or a byte.

What replay, preview, explain and the tests in the file call. It decides with what the router decides with, in
the order in which spans end, and says of each decision which rule made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.pipeline.buffer import Held
from ajolo_fanout.pipeline.lanes import noted
from ajolo_fanout.pipeline.starts import Note, Starts
from ajolo_fanout.pipeline.traces import Ruling
from ajolo_fanout.pipeline.whole import Whole
from ajolo_fanout.steps.adder import adder
from ajolo_fanout.steps.additions import Addition
from ajolo_fanout.steps.draft import NO_USAGE, Usage
from ajolo_fanout.steps.pipeline import Decision, Fate, Steps, decider
from ajolo_fanout.steps.sampling import NEVER
from ajolo_fanout.steps.verdict import Verdict
from ajolo_fanout.steps.weights import claimed, weight_of

__all__ = ["Rehearsal", "Told"]

_SENT = Decision("sent")


@attrs.frozen
class Told:
    """What one backend's steps decided about one span.

    Attributes:
        span: The span, as it ended.
        usage_below: What of its tokens and cost other spans carry, which are sent, too.
        fate: Whether it is sent.
        key: The key of the rule that left it out; with `sampling.dry_run` the one that would have. Empty
            where no rule was against it.
        kept_by: The keep rule that its trace was kept by; empty where none was.
        addition: What the backend adds to it: weight, repaired parent, `kept_by`; None for nothing.
        threshold: T of the probability that its trace had (see `weights`); None where nobody can know it.
        failed: What was raised instead of a decision: the span is lost there.
    """

    span: ReadableSpan
    usage_below: Usage = NO_USAGE
    fate: Fate = "sent"
    key: str = ""
    kept_by: str = ""
    addition: Addition | None = None
    threshold: int | None = None
    failed: BaseException | None = None

    @property
    def weight(self) -> float | None:
        """How many traces the span's own stands for; None where nobody can know."""
        return None if self.threshold is None or self.threshold >= NEVER else weight_of(self.threshold)


class Rehearsal:
    """Decides about spans for some backends at once, one span after another.

    Attributes:
        told: What was decided so far, by backend, in the order of the decisions.
    """

    def __init__(
        self,
        backends: Mapping[str, Steps],
        *,
        starts: Starts | None = None,
        bounds: BufferSettings | None = None,
        weighs: bool = True,
    ) -> None:
        """Nothing decided yet.

        Args:
            backends: Their steps by name.
            starts: Who noted the spans at their start.
            bounds: Of the trace buffer.
            weighs: Whether weights are claimed.
        """
        self._starts = starts or Starts()
        self._whole = Whole(bounds or BufferSettings(), self._starts, weighs=weighs)
        self._single = {
            name: _Single(name, steps, weighs)
            for name, steps in backends.items()
            if not steps.needs_whole_traces
        }
        self._kinds = {
            name: self._whole.kind_of(steps, name)
            for name, steps in backends.items()
            if steps.needs_whole_traces
        }
        self.told: Mapping[str, list[Told]] = {name: [] for name in backends}

    def take(self, span: ReadableSpan, note: Note | None = None) -> None:
        """A span has ended; `note` is what `Starts.end()` gave for it."""
        if note is not None:
            self._starts.arrived(span)
        held = Held(span, note)
        for name, one in self._single.items():
            self.told[name].append(one.tell(held))
        if self._kinds:
            for ruled in self._whole.take(held):
                self._note_down(*ruled)

    def finish(self) -> Mapping[str, list[Told]]:
        """No further span comes: what still waits for its trace is decided now. Gives `told`."""
        for ruled in self._whole.everything():
            self._note_down(*ruled)
        return self.told

    def _note_down(self, held: Held, rulings: Sequence[Ruling]) -> None:
        remembered = self._whole.buffer.fragment(held).memory
        for name, kind in self._kinds.items():
            ruling = rulings[kind]
            verdict: Verdict = remembered[kind].verdict
            if ruling.failed is not None:
                told = Told(held.span, failed=ruling.failed)
            elif held.note is not None and not held.note.routing.allows(name):
                told = Told(held.span, NO_USAGE, "filtered")
            elif ruling.fate != "sent":
                told = Told(held.span, NO_USAGE, ruling.fate, ruling.key)
            else:
                told = Told(
                    held.span,
                    ruling.usage_below,
                    "sent",
                    verdict.key,
                    verdict.kept_by,
                    ruling.addition,
                    verdict.threshold,
                )
            self.told[name].append(told)


class _Single:
    """A backend that decides span by span."""

    def __init__(self, name: str, steps: Steps, weighs: bool) -> None:
        self._name = name
        self._sampling = steps.sampling
        self._decides = decider(steps)
        self._adds = adder(steps, weighs=weighs)

    def tell(self, held: Held) -> Told:
        span, sampling = held.span, self._sampling
        try:
            decision = _SENT if self._decides is None else self._decides(span)
            fate = decision.fate
            if held.note is not None:
                fate = noted(self._name, sampling.parent == "respect", held.note, decision)
            if fate != "sent":
                key = decision.key or ("sampling.parent" if fate == "sampled_out" else "")
                return Told(span, NO_USAGE, fate, key)
            addition = None if self._adds is None else self._adds(span, decision.would)
        except BaseException as error:  # that backend's alone, as in the router
            return Told(span, failed=error)
        share = 1.0 if sampling.dry_run else sampling.ratio
        context = span.context
        threshold = None
        if context is not None:
            own = sampling.parent == "ignore"
            threshold = claimed(context.trace_state, context.trace_flags, own=own, share=share)
        return Told(span, NO_USAGE, "sent", decision.would, "", addition, threshold)
