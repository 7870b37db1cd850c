"""Whether a backend got exactly what the file says, worked out without the machinery that sent it.

What should have arrived comes from the plan's steps over the recorded spans, without a thread, a queue or a
byte; what did arrive, from the bytes at the other end. The pipeline's own counters are not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ajolo_fanout.otlp.decode import DecodedEvent, DecodedLink, DecodedScope, DecodedSpan, DecodedStatus
from ajolo_fanout.pipeline.run import Rehearsal
from ajolo_fanout.steps.additions import added
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.pipeline import shape_span, shaper
from ajolo_fanout.steps.redaction import by_reason

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ajolo_fanout.plan.model import BackendPlan

__all__ = ["Expectation", "differences", "expect", "traced"]


@attrs.frozen
class Expectation:
    """What one backend is to get of some spans.

    Attributes:
        spans: By trace id and span id, in the order in which they ended.
        sampled_out: How many it isn't to get because of its ratio.
        filtered: How many its selection leaves out.
        redacted_by: How many values are removed from those it gets, by reason.
    """

    spans: Mapping[tuple[str, str], DecodedSpan]
    sampled_out: int
    filtered: int
    redacted_by: Mapping[str, int]

    @property
    def redacted(self) -> int:
        """How many values are removed for any reason."""
        return sum(self.redacted_by.values())


def expect(backend: BackendPlan, spans: Iterable[ReadableSpan]) -> Expectation:
    """What `backend` is to get of `spans`, all of which were recorded."""
    expected: dict[tuple[str, str], DecodedSpan] = {}
    fates: Counter[str] = Counter()
    redacted: Counter[str] = Counter()
    rehearsal = Rehearsal({backend.name: backend.steps})
    for span in spans:
        rehearsal.take(span)
    for told in rehearsal.finish()[backend.name]:
        if told.failed is not None:
            raise told.failed
        fates[told.fate] += 1
        if told.fate == "sent":
            shaped = shape_span(told.span, backend.steps.shape, usage_below=told.usage_below)
            draft = shaped.draft
            if told.addition is not None:
                addition, removed = shaper(backend.steps.shape).addition(told.addition)
                draft = Draft(added(draft.readable(), addition))
                redacted.update(by_reason(removed))
            seen = _plain(draft)
            expected[seen.trace_id, seen.span_id] = seen
            redacted.update(shaped.redacted_by)
    return Expectation(expected, fates["sampled_out"], fates["filtered"], redacted)


def traced(span: ReadableSpan) -> DecodedSpan:
    """A span as the program traced it, before any step, in the form in which arrived ones are."""
    return _plain(Draft(span))


def differences(expectation: Expectation, arrived: Sequence[DecodedSpan]) -> list[str]:
    """What is not as it should be, one sentence each; nothing when the backend got exactly what it should.

    Compared are ids, parents, names, kinds, times, statuses, scopes and the attributes of spans, events,
    links and resources. Values are named by their keys and never shown: what should be gone may be in them.
    """
    counts = Counter((span.trace_id, span.span_id) for span in arrived)
    found = [
        f"span {span.name!r} {span.span_id} didn't arrive"
        for key, span in expectation.spans.items()
        if key not in counts
    ]
    found += [f"span {key[1]} arrived {count} times" for key, count in counts.items() if count > 1]
    for span in arrived:
        expected = expectation.spans.get((span.trace_id, span.span_id))
        if expected is None:
            found.append(f"span {span.span_id} arrived, but is not for this backend")
        else:
            found += [f"span {expected.name!r} {span.span_id}: {what}" for what in _compare(expected, span)]
    return found


def _compare(expected: DecodedSpan, arrived: DecodedSpan) -> Iterator[str]:
    for field in ("parent_id", "name", "kind", "start_time", "end_time"):
        if getattr(expected, field) != getattr(arrived, field):
            yield f"its {field} is another"
    if expected.status != (arrived.status or DecodedStatus()):
        yield "its status is another"
    if (expected.scope.name, expected.scope.version) != (arrived.scope.name, arrived.scope.version):
        yield "its scope is another"
    yield from _compare_attributes("attribute", expected.attributes, arrived.attributes)
    yield from _compare_attributes("resource attribute", expected.resource, arrived.resource)
    if [(one.name, one.timestamp) for one in expected.events] != [
        (one.name, one.timestamp) for one in arrived.events
    ]:
        yield "its events are others"
    else:
        for number, (event, other) in enumerate(zip(expected.events, arrived.events, strict=True), 1):
            yield from _compare_attributes(f"event {number}'s attribute", event.attributes, other.attributes)
    if [(one.trace_id, one.span_id) for one in expected.links] != [
        (one.trace_id, one.span_id) for one in arrived.links
    ]:
        yield "its links are others"
    else:
        for number, (link, to) in enumerate(zip(expected.links, arrived.links, strict=True), 1):
            yield from _compare_attributes(f"link {number}'s attribute", link.attributes, to.attributes)


def _compare_attributes(what: str, expected: Mapping[str, Any], arrived: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(expected.keys() | arrived.keys()):
        if name not in arrived:
            yield f"{what} {name} is missing"
        elif name not in expected:
            yield f"{what} {name} arrived, but should not have"
        elif _typed(expected[name]) != _typed(arrived[name]):
            yield f"{what} {name} has another value"


def _typed(value: Any) -> Any:
    """`value` such that equality tells 1 from True and from 1.0, and takes NaN for itself."""
    if isinstance(value, Mapping):
        return {key: _typed(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_typed(item) for item in value)
    if isinstance(value, float):
        return (float, repr(value))
    return (type(value), value)


def _plain(draft: Draft) -> DecodedSpan:
    """What should be decoded at the other end; the encoder has no part in this."""
    context, parent, scope, status = draft.context, draft.parent, draft.instrumentation_scope, draft.status
    assert context is not None  # an ended span has ids
    kind: Any = draft.kind.name.lower()
    code: Any = status.status_code.name.lower()
    return DecodedSpan(
        name=draft.name,
        trace_id=format(context.trace_id, "032x"),
        span_id=format(context.span_id, "016x"),
        parent_id=format(parent.span_id, "016x") if parent is not None else "",
        kind=kind,
        start_time=draft.start_time or 0,
        end_time=draft.end_time or 0,
        attributes=_values(draft.attributes),
        events=tuple(
            DecodedEvent(event.name, event.timestamp or 0, _values(event.attributes))
            for event in draft.events
        ),
        links=tuple(
            DecodedLink(
                format(link.context.trace_id, "032x"),
                format(link.context.span_id, "016x"),
                _values(link.attributes),
            )
            for link in draft.links
        ),
        status=DecodedStatus(code, status.description or ""),
        resource=_values(draft.resource),
        scope=DecodedScope(scope.name, scope.version or "") if scope is not None else DecodedScope(),
    )


def _values(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Attributes with their sequences as lists, which is what decoding gives."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in (attributes or {}).items()
    }
