"""What is wrong with one value, in words, before anybody knows the line it stands on.

Every problem that this room reports has a stable `code`:

| code | what it says |
|---|---|
| `file` | the file is missing, unreadable, a directory or not UTF-8 |
| `insecure-file` | a file found without being named may be written by others |
| `syntax` | the text is not TOML |
| `duplicate-key`, `duplicate-table` | written twice |
| `unknown-key`, `misplaced-key` | a key unknown here, or of elsewhere |
| `missing-key` | a required key that nobody wrote |
| `wrong-type`, `needs-unit`, `out-of-range`, `unknown-choice` | a value that can't be taken |
| `unknown-schema` | a file written for another version |
| `unquoted-name` | an attribute name with dots that TOML reads as nested tables |
| `bad-header`, `duplicate-header` | headers that HTTP doesn't know |
| `bad-pattern` | a pattern that RE2 can't take |
| `unset-variable`, `bad-substitution` | `${…}` |
| `secret-file` | a secret's file can't be read |

A string of the file is never shown where a secret may stand: it stands as `"…"`.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ajolo_fanout.config.places import KeyPath, dotted
from ajolo_fanout.config.substitution import FromEnvironment

__all__ = [
    "Fault",
    "Several",
    "Unknowable",
    "kind_of",
    "near",
    "shown",
    "unknown_key",
    "unquoted_names",
    "wrong_type",
]

HIDDEN = '"…"'
"""How a string of the file stands in a message."""


class Fault(Exception):  # noqa: N818 - a finding on its way to a report, never raised to a user
    """One thing that is wrong with a value.

    Attributes:
        message: In the user's words; never a secret.
        code: One of the table above.
        path: Where, below the value that is being read.
        hide: How many parts at the path's end may be secret and are not shown in the key.
    """

    def __init__(self, message: str, code: str = "wrong-type", path: KeyPath = (), hide: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.path = path
        self.hide = hide

    def under(self, *parent: str | int) -> Fault:
        """The same fault, seen from further up."""
        return Fault(self.message, self.code, (*parent, *self.path), self.hide)


class Several(Exception):  # noqa: N818 - as Fault
    """More than one of them.

    Attributes:
        errors: Each with the path at which it was raised.
    """

    def __init__(self, errors: Iterable[tuple[KeyPath, Exception]]) -> None:
        self.errors = tuple(errors)
        super().__init__(f"{len(self.errors)} faults")


class Unknowable(Exception):  # noqa: N818 - as Fault
    """A value made of an unset variable (reported already) where nothing can stand in for it."""


def kind_of(value: Any) -> str:
    """What a value is, without its content."""
    if isinstance(value, str):
        return "a string"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "an array"
    if isinstance(value, dt.datetime):
        return "a date with a time"
    if isinstance(value, dt.date):
        return "a date"
    if isinstance(value, dt.time):
        return "a time of day"
    return type(value).__name__


def shown(value: Any) -> str:
    """A value as a message may show it: numbers and booleans as they are, strings never."""
    if isinstance(value, FromEnvironment):
        return f"{HIDDEN} from {' and '.join(f'${{{name}}}' for name in value.names)}"
    if isinstance(value, str):
        return HIDDEN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        try:
            text = str(value)
        except ValueError:  # an integer of thousands of digits
            return "a very large number"
        return text if len(text) <= 32 else "a very large number"
    return kind_of(value)


def wrong_type(expected: str, value: Any, *, secret: bool = False) -> Fault:
    """`value` isn't `expected` (a noun phrase); where a secret may stand only its kind is said."""
    return Fault(f"expected {expected}, got {kind_of(value) if secret else shown(value)}")


def near(word: str, choices: Collection[str], *, cutoff: float = 0.6) -> str:
    """`; did you mean "site"?`, or nothing where no choice is near: of `cutoff` or more, as difflib has it."""
    found = difflib.get_close_matches(word, sorted(choices), n=1, cutoff=cutoff)
    if not found and len(word) >= 3:  # "http" for "http/protobuf"
        found = [choice for choice in choices if choice.startswith(word)]
    return f'; did you mean "{found[0]}"?' if len(found) == 1 else ""


def unknown_key(key: str, known: Collection[str]) -> Fault:
    """`key` is none of the `known` ones; the caller sets the path."""
    hint = near(key, known)
    if not hint and known:
        hint = "; the keys here are " + ", ".join(sorted(known))
    return Fault(f"unknown key{hint}", "unknown-key")


def unquoted_names(key: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults of a name with dots that was left unquoted, one for each value it was meant to have.

    None where there is no value in `table`: then it is just a table.
    """
    for path in _leaves((key,), table):
        name = ".".join(str(part) for part in path)
        yield Fault(
            f"unquoted, a name with dots is nested tables to TOML; write {dotted((name,))} = …",
            "unquoted-name",
            path,
        )


def _leaves(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves((*path, key), value)
        else:
            yield (*path, key)
