"""What every processor of your own has to hold to, as tests that pytest collects from a class of yours.

::

    from ajolo_fanout.testing import ProcessorConformance
    from my_package.processors import Shorten

    class TestShorten(ProcessorConformance):
        def processor(self):
            return Shorten(limit=100)

It imports no pytest; any runner that collects `Test` classes and `test_` methods will do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from ajolo_fanout.otlp.encode import Tally, encode_resource, encode_scope, encode_span
from ajolo_fanout.replay.recorded import recorded_spans
from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ProcessorConformance", "odd_spans"]

_ROUNDS = 3


class ProcessorConformance:
    """Subclass it under a name that begins with `Test`, and say in `processor()` what is to be tested.

    Attributes:
        seconds_per_span: How long it may take for one span, on average, in the quickest of three rounds: what
            else the machine does, or a collection of garbage, slows one down.
    """

    seconds_per_span = 0.01

    def processor(self) -> Callable[[Draft], Any]:
        """A processor as a file would make it, a new one with each call. To be overridden."""
        raise NotImplementedError(f"{type(self).__name__} has no processor(): what is to be tested?")

    def spans(self) -> Sequence[ReadableSpan]:
        """What it is tested with: recorded agent traces, and spans as odd as programs make them.

        Override it to add spans of your own: `[*super().spans(), *mine]`.
        """
        return [*recorded_spans(), *odd_spans()]

    def test_it_raises_on_no_span(self) -> None:
        """A span that it raises on is lost for its backend."""
        processor = self.processor()
        for span in self.spans():
            _apply(processor, span)

    def test_it_returns_nothing(self) -> None:
        """What it returns would not be sent; so it must not mean anything by it."""
        processor = self.processor()
        for span in self.spans():
            draft = Draft(span)
            result = _call(processor, draft)
            assert result is None or result is draft, (
                f"it returned {type(result).__name__} for {_told(span)}; change the draft, and return nothing"
            )

    def test_it_never_drops_a_span(self) -> None:
        """What is left can still be encoded and sent; leaving spans out is what `select` is there for."""
        processor = self.processor()
        for span in self.spans():
            draft = _apply(processor, span)
            try:
                sent = _bytes(draft)
            except Exception as error:
                raise AssertionError(f"what it left of {_told(span)} can't be encoded: {error!r}") from error
            assert sent, f"it left nothing of {_told(span)}"

    def test_it_is_deterministic(self) -> None:
        """The same span becomes the same, asked again and made anew: a retry shows no other one."""
        first, second = self.processor(), self.processor()
        for span in self.spans():
            wanted = _bytes(_apply(first, span))
            assert _bytes(_apply(first, span)) == wanted, (
                f"it made something else of {_told(span)} at the second time"
            )
            assert _bytes(_apply(second, span)) == wanted, (
                f"made anew, it makes something else of {_told(span)}"
            )

    def test_it_leaves_ids_and_times_alone(self) -> None:
        """They hold a trace together, here and at every other backend."""
        processor = self.processor()
        for span in self.spans():
            before = _identity(span)
            draft = _apply(processor, span)
            assert _identity(draft) == before, f"it changed ids or times of {_told(span)}"

    def test_it_leaves_the_span_itself_alone(self) -> None:
        """Other backends get it, too: only the draft is there to be changed."""
        processor = self.processor()
        for span in self.spans():
            before = _bytes(span)
            _apply(processor, span)
            assert _bytes(span) == before, f"it changed {_told(span)} itself, for every backend"

    def test_it_is_quick(self) -> None:
        """Its backend's spans wait for it, and are refused when too many do."""
        processor, spans = self.processor(), self.spans()
        took = math.inf
        for _ in range(_ROUNDS):
            took = min(took, _seconds_per_span(processor, spans))
            if took <= self.seconds_per_span:
                break
        assert took <= self.seconds_per_span, (
            f"it took {took:.3f} s a span, more than {self.seconds_per_span}"
        )


