"""What nobody would notice otherwise is said: once, while the program runs, without anybody asking."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from tests.health.conftest import FILE, attached, spans

from ajolo_fanout import Fanout, exclude, sdk_internals
from ajolo_fanout.testing import Answer, OtlpServer, wait_for


def test_a_backend_that_gets_none_of_its_first_thousand_spans_is_named_with_the_rule(
    make: Any, said: Any
) -> None:
    fanout = make(more='select.include = [{ name = "nothing is called so" }]\n')
    spans(fanout, 999)
    fanout.flush(20)
    assert said("got none") == []
    spans(fanout, 500)
    fanout.flush(20)
    [line] = said("got none")
    assert line.startswith(
        "tempo: got none of its first 1000 spans; 1000 of them are not selected by the rule"
    )
    assert "tracing.toml:9" in line


def test_a_backend_that_got_one_is_left_alone(make: Any, said: Any) -> None:
    fanout = make(more='select.include = [{ name = "span 7" }]\n')
    spans(fanout, 1500)
    fanout.flush(20)
    assert said("got none") == []


def test_the_rule_that_took_most_is_the_one_that_is_named(make: Any, said: Any) -> None:
    both = 'select.include = [{ name = "nothing" }]\nselect.exclude = [{ name = "span ???" }]\n'
    fanout = make(more=both)
    spans(fanout, 1000)
    fanout.flush(20)
    [line] = said("got none")
    assert "900 of them are not selected by the rule at tracing.toml:10" in line


def test_one_that_comes_just_before_the_thousandth_counts(make: Any, said: Any) -> None:
    """Also where the router takes it, and what is left out, in one go."""
    fanout = make(more='select.include = [{ name = "the one" }]\n')
    spans(fanout, 900)
    fanout.flush(20)
    fanout.provider.get_tracer("test").start_span("the one").end()
    spans(fanout, 200)
    report = fanout.flush(20)
    assert report.backends["tempo"].delivered == 1
    assert said("got none") == []


WHOLE = 'select.orphans = "reparent"\n'
NOTHING = 'select.include = [{ name = "nothing" }]\n'
ERRORS = 'sampling.ratio = 0\nsampling.keep = [{ name = "errors", match = { status = "error" } }]\n'


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (WHOLE + NOTHING, "1000 of them are not selected by the rule at tracing.toml:10"),
        (
            WHOLE + 'select.exclude = ["roots"]\n',
            "1000 of them are not selected by the rule at tracing.toml:10",
        ),
        (
            'select.exclude = ["roots"]\nselect.orphans = "drop"\n',
            "are not selected by the rule at tracing.toml:10",
        ),
        (ERRORS, "1000 of them are outside its sampling by the rule at tracing.toml:9"),
    ],
    ids=["included", "excluded", "orphans", "sampled"],
)
def test_the_rule_is_named_where_whole_traces_are_needed_too(
    table: str, why: str, make: Any, said: Any
) -> None:
    fanout = make(more=table)
    tracer = fanout.provider.get_tracer("test")
    for _ in range(100):
        with tracer.start_as_current_span("root"):
            spans(fanout, 19 if "drop" in table else 0)
    if "drop" not in table:
        spans(fanout, 1400)
    fanout.flush(20)
    [line] = said("got none")
    assert why in line


def test_each_backend_is_told_its_own_line_where_several_decide_alike(make: Any, said: Any) -> None:
    other = '\n[backends.other]\ntype = "otlp"\nendpoint = "http://127.0.0.1:9"\n'
    fanout = make(more=NOTHING, top=other + NOTHING)
    spans(fanout, 1000)
    fanout.flush(20)
    ends = {line.partition(":")[0]: line.rpartition(":")[2] for line in said("got none")}
    assert ends == {"tempo": "9", "other": "14"}


@pytest.mark.parametrize("more", ["", WHOLE], ids=["span by span", "whole traces"])
def test_a_backend_that_the_code_leaves_out_is_named(more: str, make: Any, said: Any) -> None:
    fanout = make(more=more)
    with exclude("tempo"):
        spans(fanout, 1000)
    fanout.flush(20)
    [line] = said("got none")
    assert line.endswith("1000 of them are not selected in the code, by only() or exclude()")


def test_a_span_that_met_the_provider_s_limits_is_said_once(make: Any, said: Any) -> None:
    fanout = make(top="[limits]\nattribute_count_limit = 2\n")
    for _ in range(3):
        spans(fanout, 2, a=1, b=2, c=3)
    fanout.flush(20)
    [line] = said("met the limits of its provider")
    assert "1 attributes" in line
    assert "attribute_count_limit" in line


@pytest.mark.parametrize("part", ["events", "links"])
def test_attributes_that_an_event_or_a_link_lost_are_said(part: str, make: Any, said: Any) -> None:
    fanout = make(top="[limits]\nattribute_count_limit = 2\n")
    spans(fanout, 2, a=1)
    many = {"a": 1, "b": 2, "c": 3, "d": 4}
    tracer = fanout.provider.get_tracer("test")
    for _ in range(2):
        context = tracer.start_span("other").get_span_context()
        span = tracer.start_span("cut", links=[trace.Link(context, many)] if part == "links" else ())
        if part == "events":
            span.add_event("event", many)
        span.end()
    fanout.flush(20)
    [line] = said("met the limits of its provider")
    assert f"lost 2 attributes of {part}" in line
    assert "attribute_count_limit" in line


def test_texts_that_met_the_provider_s_limit_are_said_by_name(make: Any, said: Any) -> None:
    """Apart from what was lost whole: one of the two doesn't hide the other."""
    fanout = make(top="[limits]\nattribute_value_length_limit = 5\nattribute_count_limit = 3\n")
    spans(fanout, 2, short="four", number=55555)
    tracer = fanout.provider.get_tracer("test")
    for _ in range(2):
        span = tracer.start_span(
            "cut", attributes={"prompt": "not shown", "list": ("a", "not shown"), "a": "b"}
        )
        span.add_event("event", {"content": "not shown"})
        span.end()
    spans(fanout, 2, a=1, b=2, c=3, d=4)
    fanout.flush(20)
    texts, lost = said("met the limits of its provider")
    assert "most likely cut: prompt, list, content of an event; raise attribute_value_length_limit" in texts
    assert "lost 1 attributes" in lost
    assert "not s" not in texts


