"""What replay says: of every span at every backend, its fate, what decided it, and what was done to it.

Nothing here holds a value that a backend's redaction takes out, but for the spans themselves (`Replay.spans`)
and what is sent (`Outcome.sent`): every state and every change is seen through that backend's redaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.plan.model import Plan
from ajolo_fanout.replay.content import Change, Content
from ajolo_fanout.steps.additions import Parent
from ajolo_fanout.steps.redaction import Removal
from ajolo_fanout.values import Origin

__all__ = ["Effect", "Fate", "Outcome", "Redaction", "Replay"]

Fate = Literal["sent", "filtered", "sampled_out", "lost"]
"""What becomes of a span at a backend, as far as its steps decide."""


@attrs.frozen
class Redaction:
    """A value that redaction takes out.

    Attributes:
        removal: Where it stood, and why it goes.
        key: The rule's key below the backend, such as `redaction.detect`; empty where a rule failed.
        origin: Where that rule stands.
    """

    removal: Removal
    key: str
    origin: Origin | None = None


@attrs.frozen
class Effect:
    """What one step did to a span.

    Attributes:
        step: Its key below the backend (`processors[0]`, `redaction`, `limits`, `select.orphans`,
            `sampling`), or `resource` for what is laid over the span's resource.
        title: What it is called; a processor's type.
        origin: Where it is written; None for several places.
        changes: What it changed, seen through the backend's redaction.
        redactions: What redaction took out.
    """

    step: str
    title: str
    origin: Origin | None = None
    changes: tuple[Change, ...] = ()
    redactions: tuple[Redaction, ...] = ()


@attrs.frozen
class Outcome:
    """What becomes of one span at one backend.

    Attributes:
        backend: The backend's name.
        fate: What was decided.
        key: The key of the rule that left it out, element included where one is known
            (`select.exclude[1]`); with `sampling.dry_run` the one that would have.
        origin: Where that rule stands.
        recorded: False where not even the provider records its trace, because no backend needs it.
        before: The span as the program made it, seen through the backend's redaction.
        after: What is sent; None where nothing is.
        sent: The same as the SDK's span.
        effects: What the steps did, in their order; those that did nothing are left out.
        parent: The parent that took the place of the span's own, `ROOT` where it became a root; else None.
        weight: How many traces its own stands for; None where that is unknown, or nothing is sent.
        kept_by: The keep rule that its trace was kept by.
        kept_origin: Where that rule stands.
        error: What a step raised; the span is lost then.
    """

    backend: str
    fate: Fate
    before: Content = attrs.field(repr=False)
    key: str = ""
    origin: Origin | None = None
    recorded: bool = True
    after: Content | None = attrs.field(default=None, repr=False)
    sent: ReadableSpan | None = attrs.field(default=None, repr=False)
    effects: tuple[Effect, ...] = ()
    parent: Parent | None = None
    weight: float | None = None
    kept_by: str = ""
    kept_origin: Origin | None = None
    error: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        """Everything that is changed, step by step."""
        return tuple(change for effect in self.effects for change in effect.changes)

    @property
    def redactions(self) -> tuple[Redaction, ...]:
        """Everything that redaction took out."""
        return tuple(one for effect in self.effects for one in effect.redactions)


@attrs.frozen(eq=False)
class Replay:
    """Spans through a plan.

    Attributes:
        plan: It.
        spans: The spans as a program with this file would have made them, in the order in which they ended.
        outcomes: For each backend one outcome a span, in the order of `spans`; made when it is looked at.
    """

    plan: Plan
    spans: tuple[ReadableSpan, ...] = attrs.field(repr=False)
    outcomes: Mapping[str, Sequence[Outcome]] = attrs.field(repr=False)
