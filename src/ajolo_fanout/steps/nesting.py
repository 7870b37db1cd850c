"""How deep and how wide a value may be nested before a step refuses to walk through it."""

from __future__ import annotations

__all__ = ["Nesting"]

_MAX_DEPTH = 64
"""Deeper than the encoder goes: what is refused here wouldn't arrive as it is anyhow."""
_MAX_CONTAINERS = 100_000


class Nesting:
    """Counts the arrays and maps within one value.

    One that holds itself never ends; one that holds another twice, which again holds another twice, hardly
    ever does.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MAX_CONTAINERS

    def enter(self, depth: int) -> None:
        """Step into an array or a map that stands in `depth` others.

        Raises:
            ValueError: when that is too deep, or one too many.
        """
        self._left -= 1
        if depth >= _MAX_DEPTH or self._left < 0:
            raise ValueError("nested too deep")
