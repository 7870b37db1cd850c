"""`${NAME}`, `${NAME:-default}` and `$$` inside string values, after parsing.

Because it happens after parsing, a value can never become structure. Keys are never substituted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ajolo_fanout.config.places import KeyPath
from ajolo_fanout.config.veil import veiled

__all__ = ["FromEnvironment", "Malformed", "Unset", "substitute"]

_TOKEN = re.compile(
    r"\$\$"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:\$\$|\$(?![{$])|[^}$])*))?\}"
    r"|\$\{"
)

PLACEHOLDER = "placeholder"
"""What stands for the value of an unset variable, so that what is around it can still be checked."""


class FromEnvironment(str):
    """A string that came, at least in part, from `${…}`.

    Only a `whole` one may become a boolean, a number or a duration. Its text is never shown: it may be a
    secret wherever it stands.

    Attributes:
        names: The variables it names, in order.
        whole: True where the string is exactly one `${…}`.
        known: False where a variable is unset and has no default, or a `${` is malformed: a placeholder
            stands there, and the flaw is reported by `substitute`.
    """

    __slots__ = ("known", "names", "whole")

    names: tuple[str, ...]
    whole: bool
    known: bool

    def __new__(  # noqa: PYI034 - Self needs Python 3.11
        cls, text: str, names: tuple[str, ...], whole: bool = False, known: bool = True
    ) -> FromEnvironment:
        """Make one of its text and what is known of where that came from."""
        self = super().__new__(cls, text)
        self.names = names
        self.whole = whole
        self.known = known
        return self

    def __getnewargs__(self) -> tuple[str, tuple[str, ...], bool, bool]:  # type: ignore[override]
        return str(self), self.names, self.whole, self.known

    def __repr__(self) -> str:
        return f"FromEnvironment({', '.join(self.names)})"


@attrs.frozen
class Unset:
    """A variable without a value or a default.

    Attributes:
        path: Where the string stands that names it.
        name: The variable.
    """

    path: KeyPath
    name: str
    code: str = attrs.field(default="unset-variable", init=False)

    @property
    def message(self) -> str:
        """What to do about it."""
        name = veiled(self.name)
        return f"the environment variable {name} is unset or empty; set it, or write ${{{name}:-default}}"


@attrs.frozen
class Malformed:
    """A `${` that starts nothing we know.

    Attributes:
        path: Where the string stands.
        at: The 1-based character of the string at which the `${` stands.
    """

    path: KeyPath
    at: int
    code: str = attrs.field(default="bad-substitution", init=False)

    @property
    def message(self) -> str:
        """What is expected."""
        return (
            f'the "${{" at character {self.at} of the string starts neither ${{NAME}} nor '
            f"${{NAME:-default}}; a dollar itself is written $$"
        )


def substitute(
    value: Any, lookup: Callable[[str], str | None], *, placeholder: str = PLACEHOLDER
) -> tuple[Any, list[Unset | Malformed]]:
    """`value` with every `${…}` in its strings replaced, through tables and arrays.

    Args:
        value: A table, an array, a string or any other TOML value; it is not changed.
        lookup: The environment: the variable's text, None when unset. An empty text counts as unset.
        placeholder: Stands for an unset variable. `FromEnvironment.known` tells of it, and `convert` takes
            the built-in default where such a string should be a number, a boolean, a duration or a choice.

    Returns:
        The new value, and what was wrong, with paths below `value`.
    """
    flaws: list[Unset | Malformed] = []

    def walk(item: Any, path: KeyPath) -> Any:
        if isinstance(item, str):
            text, found = _expand(item, path, lookup, placeholder)
            flaws.extend(found)
            return text
        if isinstance(item, Mapping):
            return {key: walk(inner, (*path, key)) for key, inner in item.items()}
        if isinstance(item, (list, tuple)):
            return [walk(inner, (*path, index)) for index, inner in enumerate(item)]
        return item

    return walk(value, ()), flaws


def _expand(
    text: str, path: KeyPath, lookup: Callable[[str], str | None], placeholder: str
) -> tuple[str, list[Unset | Malformed]]:
    """One string: a plain one where nothing in it came from a variable."""
    flaws: list[Unset | Malformed] = []
    names: list[str] = []

    def replace(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if found[0] == "$$":
            return "$"
        if name is None:
            flaws.append(Malformed(path, found.start() + 1))
            return placeholder
        names.append(name)
        if known := lookup(name):  # an empty one counts as unset
            return known
        if default is not None:
            return str(default).replace("$$", "$")
        flaws.append(Unset(path, name))
        return placeholder

    made = _TOKEN.sub(replace, text)
    if not names and not flaws:
        return made, []
    # Of a string that can't be read, what its variables hold is nobody's question.
    flaws = [flaw for flaw in flaws if isinstance(flaw, Malformed)] or flaws
    whole = _TOKEN.fullmatch(text) is not None
    return FromEnvironment(made, tuple(names), whole=whole, known=not flaws), flaws
