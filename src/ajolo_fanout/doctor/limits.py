"""Time limits for what knows none: name resolution, a file system that hangs, many questions at once."""

from __future__ import annotations

import contextvars
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from ajolo_fanout.doctor.findings import Trouble

__all__ = ["STEP", "Deadline", "limited", "side_by_side"]

T = TypeVar("T")
K = TypeVar("K")

STEP = 5.0
"""Seconds that one question may take, where the time that is left is more."""


_TO_SAY_SO = 0.8
"""The part of what is left that one question may take: it is to be the one to say that no answer came."""


class Deadline:
    """When the checks of one backend have to be over."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def left(self, most: float = STEP) -> float:
        """Seconds for the next question.

        Raises:
            Trouble: when there are none, `unfinished`.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise Trouble("unfinished", "the time was over before this could be asked", _MORE_TIME)
        return min(most, left * _TO_SAY_SO)

    def share(self) -> float:
        """Seconds for a question that may go unanswered: a part of what is left, so that others can be asked.

        Raises:
            Trouble: when there are none, `unfinished`.
        """
        return min(STEP, self.left(math.inf) / 3)


_MORE_TIME = "give it more with --timeout"


class _Answer(Generic[T]):
    def __init__(self, value: T | None, error: BaseException | None) -> None:
        self.value = value
        self.error = error


def limited(call: Callable[[], T], seconds: float) -> T:
    """What `call()` returns, or raises; it runs on a thread that is left behind when the time is over.

    Raises:
        TimeoutError: after `seconds`.
    """
    answers: queue.SimpleQueue[_Answer[T]] = queue.SimpleQueue()
    _start(lambda: answers.put(_tried(call)))
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds:g} s") from None
    if answer.error is not None:
        raise answer.error
    return answer.value  # type: ignore[return-value]  # without an error it is what `call` returned


def side_by_side(calls: Mapping[K, Callable[[], T]], seconds: float) -> dict[K, T]:
    """What each of `calls` returned within `seconds`; without those that raised or took longer."""
    answers: queue.SimpleQueue[tuple[K, _Answer[T]]] = queue.SimpleQueue()
    for key, call in calls.items():
        _start(lambda key=key, call=call: answers.put((key, _tried(call))))  # type: ignore[misc]
    found: dict[K, T] = {}
    deadline = time.monotonic() + seconds
    for _ in calls:
        try:
            key, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if answer.error is None:
            found[key] = answer.value  # type: ignore[assignment]
    return {key: found[key] for key in calls if key in found}


def _tried(call: Callable[[], T]) -> _Answer[T]:
    try:
        return _Answer(call(), None)
    except BaseException as error:
        return _Answer(None, error)


def _start(call: Callable[[], object]) -> None:
    """On a daemon thread, in the caller's context: what it calls isn't traced where the caller isn't."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(call,), name="ajolo-fanout-doctor", daemon=True).start()