def test_a_span_that_met_a_backend_s_limits_is_said_once_with_what_it_lost(make: Any, said: Any) -> None:
    fanout = make(more="limits.attribute_count_limit = 3\nlimits.attribute_value_length_limit = 100\n")
    spans(fanout, 2)
    spans(fanout, 2, first=1, second="s" * 200, third=3, fourth="not shown", fifth=5)
    spans(fanout, 2, first="f" * 300)
    fanout.flush(20)
    [line] = said("met the `limits` of this backend")
    assert line.startswith("tempo: ")
    assert "fourth, fifth" in line
    assert "attributes.second: 100 of 200 characters kept" in line
    assert "not shown" not in line
    assert "sss" not in line


@pytest.mark.parametrize("kept", ["drop", "send"])
def test_spans_that_never_end_are_counted(kept: str, make: Any, said: Any) -> None:
    """What is below them has a parent that never arrives. Where they are known, it is said at once."""
    fanout = make(top=f'[shutdown]\nopen_spans = "{kept}"\n')
    tracer = fanout.provider.get_tracer("test")
    with trace.use_span(tracer.start_span("forgotten")):
        spans(fanout, 2)
    gc.collect()
    if kept == "send":
        fanout.flush(20)
        [line] = said("1 spans were let go without an end")
    report = fanout.shutdown(20)
    assert report.open_spans == 1
    [line] = said("1 spans never ended")
    assert "no parent" in line


def test_spans_that_started_before_us_are_not_among_the_open_ones(tmp_path: Path, server: OtlpServer) -> None:
    """Their end isn't taken for that of others. What the program dates back, or dates oddly, is counted."""
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    early = [tracer.start_span("early") for _ in range(5)]
    fanout = attached(tmp_path, server, provider)
    opened = [tracer.start_span("now"), tracer.start_span("dated back", start_time=1)]
    opened += [tracer.start_span("odd", start_time=cast("int", "noon"))]
    assert fanout.health().open_spans == 3
    for span in early:
        span.end()
    assert fanout.health().open_spans == 3
    for left, span in zip((2, 1, 0), opened, strict=True):
        span.end()
        assert fanout.health().open_spans == left
    fanout.shutdown(20)
    provider.shutdown()


