"""One condition of a match: what a single value has to be."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from ajolo_fanout.steps.glob import compile_glob
from ajolo_fanout.steps.values import identity

__all__ = ["MISSING", "Condition"]

MISSING: Any = object()
"""What a condition is asked about where there is no value."""

_COMPARISON = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

Holds = Callable[[Any], bool]


class Condition:
    """What a value has to be, as it stands in the file.

    A string is a comparison when it is an operator and a number (`">= 0.5"`), else a whole-string,
    case-sensitive glob of `*` and `?`. A number equals numbers (`1` is `1.0`, and neither is `true` or
    `"1"`), a boolean itself. `{ equals = … }` takes its value literally, `{ exists = true }` asks for
    presence alone, and of a list any has to hold. An attribute that is an array fits when one of its
    elements does.
    """

    __slots__ = ("_holds", "written")

    def __init__(self, written: Any) -> None:
        """A condition.

        Raises:
            ValueError: when `written` is none; the message says what one is.
        """
        self.written = written
        self._holds = _compile(written)

    def holds(self, value: Any) -> bool:
        """Whether `value` is what is asked for; `MISSING` stands for no value at all."""
        return self._holds(value)

    @property
    def wants_absence(self) -> bool:
        """Whether it holds where there is no value."""
        return self._holds(MISSING)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Condition):
            return NotImplemented
        return bool(identity(self.written) == identity(other.written))

    def __hash__(self) -> int:
        return hash(identity(self.written))

    def __repr__(self) -> str:
        return f"Condition({self.written!r})"


def _compile(written: Any) -> Holds:
    if isinstance(written, Mapping):
        return _table(written)
    if isinstance(written, (list, tuple)):
        if not written:
            raise ValueError("a list of conditions needs at least one, for of none nothing would ever hold")
        each = [_compile(one) for one in written]
        return lambda value: any(holds(value) for holds in each)
    if isinstance(written, str):
        compared = _COMPARISON.fullmatch(written)
        if compared is not None:
            return _elementwise(_compare(_OPERATORS[compared[1]], float(compared[2])))
        fits = compile_glob(str(written))
        return _elementwise(lambda value: isinstance(value, str) and fits(value))
    if isinstance(written, (bool, int, float)):
        return _elementwise(lambda value: _equal(written, value))
    raise ValueError(
        "a condition is a string, a boolean, a number, a list of these, { equals = … } or { exists = true }"
    )


def _table(written: Mapping[str, Any]) -> Holds:
    if set(written) == {"exists"} and isinstance(written["exists"], bool):
        wanted = written["exists"]
        return lambda value: (value is not MISSING) is wanted
    if set(written) == {"equals"} and isinstance(written["equals"], (str, bool, int, float, list, tuple)):
        literal = written["equals"]
        if isinstance(literal, (list, tuple)):
            return lambda value: _equal(literal, value)
        return _elementwise(lambda value: _equal(literal, value))
    raise ValueError("a condition's table is { equals = … } with a value or { exists = true } or false")


def _elementwise(holds: Holds) -> Holds:
    """`holds`, for an array of any of its elements, and never for what is missing."""

    def for_any(value: Any) -> bool:
        if value is MISSING:
            return False
        if isinstance(value, (list, tuple)):
            return any(holds(one) for one in value)
        return holds(value)

    return for_any


def _compare(compares: Callable[[Any, Any], bool], number: float) -> Holds:
    return lambda value: _is_number(value) and compares(value, number)


def _equal(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(wanted)
            and all(_equal(one, two) for one, two in zip(wanted, value))  # noqa: B905 - of one length
        )
    if _is_number(wanted):
        return _is_number(value) and bool(wanted == value)
    if isinstance(wanted, str):
        return isinstance(value, str) and str(wanted) == value
    return value is wanted


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
