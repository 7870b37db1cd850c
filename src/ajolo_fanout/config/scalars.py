"""Strict readings of single values: what TOML gives is what is wanted, or it is a fault.

A string never becomes a boolean, a number or a duration, unless all of it came from one `${…}`; then it is
read strictly as that. An integer may stand for a float. A boolean is never a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ajolo_fanout.config.faults import Fault, Several, Unknowable, near, shown, wrong_type
from ajolo_fanout.config.places import KeyPath
from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.config.veil import veiled, veiled_path
from ajolo_fanout.values import Duration, Option, Secret, Size
from ajolo_fanout.wording import printable, shortened

__all__ = [
    "check_option",
    "read_boolean",
    "read_choice",
    "read_duration",
    "read_float",
    "read_integer",
    "read_path",
    "read_secret",
    "read_size",
    "read_text",
]

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")

_BOOLEAN = "true or false"
_WHOLE = "a whole number"
_NUMBER = "a finite number"
_DURATION = 'a duration such as "5s" (one number and ms, s, m, h or d)'
_SIZE = 'a size such as "64MiB" (one number and B, KiB, MiB or GiB)'

Unit = TypeVar("Unit", Duration, Size)


def read_boolean(value: Any) -> bool:
    """`true` or `false`."""
    if isinstance(value, bool):
        return value
    if _from_one_variable(value) and value in ("true", "false"):
        return bool(value == "true")
    raise _unquoted(_BOOLEAN, value)


def read_integer(value: Any) -> int:
    """A whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if _from_one_variable(value) and _INTEGER.fullmatch(value):
        return int(value)
    raise _unquoted(_WHOLE, value)


def read_float(value: Any) -> float:
    """A number; never NaN or infinite."""
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    elif _from_one_variable(value) and _FLOAT.fullmatch(value):
        number = float(value)
    if not math.isfinite(number):
        raise _unquoted(_NUMBER, value)
    return number


def read_text(value: Any) -> str:
    """A string. One that came from the environment stays marked as such: its text is not to be shown."""
    if isinstance(value, str):
        return value
    raise wrong_type("a string", value)


def read_duration(value: Any) -> Duration:
    """Seconds, from one number and a unit."""
    if isinstance(value, str):
        return _read_unit(Duration.parse, value, _DURATION)
    if isinstance(value, (int, float)) and _is_amount(value):
        raise _needs_unit(value, Duration(value))
    raise wrong_type(_DURATION, value)


def read_size(value: Any) -> Size:
    """Bytes, from one number and a unit."""
    if isinstance(value, str):
        return _read_unit(Size.parse, value, _SIZE)
    if isinstance(value, int) and _is_amount(value):
        raise _needs_unit(value, Size(value))
    raise wrong_type(_SIZE, value)


def _read_unit(parse: Callable[[str], Unit], value: str, expected: str) -> Unit:
    try:
        made = parse(value)
    except (ValueError, OverflowError):
        raise wrong_type(expected, value) from None
    if float(made) == math.inf:  # hundreds of digits
        raise wrong_type(expected, value)
    return made


def _is_amount(value: float) -> bool:
    return not isinstance(value, bool) and 0 < value < 2**53


def _needs_unit(value: float, meant: Duration | Size) -> Fault:
    """`5` becomes "5s", 0.25 "250ms" and 1048576 "1MiB": what was most likely meant."""
    return Fault(f'a unit is missing: write "{meant}" instead of {shown(value)}', "needs-unit")


def read_path(value: Any, folder: Path) -> Path:
    """A path; a relative one starts at `folder`."""
    text = read_text(value)
    if not text or "\0" in text:
        raise Fault("a path can't be empty or hold a null character", "wrong-type")
    return folder / text


