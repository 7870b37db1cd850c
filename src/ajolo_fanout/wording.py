"""How texts and times are told to a person, the same wherever they are: nothing in them steers a terminal."""

from __future__ import annotations

__all__ = ["duration_words", "escaped", "printable", "shortened"]


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """`text` with `instead` for every character that can't be printed: control codes, line breaks, format marks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else instead for c in text)


def escaped(text: str) -> str:
    r"""`text` as one line in which every character that can't be printed can still be told: `\u001b`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def shortened(text: str, longest: int) -> str:
    """`text` in at most `longest` characters, the last of which is `…` where something was cut off."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def duration_words(seconds: float) -> str:
    """A span's duration in three digits: `1.42 s`, `812 ms`, `35.1 µs`."""
    size = abs(seconds)
    unit, scale = ("s", 1.0) if size >= 1 else ("ms", 1e3) if size >= 1e-3 else ("µs", 1e6)
    amount = seconds * scale
    # From 1000 on, `g` would write an exponent.
    return f"{amount:.3g} {unit}" if abs(amount) < 999.5 else f"{amount:.0f} {unit}"