@pytest.mark.parametrize("kept", ["drop", "send"])
def test_spans_of_the_parent_are_not_among_the_open_ones_of_a_forked_child(
    kept: str, tmp_path: Path, server: OtlpServer
) -> None:
    file = tmp_path / "tracing.toml"
    file.write_text(FILE.replace("ENDPOINT", server.endpoint) + f'[shutdown]\nopen_spans = "{kept}"\n')
    program = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: what this is about
from ajolo_fanout import install_from_config
fanout = install_from_config(sys.argv[1], set_global=False)
tracer = fanout.provider.get_tracer("test")
early = [tracer.start_span("the parent's") for _ in range(5)]
child = os.fork()
own = [tracer.start_span("own") for _ in range(0 if child else 2)]
for span in early:
    span.end()
print("parent" if child else "child", fanout.health().open_spans, flush=True)
if child:
    os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, timeout=60, check=True
    )
    assert sorted(done.stdout.splitlines()) == ["child 2", "parent 0"]


def test_a_span_that_nobody_took_is_told_once_as_unsent_and_last_of_all(
    make: Callable[..., Fanout], server: OtlpServer, said: Callable[[str], list[str]]
) -> None:
    """Whoever reads the end of the log isn't told that it will be sent again, nor that it was many spans."""
    fanout = make()
    server.answer = Answer(status=503)
    fanout.provider.get_tracer("tests").start_span("a").end()
    wait_for(lambda: fanout.health().backends["tempo"].counts.requests > 2, timeout=30)
    fanout.shutdown(0.2)
    *before, last = said("tempo: ")
    assert before
    assert all(line.startswith("tempo: will be sent again: ") for line in before)
    assert last.startswith("tempo: 1 span was unsent at the deadline of the shutdown: lost")
    assert "since the last such line" not in "".join([*before, last])


# Counts of what is told once a minute.


class Odd(ReadableSpan):
    """A span of somebody's own kind, of which no rendition can be made."""

    @property
    def name(self) -> str:
        raise ValueError("no name")


def end_odd_ones(fanout: Fanout, count: int) -> None:
    [processor] = sdk_internals.span_processors(fanout.provider) or ()
    context = fanout.provider.get_tracer("test").start_span("never ends").get_span_context()
    for _ in range(count):
        processor.on_end(Odd("odd", context=context))


def test_spans_that_a_step_loses_are_told_to_the_last_one(make: Callable[..., Fanout], said: Any) -> None:
    """At once the first, and the rest at the shutdown; report and health say what went wrong."""
    fanout = make()
    end_odd_ones(fanout, 50)
    report = fanout.flush(20)
    assert report.backends["tempo"].lost == {"error": 50}
    assert "a step failed with" in report.backends["tempo"].error
    assert "a step failed with" in fanout.health().backends["tempo"].last_error
    fanout.shutdown(20)
    wait_for(lambda: len(said("a step failed with")) > 1, 20, "the rest")
    first, rest = said("a step failed with")
    assert first.endswith("the span is lost here")
    assert rest.startswith("tempo: a step failed with")
    assert rest.endswith("(49 spans since the last such line)")


def test_what_invocations_leave_to_the_next_is_told_to_the_last_one(
    make: Callable[..., Fanout], server: OtlpServer, said: Any
) -> None:
    server.answer = Answer(hang=True)
    fanout = make()

    @fanout.invocation(deadline=0.01)
    def handler() -> None:
        spans(fanout, 10)

    for _ in range(3):
        handler()
    assert fanout.health().carried_over == {"tempo": 60}
    fanout.shutdown(0.1)
    wait_for(lambda: len(said("left to the next")) > 1, 20, "the rest")
    first, rest = said("left to the next")
    assert first == "tempo: 10 spans were unsent at the end of the invocation: left to the next"
    assert rest.endswith("(50 spans since the last such line)")