def odd_spans() -> list[ReadableSpan]:
    """Spans as odd as programs make them: without anything, with every type of value, huge, broken, remote."""
    values: dict[str, Any] = {
        "empty": "",
        "none": None,
        "false": False,
        "zero": 0,
        "huge": 2**70,
        "nan": float("nan"),
        "infinite": float("-inf"),
        "bytes": b"\x00\xff",
        "half an emoji": "\ud83d",
        "many": ("a", "b", ""),
        "nested": {"list": [1, {"deep": "value"}], "none": None},
        "json": '{"role": "user", "content": "hello"}',
        "broken json": '{"role": "user", "content": "hel',
        "long": "lorem ipsum " * 2_000,
    }
    events = [Event("", {}, 0), Event("exception", values, 1_000), Event("again", None, 2**63)]
    links = [Link(_context(3, 4), values), Link(_context(3, 5, remote=True))]
    error = Status(StatusCode.ERROR, "something went wrong")
    return [
        _odd("", {}),
        _odd("values", values),
        _odd("gen_ai " * 500, {"gen_ai.prompt": "[]", "gen_ai.completion": "null", "gen_ai.tool.name": ""}),
        _odd("events and links", {"a": 1}, events=events, links=links, status=error),
        _odd("no scope", {"a": 1}, instrumentation_scope=None),
        _odd(
            "resource",
            {},
            resource=Resource({"service.name": "", "list": [1, 2]}, "https://schema.example/1"),
        ),
        _odd("remote parent", {}, parent=_context(1, 9, remote=True), kind=SpanKind.SERVER),
        _odd("no times", {}, start_time=None, end_time=None),
        _odd("backwards", {}, start_time=2_000, end_time=1_000),
        _odd("many attributes", {f"gen_ai.prompt.{number}.content": "text" for number in range(300)}),
    ]


def _odd(name: str, attributes: dict[str, Any], **others: Any) -> ReadableSpan:
    given: dict[str, Any] = {
        "context": _context(1, 2),
        "resource": Resource({"service.name": "odd"}),
        "instrumentation_scope": InstrumentationScope("odd", "1.0"),
        "start_time": 1_000,
        "end_time": 2_000,
        **others,
    }
    return ReadableSpan(
        name, attributes=attributes, **given
    )  # which takes values that a live span would refuse


def _context(trace_id: int, span_id: int, *, remote: bool = False) -> SpanContext:
    state = TraceState([("vendor", "value")])
    return SpanContext(trace_id, span_id, remote, TraceFlags(TraceFlags.SAMPLED), state)


def _seconds_per_span(processor: Callable[[Draft], Any], spans: Sequence[ReadableSpan]) -> float:
    started = time.perf_counter()
    for span in spans:
        _apply(processor, span)
    return (time.perf_counter() - started) / max(1, len(spans))


def _apply(processor: Callable[[Draft], Any], span: ReadableSpan) -> Draft:
    draft = Draft(span)
    _call(processor, draft)
    return draft


def _call(processor: Callable[[Draft], Any], draft: Draft) -> Any:
    told = _told(draft.source)
    try:
        return processor(draft)
    except (Exception, SystemExit) as error:  # whatever it is, it fails the test, with the span that it was
        raise AssertionError(f"it raised {error!r} on {told}") from error


def _told(span: ReadableSpan) -> str:
    name = shortened(span.name, 40)
    return f"the span {name!r}"


def _bytes(span: ReadableSpan | Draft) -> bytes:
    """All that a backend gets of it."""
    tally = Tally()
    resource: Any = span.sdk_resource() if isinstance(span, Draft) else span.resource
    return b"".join(
        (
            encode_span(span, tally),
            encode_resource(resource.attributes, tally),
            encode_scope(span.instrumentation_scope, tally),
        )
    )


def _identity(span: ReadableSpan | Draft) -> tuple[Any, ...]:
    return span.context, span.parent, span.kind, span.start_time, span.end_time
