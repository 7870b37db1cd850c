"""`ajolo-fanout demo`: recorded agent traces through the example file, to fakes on this machine, judged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import attrs
import click

from ajolo_fanout.cli.demo_view import Display, show
from ajolo_fanout.profiles.catalog import data_folder
from ajolo_fanout.replay.recorded import recorded_runs, recorded_spans
from ajolo_fanout.replay.rerun import replayed
from ajolo_fanout.testing.harness import Harness, fanout
from ajolo_fanout.testing.verify import Expectation, differences, expect

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ajolo_fanout.otlp.decode import DecodedSpan
    from ajolo_fanout.plan.model import BackendPlan, Plan

__all__ = ["Got", "Run", "demo", "judge", "run_example"]

LIMIT = 10.0
"""Seconds that sending may take in all; what hasn't arrived by then counts as missing."""

Progress = Callable[[Mapping[str, int]], None]


@attrs.frozen
class Got:
    """What one backend was to get, and what it got.

    Attributes:
        backend: The plan's entry.
        expected: From the plan's steps alone.
        arrived: The decoded spans that its fake took.
        bytes: Of request bodies before compression, which gRPC shows nobody.
    """

    backend: BackendPlan
    expected: Expectation
    arrived: Sequence[DecodedSpan]
    bytes: int


@attrs.frozen
class Run:
    """One run of the example.

    Attributes:
        file: The example file.
        plan: Its plan, with the fakes' addresses.
        spans: What was traced, in the order of ending.
        runs: How many agent runs these spans are of.
        got: By backend, in the file's order.
        seconds: From the first span to the last answer.
    """

    file: Path
    plan: Plan
    spans: Sequence[ReadableSpan]
    runs: int
    got: Sequence[Got]
    seconds: float


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout demo

\b
Exit codes:
  0  every backend got exactly what the file says
  1  one didn't; what is wrong is listed
  2  the command line is wrong, or the installation incomplete
"""
)
def demo() -> NoReturn:
    """Recorded agent traces at five backends on your own machine.

    Runs the example file (examples/tracing.toml) against five fakes on loopback that behave as the vendors
    do, sends them fourteen recorded runs of agents, and shows what each got: no account, no key and no
    network is wanted. Then compares every span that arrived with what the file says should arrive.

    Colours and the progress bar are left out where the output is no terminal, or NO_COLOR is set.
    """
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]  # this process is the demo's own; it should be the same on every machine
    display = Display.for_this_terminal()
    run = run_example(display)
    problems = judge(run)
    show(run, problems, display.console)
    raise click.exceptions.Exit(1 if any(problems.values()) else 0)


def run_example(display: Display, limit: float = LIMIT) -> Run:
    """Send the recorded runs as the example file says, one after another, and gather what arrived.

    Args:
        display: Told of every arrival.
        limit: Seconds that all of it may take.
    """
    file = data_folder("examples") / "tracing.toml"
    runs = [recorded_spans(name) for name in recorded_runs()]
    spans = [span for run in runs for span in run]
    # With an empty environment every ${NAME} is its default or a placeholder: a real key never gets in here.
    with fanout(file, environ={}) as harness:
        sources = replayed(harness.provider, spans)
        expected = {one.name: expect(one, sources) for one in harness.plan.backends}
        began = time.monotonic()
        with display.progress({name: len(one.spans) for name, one in expected.items()}) as tell:
            for run in runs:
                harness.replay(run)
                harness.flush(max(0.0, began + limit - time.monotonic()))
                tell({name: len(fake.spans) for name, fake in harness.backends.items()})
        seconds = time.monotonic() - began
        got = [_got(harness, one, expected[one.name]) for one in harness.plan.backends]
        return Run(file, harness.plan, sources, len(runs), got, seconds)


def judge(run: Run) -> dict[str, list[str]]:
    """By backend, what is not exactly as the file says; empty lists where all is well."""
    return {got.backend.name: differences(got.expected, got.arrived) for got in run.got}


def _got(harness: Harness, backend: BackendPlan, expected: Expectation) -> Got:
    fake = harness.backends[backend.name]
    return Got(backend, expected, fake.spans, sum(len(request.body) for request in fake.requests))
