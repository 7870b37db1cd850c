"""The backends that need whole traces: their spans wait in the buffer, and come out with a ruling each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.pipeline.buffer import Buffer, Held, Trace
from ajolo_fanout.pipeline.context import Routing
from ajolo_fanout.pipeline.starts import Fragment, Starts
from ajolo_fanout.pipeline.traces import Memory, Ruling, Traces
from ajolo_fanout.steps.pipeline import Steps
from ajolo_fanout.steps.values import identity
from ajolo_fanout.steps.verdict import Judge, Verdict
from ajolo_fanout.steps.weights import Upstream

__all__ = ["Ruled", "Whole"]

Ruled = tuple[Held, Sequence[Ruling]]
"""A span, and a ruling for each of `Whole.kinds`."""


_LEAST = 1_000
_TIMES = 10
"""How many left-out spans of one trace are remembered: so many times what may be held of it."""


@attrs.frozen(eq=False)
class Listener:
    """A sampling with keep rules, and the backends that sample so."""

    judge: Judge
    backends: frozenset[str]

    def hears(self, upstream: Upstream, routing: Routing) -> bool:
        """Whether code may keep a trace with this past, which may go where `routing` says."""
        return self.judge.hears(upstream) and any(map(routing.allows, self.backends))


@attrs.frozen(eq=False)
class _Common:
    settings: BufferSettings
    starts: Starts
    weighs: bool


class Whole:
    """What is done for these backends together. It belongs to the router's thread.

    Backends that select, sample and weigh alike are ruled about once: `kind_of()` gives the number that
    stands for them in each list of rulings.

    Attributes:
        buffer: Where they wait.
    """

    def __init__(
        self,
        settings: BufferSettings,
        starts: Starts,
        *,
        weighs: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without any backend yet.

        Args:
            settings: The bounds of the buffer.
            starts: Who noted the spans at their start.
            weighs: Whether weights are claimed: not where another's sampler decides what is recorded.
            now: Seconds that never go back.
        """
        self._common = _Common(settings, starts, weighs)
        self._now = now
        self._kinds: list[Traces] = []
        self._names: list[set[str]] = []
        self._numbers: dict[Any, int] = {}
        self.buffer = Buffer(settings, now=now)

    def kind_of(self, steps: Steps, backend: str = "") -> int:
        """The number of the kind that `steps`, those of `backend`, are of."""
        leaf = steps.shape.needs_lineage
        key = identity((steps.select, steps.sampling, steps.weight, leaf))
        if key not in self._numbers:
            self._numbers[key] = len(self._kinds)
            self.buffer.awaits_strangers |= steps.select.orphans != "keep"
            self._names.append(set())
            self._kinds.append(
                Traces(
                    steps.sampling,
                    steps.select,
                    form=steps.weight,
                    leaf=leaf,
                    weighs=self._common.weighs,
                    most=max(_LEAST, _TIMES * self._common.settings.max_spans_per_trace),
                    starts=self._common.starts,
                )
            )
        self._names[self._numbers[key]].add(backend)
        return self._numbers[key]

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Who hears where code asks for a trace: the samplings that have keep rules."""
        kinds = zip(self._kinds, self._names, strict=True)
        return tuple(Listener(kind.judge, frozenset(names)) for kind, names in kinds if kind.judge.has_rules)

    def take(self, held: Held) -> Iterator[Ruled]:
        """Take a span; what is ruled about now because of it."""
        fragment = self.buffer.fragment(held)
        if fragment.memory is not None:
            yield (
                held,
                [kind.follow(one, held) for kind, one in zip(self._kinds, fragment.memory, strict=True)],
            )
            return
        yield from self._decide(self.buffer.add(held, fragment))

    def due(self) -> Iterator[Ruled]:
        """What has waited long enough."""
        yield from self._decide(self.buffer.due())

    def everything(self) -> Iterator[Ruled]:
        """All that still waits: at the end."""
        yield from self._decide(self.buffer.empty())

    def patience(self) -> float | None:
        """Seconds until something is due; None while nothing waits."""
        return max(0.0, self.buffer.patience()) if self.buffer.traces else None

    def _decide(self, traces: Iterable[Trace]) -> Iterator[Ruled]:
        for trace in traces:
            fragment = trace.fragment
            fragment.closed = True  # before what was asked is read
            decided = [self._decide_one(kind, fragment, trace.held) for kind in self._kinds]
            fragment.memory = tuple([memory for memory, _ in decided])
            fragment.kept = any(
                memory.verdict.fate == "sent" and not memory.verdict.key
                for kind, memory in zip(self._kinds, fragment.memory, strict=True)
                if kind.judge.has_rules
            )
            for number, held in enumerate(trace.held):
                yield held, [rulings[number] for _, rulings in decided]

    def _decide_one(
        self, kind: Traces, fragment: Fragment, held: Sequence[Held]
    ) -> tuple[Memory, list[Ruling]]:
        try:
            return kind.decide(fragment, held, self._now())
        except Exception as error:  # it is the backends' of this kind, each of which counts it
            failed = Ruling("sent", failed=error)
            return Memory(Verdict("sampled_out"), failed=error), [failed] * len(held)
