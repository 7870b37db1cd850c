"""What one backend makes of spans that were decided about: each step's effect, seen through its redaction."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from opentelemetry.sdk.trace import ReadableSpan

from ajolo_fanout.health.say import raised
from ajolo_fanout.pipeline.run import Told
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.replay.content import State, changes, content, flat, without_notes
from ajolo_fanout.replay.model import Effect, Fate, Outcome, Redaction
from ajolo_fanout.steps.additions import added
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.match import compile_any
from ajolo_fanout.steps.pipeline import Shaped, shaper
from ajolo_fanout.steps.processors import type_of
from ajolo_fanout.steps.redaction import Removal, redactor
from ajolo_fanout.steps.select import selector
from ajolo_fanout.values import BUILT_IN, Origin

__all__ = ["Workshop"]

_RULES = {name: f"redaction.{name}" for name in ("content", "drop", "hash", "mask", "allow", "mask_ip")}


class Workshop:
    """One backend's shape, with somebody looking on."""

    def __init__(self, backend: BackendPlan) -> None:
        self._backend = backend
        self._steps = backend.steps
        self._shaper = shaper(backend.steps.shape)
        self._redactor = redactor(backend.steps.shape.redaction)
        self._against = selector(backend.steps.select)

    def outcome(self, told: Told) -> Outcome:
        """What becomes of a span that was decided about."""
        before = self._seen(told.span)
        if told.failed is not None:
            return self._lost(before, told.failed)
        if told.fate != "sent":
            return self._left_out(told.span, before, told.fate, told.key)
        states: dict[str, State] = {}

        def watch(step: str, draft: Draft) -> None:
            if step == "redaction":
                states[step] = content(draft)
            else:
                states[step] = self._seen(draft.readable())

        try:
            shaped = self._shaper(told.span, usage_below=told.usage_below, watch=watch)
            readable = shaped.draft.readable()
            sent = readable
            if told.addition is not None:
                addition, removed = self._shaper.addition(told.addition)
                sent = added(readable, addition)
                shaped = attrs.evolve(shaped, removed=(*shaped.removed, *removed))
        except BaseException as error:  # the router loses the span here, whatever it is
            return self._lost(before, error)
        return self._sent(told, before, states, shaped, sent)

    def unrecorded(self, span: ReadableSpan) -> Outcome:
        """What becomes of a span that nobody records: what the backend's own keys would say of it."""
        before = self._seen(span)
        try:
            against = None if self._against is None else self._against(span)
        except Exception as error:  # as for one that is recorded
            return self._lost(before, error)
        if against is not None:
            out = self._left_out(span, before, "filtered", f"select.{against}")
        else:
            parent = span.parent
            refused = parent is not None and not parent.trace_flags.sampled
            respects = self._steps.sampling.parent == "respect"
            key = "sampling.parent" if refused and respects else "sampling.ratio"
            out = self._left_out(span, before, "sampled_out", key)
        return attrs.evolve(out, recorded=False)

    def _seen(self, span: ReadableSpan) -> State:
        """A span seen through the redaction alone."""
        if self._redactor.idle:
            return content(span)
        draft = Draft(span)
        self._redactor.span(draft)
        self._redactor.resource(draft.resource)
        self._redactor.scope(draft.scope)
        return without_notes(content(draft))

    def _lost(self, before: State, error: BaseException) -> Outcome:
        return Outcome(self._backend.name, "lost", flat(before), error=raised(error))

    def _left_out(self, span: ReadableSpan, before: State, fate: Fate, key: str) -> Outcome:
        if key == "select.exclude":
            key = self._element(span, key)
        return Outcome(self._backend.name, fate, flat(before), key, self._origin(key))

    def _element(self, span: ReadableSpan, key: str) -> str:
        """The key of the rule among several that means the span."""
        for index, rule in enumerate(self._steps.select.exclude):
            if compile_any((rule,))(span):
                return f"{key}[{index}]"
        return key

    def _sent(
        self, told: Told, before: State, states: Mapping[str, State], shaped: Shaped, sent: ReadableSpan
    ) -> Outcome:
        final = content(sent)
        kept = self._kept(told.kept_by)
        return Outcome(
            backend=self._backend.name,
            fate="sent",
            before=flat(before),
            key=told.key,
            origin=self._origin(told.key) if told.key else None,
            after=flat(final),
            sent=sent,
            effects=tuple(self._effects(told, before, states, shaped, final)),
            parent=None if told.addition is None else told.addition.parent,
            weight=told.weight,
            kept_by=told.kept_by,
            kept_origin=kept,
        )

    def _effects(
        self, told: Told, before: State, states: Mapping[str, State], shaped: Shaped, final: State
    ) -> list[Effect]:
        """The steps that did anything, in their order."""
        laid = before
        resource = self._shaper.laid(told.span.resource)
        if resource is not told.span.resource:
            laid = self._seen(Draft(told.span, resource).readable())
        effects = [Effect("resource", "resource", None, changes(before, laid))]
        last = laid
        for number, processor in enumerate(self._steps.shape.processors):
            key = f"processors[{number}]"
            now = states.get(key, last)
            effects.append(Effect(key, type_of(processor), self._origin(key), changes(last, now)))
            last = now
        redacted = states.get("redaction", last)
        redactions = tuple(self._redaction(removal) for removal in shaped.removed)
        effects.append(Effect("redaction", "redaction", None, changes(last, redacted), redactions))
        limited = content(shaped.draft)
        effects.append(Effect("limits", "limits", None, changes(redacted, limited)))
        effects.append(Effect("added", "added", None, changes(limited, final)))
        return [one for one in effects if one.changes or one.redactions]

    def _redaction(self, removal: Removal) -> Redaction:
        settings = self._steps.shape.redaction
        if removal.reason == "failed":
            return Redaction(removal, "")
        if removal.reason in settings.patterns:
            key = f"redaction.patterns.{removal.reason}"
        else:
            key = _RULES.get(removal.reason, "redaction.detect")
        return Redaction(removal, key, self._origin(key))

    def _kept(self, name: str) -> Origin | None:
        for index, rule in enumerate(self._steps.sampling.keep):
            if rule.name == name:
                return self._origin(f"sampling.keep[{index}]")
        return None

    def _origin(self, key: str) -> Origin:
        return self._backend.origins.get(key, BUILT_IN)
