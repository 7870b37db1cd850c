"""A processor of the user's own: `type = "package.module:Name"`, or a name that a package registers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors.common import MATCH, Change, matching
from ajolo_fanout.values import option

__all__ = ["GROUP", "Loaded", "OwnSettings"]

GROUP = "ajolo_fanout.processors"
"""The entry-point group in which a package registers processors by name."""


class Loaded:
    """What was imported for one table of one backend. Equal to nothing else: what is in it may keep state."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[Draft], Any]) -> None:
        self.call = call


@attrs.frozen
class OwnSettings:
    """One table of `processors` whose `type` isn't built in.

    A class is called once with the table's keys, any other callable with each draft and the table's keys.

    Attributes:
        type: As it is written, `package.module:Name` or the name of an entry point.
        options: The table's other keys; plain values.
        match: Which spans it is called with.
        loaded: What stands behind `type`; None in a plan that is only checked.
    """

    type: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    match: Match | None = option(MATCH, default=None, example='{ kind = "client" }')
    loaded: Loaded | None = attrs.field(default=None, repr=False)

    def compile(self) -> Change:
        """The function that calls it.

        Raises:
            RuntimeError: when nothing was loaded; a plan that is at work always has.
        """
        if self.loaded is None:
            raise RuntimeError(f"the processor {self.type} was never loaded")
        call = self.loaded.call

        def change(draft: Draft) -> None:
            _check_result(call(draft), draft)

        return matching(self.match, change)


def _check_result(result: Any, draft: Draft) -> None:
    """Whoever returns something means that to be sent; it isn't, and what it replaces must not be either."""
    if result is None or result is draft:
        return
    if inspect.iscoroutine(result):
        result.close()
    raise TypeError(f"a processor changes the draft and returns nothing; it returned {type(result).__name__}")
