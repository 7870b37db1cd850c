"""All backends of a plan at once, under one deadline, with word of every step."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import attrs

from ajolo_fanout.delivery.suppression import suppressed
from ajolo_fanout.doctor.examiner import Examiner, Route
from ajolo_fanout.doctor.findings import Check, Checkup, Diagnosis, conclude
from ajolo_fanout.doctor.verdicts import OFF
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.standby import LONGEST_WAIT

__all__ = ["Step", "checkup"]

_GRACE = 1.0
"""Seconds beyond the deadline for checks that are under way to say that they are over."""


@attrs.frozen
class Step:
    """What has just happened.

    Attributes:
        backend: Whose check it is.
        name: The check's name; empty when the backend is done.
        check: Its result; None when it begins.
        diagnosis: The backend's, when it is done.
    """

    backend: str
    name: str = ""
    check: Check | None = None
    diagnosis: Diagnosis | None = None


Tell: TypeAlias = Callable[[Step], None]


def checkup(
    plan: Plan,
    *,
    only: Collection[str] = (),
    find_site: bool = False,
    seconds: float = 20.0,
    surroundings: Sequence[Check] = (),
    route: Route = str,
    tell: Tell = lambda _: None,
) -> Checkup:
    """Examine the backends of a plan side by side. It ends when all are done or the time is over.

    A test span is sent to each, and the backends' keys are used in requests to their vendors.

    Args:
        plan: What to examine.
        only: The names of those to examine; all where there are none.
        find_site: Try refused credentials at the vendor's other sites, which shows the key to those.
        seconds: How long all of it may take.
        surroundings: What was found around the backends, to be part of the result.
        route: Where each URL is asked; for tests, in which something stands in for a vendor's hosts.
        tell: Is told of each step, on the calling thread.

    Raises:
        KeyboardInterrupt: Ctrl-C, at once; what is under way is left behind on daemon threads.
    """
    chosen = [one for one in plan.backends if not only or one.name in only]
    steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
    examiners = {one.name: _start(plan, one, seconds, find_site, route, steps) for one in chosen}
    found = _gather(examiners, steps, seconds + _GRACE, tell)
    for off in plan.off:
        if not only or off.name in only:
            found[off.name] = Diagnosis(off.name, "", "", OFF, off.why)
    order = [*(one.name for one in plan.backends), *(off.name for off in plan.off)]
    return Checkup(plan.file, tuple(surroundings), tuple(found[name] for name in order if name in found))


def _start(
    plan: Plan,
    backend: BackendPlan,
    seconds: float,
    find_site: bool,
    route: Route,
    steps: queue.SimpleQueue[Step],
) -> Examiner:
    examiner = Examiner(
        plan,
        backend,
        seconds,
        find_site=find_site,
        route=route,
        tell=lambda name, check: steps.put(Step(backend.name, name, check)),
    )

    def run() -> None:
        steps.put(Step(backend.name, diagnosis=examiner.run()))

    # What we ask is not to be traced, where the process is instrumented.
    context = suppressed()
    threading.Thread(
        target=context.run, args=(run,), name=f"ajolo-fanout-doctor-{backend.name}", daemon=True
    ).start()
    return examiner


def _gather(
    examiners: dict[str, Examiner], steps: queue.SimpleQueue[Step], seconds: float, tell: Tell
) -> dict[str, Diagnosis]:
    deadline = time.monotonic() + seconds
    found: dict[str, Diagnosis] = {}
    under_way: dict[str, str] = {}
    while len(found) < len(examiners):
        left = deadline - time.monotonic()
        try:
            step = steps.get(timeout=min(max(0.0, left), LONGEST_WAIT))
        except queue.Empty:
            if left <= 0:
                break
            continue
        under_way[step.backend] = step.name
        if step.diagnosis is not None:
            found[step.backend] = step.diagnosis
        tell(step)
    for name, examiner in examiners.items():
        if name not in found:
            found[name] = _unfinished(examiner, under_way.get(name, ""), seconds - _GRACE)
            tell(Step(name, diagnosis=found[name]))
    return found


def _unfinished(examiner: Examiner, name: str, seconds: float) -> Diagnosis:
    so_far = examiner.diagnosis()
    check = Check(
        name or "name",
        "failed",
        f"still without an answer after {seconds:g} s",
        "give it more time with --timeout",
        "unfinished",
    )
    return conclude(so_far.backend, so_far.type, so_far.url, (*so_far.checks, check))
