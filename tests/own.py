"""Processors of a user's own, good and hostile, for `type = "tests.own:Name"`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import attrs
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from ajolo_fanout import Draft

release = threading.Event()
"""Ends what hangs, so that no test leaves a thread behind."""

threads: set[str] = set()
"""The names of the threads that `note_thread` was called on."""

instrumented: list[bool] = []
"""Whether instrumentations were at work when `note_instrumentation` was called."""

made: list[str] = []
"""One entry for each `Shorten` that was made."""


def upper(draft: Draft) -> None:
    """A plain function."""
    draft.name = draft.name.upper()


def stamp(draft: Draft, *, text: str = "stamped", times: int = 1) -> None:
    """A function with keys."""
    draft.attributes["stamp"] = text * times


def note_thread(draft: Draft) -> None:
    threads.add(threading.current_thread().name)


def note_instrumentation(draft: Draft) -> None:
    instrumented.append(is_instrumentation_enabled())


class Shorten:
    """A class: made once from the table's keys, then called."""

    def __init__(self, limit: int, names: list[str] | None = None) -> None:
        if limit < 1:
            raise ValueError(f"limit is to be at least 1, and {names} are the names")
        made.append("Shorten")
        self.limit = limit
        self.names = names or ["note"]

    def __call__(self, draft: Draft) -> None:
        for name in self.names:
            value = draft.attributes.get(name)
            if isinstance(value, str):
                draft.attributes[name] = value[: self.limit]


@attrs.define
class Counts:
    """Equal to every other one that has counted as far."""

    seen: int = 0

    def __call__(self, draft: Draft) -> None:
        self.seen += 1
        draft.attributes["number"] = self.seen


def sleeps_for_ever(draft: Draft) -> None:
    release.wait()


def raises(draft: Draft) -> None:
    raise RuntimeError(f"no good: {draft.attributes.get('secret')}")


def exits(draft: Draft) -> None:
    sys.exit(3)


def returns_garbage(draft: Draft) -> Any:
    return {"name": "another span"}


def writes_garbage(draft: Draft) -> None:
    draft.attributes["garbage"] = object()  # type: ignore[assignment]


def interrupts(draft: Draft) -> None:
    raise KeyboardInterrupt


async def is_async(draft: Draft) -> None:
    pass


def yields(draft: Draft) -> Any:
    yield draft


def takes_nothing() -> None:
    pass


def factory(limit: int) -> Callable[[Draft], None]:
    return upper


class NotCallable:
    pass


class WantsMore:
    def __call__(self, draft: Draft, more: int) -> None:
        pass


number = 5


def odd_fails(draft: Draft) -> None:
    """Raises for every other number."""
    number = draft.attributes["number"]
    if isinstance(number, int) and number % 2:
        raise ValueError("SECRET")
