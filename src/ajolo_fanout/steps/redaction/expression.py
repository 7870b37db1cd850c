"""A pattern of the user's own, held to RE2 when the file is read and not when the first span comes by."""

from __future__ import annotations

__all__ = ["Expression"]

_PROBES = ("", "a", " a0_-\n\u00e9. ")
"""Texts with every kind of place that an empty match may ask for: an end, an edge of a word, a line."""
_HINTS = {
    "invalid perl operator": "RE2 has no look-ahead and no look-behind",
    "invalid escape sequence": "RE2 has no back-references",
}


class Expression(str):
    """The text of an RE2 pattern, known to be one."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Read a pattern.

        Raises:
            ValueError: when RE2 can't take it, or when it matches the empty text, as `x*` does: what there
                is to find may stand behind such a match. The message repeats nothing of the pattern.
        """
        import re2  # only files that have a pattern pay for it

        options = re2.Options()
        options.log_errors = False
        try:
            matches = [one for probe in _PROBES for one in re2.compile(str(text), options).finditer(probe)]
        except UnicodeEncodeError:
            raise ValueError("half a character (a lone surrogate) can't stand in a pattern") from None
        except re2.error as error:
            what = error.args[0] if error.args else b""
            said = what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)
            said = said.partition(": ")[0]
            hint = f" ({_HINTS[said]})" if said in _HINTS else ""
            raise ValueError(f"RE2 can't take this pattern: {said}{hint}") from None
        if any(one.start() == one.end() for one in matches):
            raise ValueError(
                "this pattern matches the empty text, which is everywhere; it has to match something"
            )
        return cls(text)