def read_secret(value: Any, folder: Path, from_file: Callable[[Path], Secret]) -> Secret:
    """A string, or `{ file = "…" }`, which is read by `from_file`. Nothing of it is ever shown."""
    if isinstance(value, str):
        return Secret(str(value))
    if not isinstance(value, Mapping):
        raise wrong_type('a string or { file = "…" }', value, secret=True)
    if set(value) != {"file"}:
        raise Fault('a secret is a string or { file = "…" }, and this table has other keys', "wrong-type")
    name = value["file"]
    if not isinstance(name, str):
        raise wrong_type("a path", name, secret=True).under("file")
    if isinstance(name, FromEnvironment) and not name.known:
        return Secret(str(name))  # the unset variable is reported; a file of the placeholder's name is none
    path = read_path(name, folder)
    try:
        return from_file(path)
    except UnicodeDecodeError:
        trouble = "is not UTF-8"
    except OSError as error:
        trouble = f"can't be read: {error.strerror or type(error).__name__}"
    called = shown(name) if isinstance(name, FromEnvironment) else spelled(veiled_path(folder, name), 400)
    raise Fault(f"the secret's file {called} {trouble}", "secret-file", ("file",))


def read_choice(value: Any, choices: tuple[Any, ...]) -> Any:
    """One of `choices`, the very object of them."""
    for choice in choices:
        if type(choice) is bool or type(value) is bool:
            continue
        if value == choice:
            return choice
    listed = ", ".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices)
    expected = listed if len(choices) == 1 else f"one of {listed}"
    if not isinstance(value, str) or not all(isinstance(choice, str) for choice in choices):
        raise wrong_type(expected, value)
    got = shown(value) if isinstance(value, FromEnvironment) else f'"{spelled(veiled(value))}"'
    raise Fault(f"expected {expected}, got {got}{near(value, choices)}", "unknown-choice")


def spelled(text: str, longest: int = 40) -> str:
    """A literal of the file where a choice is wanted, as a message may show it: short, no terminal codes."""
    return printable(shortened(text, longest))


def check_option(option: Option, made: Any, value: Any) -> None:
    """Hold `made`, which was read from `value`, to the option's range and choices.

    Raises:
        Fault: it isn't within them.
        Several: elements of it aren't.
        Unknowable: an element stands for an unset variable.
    """
    if option.choices and isinstance(made, str):
        read_choice(value, option.choices)
    elif option.choices and isinstance(made, tuple):
        _check_elements(made, option.choices)
    if not isinstance(made, (int, float)) or isinstance(made, bool):
        return
    low, high = option.minimum, option.maximum
    if (low is None or made >= low) and (high is None or made <= high):
        return
    unit = type(made) if isinstance(made, (Duration, Size)) else _plain
    if low is not None and high is not None:
        bounds = f"between {unit(low)} and {unit(high)}"
    elif low is not None:
        bounds = f"at least {unit(low)}"
    else:
        bounds = f"at most {unit(high or 0)}"
    got = (
        f'"{spelled(value)}"'
        if isinstance(made, (Duration, Size)) and not isinstance(value, FromEnvironment)
        else shown(value)
    )
    raise Fault(f"must be {bounds}, got {got}", "out-of-range")


def _check_elements(elements: tuple[Any, ...], choices: tuple[str, ...]) -> None:
    faults: list[tuple[KeyPath, Exception]] = []
    for index, element in enumerate(elements):
        if isinstance(element, FromEnvironment) and not element.known:
            raise Unknowable
        try:
            read_choice(element, choices)
        except Fault as fault:
            faults.append(((index,), fault))
    if faults:
        raise Several(faults)


def _plain(bound: float) -> str:
    return (
        f"{bound:g}"
        if abs(bound) < 1e6 and float(bound) != int(bound)
        else f"{int(bound):,}".replace(",", "_")
    )


def _from_one_variable(value: Any) -> bool:
    return isinstance(value, FromEnvironment) and value.whole


def _unquoted(expected: str, value: Any) -> Fault:
    if isinstance(value, str) and not isinstance(value, FromEnvironment):
        return Fault(f"expected {expected} without quotes, got {shown(value)}")
    return wrong_type(expected, value)
