"""What others say can't steer a terminal, and a duration reads the same wherever it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.wording import duration_words, escaped, printable, shortened


@given(st.text())
def test_nothing_that_is_told_steers_a_terminal(text: str) -> None:
    """What can be printed stays as it is."""
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
    assert escaped(text).isprintable()
    assert printable(text, "") == escaped(printable(text, ""))
    if text.isprintable():
        assert printable(text) == escaped(text) == text


def test_what_is_escaped_can_still_be_told() -> None:
    assert escaped("a\x1b[2J\nb\u202ec") == r"a\u001b[2J\u000ab\u202ec"


@given(st.text(), st.integers(1, 20))
def test_a_shortened_text_fits_and_shows_that_it_was_cut(text: str, longest: int) -> None:
    short = shortened(text, longest)
    assert len(short) <= longest
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 µs"),
        (35.12e-6, "35.1 µs"),
        (0.0009999, "1000 µs"),
        (0.001, "1 ms"),
        (0.012, "12 ms"),
        (0.8124, "812 ms"),
        (1.424, "1.42 s"),
        (61.5, "61.5 s"),
        (4321.7, "4322 s"),
        (-2.5, "-2.5 s"),
    ],
)
def test_a_duration_has_three_digits_and_no_exponent(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


@given(st.floats(0, 1e9))
def test_a_duration_is_told_to_within_a_half_percent(seconds: float) -> None:
    amount, unit = duration_words(seconds).split()
    assert "e" not in amount or seconds < 1e-10
    assert float(amount) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit] == pytest.approx(seconds, rel=5.1e-3)
