"""Counts add up for every backend under any mix of steps, whenever a program flushes, looks and shuts down.

Through the public surface, over real connections: a file, the handle, and fakes that say what they got. What a
program ended is counted here, what arrived at the fakes; `health()` has to agree with both.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from tests.conftest import LONG
from tests.pipeline.rig import remote

import ajolo_fanout
from ajolo_fanout.health.fates import Counts
from ajolo_fanout.testing import Harness, fanout, wait_for

FOREIGN = TracerProvider(shutdown_on_exit=False).get_tracer("another provider's")

TYPES = {
    "otlp": 'endpoint = "http://backend.internal:4318/v1/traces"',
    "datadog": 'site = "eu"\napi_key = "${DD_API_KEY}"',
    "langfuse": 'region = "eu"\npublic_key = "${LANGFUSE_PUBLIC_KEY}"\nsecret_key = "${LANGFUSE_SECRET_KEY}"',
    "honeycomb": 'region = "us"\napi_key = "${HONEYCOMB_API_KEY}"',
}
RULES = (
    '{ name = "errors", match = { status = "error" } }',
    '{ name = "few", root = { name = "chosen*" }, max_traces_per_second = 2 }',
    '{ name = "half", ratio = 0.5 }',
    '{ name = "dear", min_cost = 2 }',
)
PROCESSORS = ('{ type = "dialect", usage = "leaf" }', '{ type = "tests.own:odd_fails" }')


def _table(key: str, value: object) -> str:
    return f"{key} = {value if isinstance(value, str) else json.dumps(value)}"


def _array(items: Sequence[str]) -> str:
    return f"[{', '.join(items)}]"


backends = st.tuples(
    st.sampled_from(sorted(TYPES)),
    st.fixed_dictionaries(
        {},
        optional={
            "select.include": st.sampled_from(('["llm"]', '[{ name = "chosen*" }, "roots"]', '["errors"]')),
            "select.exclude": st.just('[{ name = "not *" }]'),
            "select.orphans": st.sampled_from(("keep", "reparent", "promote", "drop")).map(json.dumps),
            "select.remote_parent": st.sampled_from(("keep", "promote")).map(json.dumps),
            "sampling.ratio": st.sampled_from((0.0, 0.25, 0.5, 1.0)),
            "sampling.parent": st.sampled_from(("respect", "ignore")).map(json.dumps),
            "sampling.keep": st.lists(st.sampled_from(RULES), unique=True, max_size=3).map(_array),
            "sampling.dry_run": st.booleans(),
            "processors": st.lists(st.sampled_from(PROCESSORS), unique=True).map(_array),
        },
    ),
)
files = st.tuples(
    st.lists(backends, min_size=2, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "propagate": st.sampled_from(("ratio", "all")).map(json.dumps),
            "max_spans_per_trace": st.integers(1, 8),
            "max_traces": st.integers(1, 4),
            "max_wait": st.just('"20ms"'),
        },
    ),
)
actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["start"] * 6
            + ["root", "remote", "unsampled", "foreign"] * 2
            + ["end"] * 8
            + ["flush", "look", "only", "exclude", "keep"]
        ),
        st.integers(0, 10**6),
        st.booleans(),
    ),
    min_size=5,
    max_size=50,
)


def text_of(file: tuple[Sequence[tuple[str, Mapping[str, object]]], Mapping[str, object]]) -> str:
    tables, buffer = file
    lines = ["schema = 1", '[service]\nname = "mixes"', "[shutdown]", 'timeout = "60s"', "[sampling]"]
    lines += [_table(key, value) for key, value in buffer.items()]
    for number, (kind, keys) in enumerate(tables):
        lines += [f"[backends.b{number}]", f'type = "{kind}"', TYPES[kind]]
        lines += [_table(key, value) for key, value in keys.items()]
    return "\n".join(lines)


@attrs.define
class Play:
    """A program at work: what is running, and how many spans of its own have ended."""

    harness: Harness
    running: list[Any] = attrs.field(factory=list)
    ended: int = 0
    known: dict[str, Any] = attrs.field(factory=dict)
    in_time: set[str] = attrs.field(factory=set)
    stopped: bool = False

    def where(self, what: str, number: int) -> Any:
        """The context in which a span starts."""
        if what in ("remote", "unsampled"):
            return remote(trace_id=number + 1, sampled=what == "remote")
        if what == "foreign":
            return set_span_in_context(FOREIGN.start_span("theirs"))
        inside = what == "start" and self.running
        return set_span_in_context(self.running[number % len(self.running)] if inside else trace.INVALID_SPAN)

    def start(self, what: str, number: int, *, flag: bool) -> None:
        name = ("chosen", "not this", "chat gpt-4o")[number % 3]
        attributes = {
            "gen_ai.usage.input_tokens": number % 5,
            "gen_ai.cost_usd": number % 4,
            "number": number,
        }
        tracer = self.harness.provider.get_tracer("mixes")
        attributes = attributes if flag else {"number": number}
        if what in ("only", "exclude"):
            with getattr(ajolo_fanout, what)(f"b{number % 4}"):
                span = tracer.start_span(name, self.where("start", number), attributes=attributes)
        else:
            span = tracer.start_span(name, self.where(what, number), attributes=attributes)
        if isinstance(span, ReadableSpan):
            self.running.append(span)
            self.known[_hex(span.context)] = span

    def end(self, number: int, *, fails: bool) -> None:
        if self.running:
            span = self.running.pop(number % len(self.running))
            if fails:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
            self.ended += 1
            if not self.stopped:
                self.in_time.add(_hex(span.context))

    def act(self, what: str, number: int, *, flag: bool) -> None:
        if what == "end":
            self.end(number, fails=flag)
        elif what == "keep":
            if self.running:
                with trace.use_span(self.running[number % len(self.running)]):
                    ajolo_fanout.keep("asked")
        elif what == "look":
            self.harness.health()
        elif what == "flush":
            self.harness.flush(60)
            self.flushed()
        else:
            self.start(what, number, flag=flag)

    def flushed(self) -> None:
        """After a flush, what is pending waits for the end of its trace, and nothing else does."""

        def agrees() -> bool:  # at once, unless `max_wait` is over between one look and the next
            health = self.harness.health()
            counts = {name: one.counts for name, one in health.backends.items()}
            return all(
                counts[one.name].seen == self.ended
                and counts[one.name].pending == (health.held.spans if one.steps.needs_whole_traces else 0)
                for one in self.harness.plan.backends
            )

        wait_for(agrees, 30, "what is pending to be what is held")

    def finished(self, late: int) -> None:
        """After the shutdown, every span has one fate, and what was delivered is what arrived."""
        health = self.harness.health()
        assert health.held.traces == health.held.spans == health.held.bytes == 0
        for name, one in health.backends.items():
            counts = one.counts
            assert counts.seen == self.ended
            assert fates(counts) == counts.seen, name
            assert counts.lost.get("shutdown", 0) == late
            got = self.harness.spans(name)
            assert len(got) == len({(span.trace_id, span.span_id) for span in got}) == counts.delivered
            self.hangs_together(name)

    def hangs_together(self, name: str) -> None:
        """No sent span hangs from one that was left out, and whose parent is sent stays its child."""
        backend = self.harness.plan[name]
        got = {span.span_id: span for span in self.harness.spans(name)}
        fails = any("odd_fails" in repr(one) for one in backend.settings.processors)
        for span in got.values():
            true = self.known[span.span_id].parent
            if true is not None and _hex(true) in got:
                assert span.parent_id == _hex(true)
            elif span.parent_id in self.known and backend.steps.select.orphans != "keep" and not fails:
                assert span.parent_id in got or self.may_wait_in_vain(span.parent_id)

    def may_wait_in_vain(self, parent: str) -> bool:
        """Whether a span was sent while its parent ran, which was still running at the shutdown."""
        root = self.known[parent]
        while root.parent is not None and _hex(root.parent) in self.known:
            root = self.known[_hex(root.parent)]
        early = any(self.harness.health().held.forced.values()) or _hex(root.context) in self.in_time
        return early and parent not in self.in_time


def _hex(context: Any) -> str:
    return f"{context.span_id:016x}"


def fates(counts: Counts) -> int:
    """Every span that has one, added up by hand: `pending` is what is missing from it."""
    settled = (counts.filtered, counts.sampled_out, counts.delivered, counts.handed_over, counts.spooled)
    return sum(settled) + sum(counts.lost.values())


@settings(
    max_examples=1_000 if LONG else 40,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each example takes long; shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(files, actions, st.integers(0, 50), st.booleans())
def test_every_span_has_one_fate_at_every_backend_whatever_the_mix(
    tmp_path: Path, file: Any, script: list[tuple[str, int, bool]], stop: int, through_provider: bool
) -> None:
    """The shutdown comes anywhere in the script; what ends after it is counted as lost to it, and no more."""
    path = tmp_path / "tracing.toml"
    path.write_text(text_of(file), encoding="utf-8")
    with fanout(path, environ={}) as harness:
        play = Play(harness)
        for what, number, flag in script[:stop]:
            play.act(what, number, flag=flag)
        if through_provider:
            harness.provider.shutdown()
        else:
            harness.fanout.shutdown()
        before, play.stopped = play.ended, True
        for what, number, flag in script[stop:]:
            if what in ("end", "start", "look"):
                play.act(what, number, flag=flag)
        play.finished(play.ended - before)


MANY = """
schema = 1
[service]
name = "many threads"
[shutdown]
timeout = "60s"
[sampling]
max_traces = 20
[backends.all]
type = "otlp"
endpoint = "http://all.internal:4318/v1/traces"
[backends.errors]
type = "datadog"
site = "eu"
api_key = "${DD_API_KEY}"
sampling.ratio = 0.1
sampling.keep = [{ name = "errors", match = { status = "error" } }]
[backends.llm]
type = "langfuse"
region = "eu"
public_key = "${LANGFUSE_PUBLIC_KEY}"
secret_key = "${LANGFUSE_SECRET_KEY}"
select.include = ["llm"]
processors = [{ type = "dialect", to = "langfuse", usage = "leaf" }]
[backends.tenth]
type = "honeycomb"
region = "us"
api_key = "${HONEYCOMB_API_KEY}"
sampling.ratio = 0.1
"""


def _trace(number: int, harness: Harness, over: threading.Event, ended: Counter[int]) -> None:
    tracer = harness.provider.get_tracer("threads")
    n = 0
    while not over.is_set() or n < 20:
        usage = {"gen_ai.usage.input_tokens": 3}
        with (
            tracer.start_as_current_span("agent"),
            tracer.start_as_current_span("chat", None, attributes=usage) as span,
        ):
            span.set_status(Status(StatusCode.ERROR if n % 7 == 0 else StatusCode.OK))
        ended[number] += 2
        n += 1
        over.wait(0.002)


def _look(harness: Harness, over: threading.Event, odd: list[object]) -> None:
    while not over.is_set():
        for name, one in harness.health().backends.items():
            if not 0 <= fates(one.counts) <= one.counts.seen:
                odd.append((name, one.counts))


@pytest.mark.parametrize("moment", [0, 1, 3])
def test_a_shutdown_amid_threads_that_trace_leaves_no_span_without_a_fate(
    tmp_path: Path, moment: int
) -> None:
    """Flushes and looks go on all the while; at no moment has a backend more fates than spans."""
    path = tmp_path / "tracing.toml"
    path.write_text(MANY, encoding="utf-8")
    over, ended, odd = threading.Event(), Counter[int](), list[object]()

    with fanout(path, environ={}) as harness:
        threads = [
            threading.Thread(target=_trace, args=(number, harness, over, ended)) for number in range(3)
        ]
        threads.append(threading.Thread(target=_look, args=(harness, over, odd)))
        for thread in threads:
            thread.start()
        for _ in range(moment):
            harness.flush(60)
        harness.fanout.shutdown()
        over.set()
        for thread in threads:
            thread.join()
        health = harness.health()
        assert odd == []
        for name, one in health.backends.items():
            assert fates(one.counts) == one.counts.seen == sum(ended.values()), name
            assert len(harness.spans(name)) == one.counts.delivered
            assert set(one.counts.lost) <= {"shutdown", "inbox_full", "queue_full"}
