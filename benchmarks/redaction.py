"""What it costs to scan text with every detector: beside a copy of the text and one alternation of `re`.

    python benchmarks/redaction.py [--seconds 0.3]

Prints, per kind of text of 3 KB: our scan, the same for twice the text as a ratio, which detectors the set let
look, and what they found; then what it takes to redact and to limit whole spans, as a multiple of encoding
them. Last it says where clean prose took more than 15 µs, or any text over 2.2 times for double the size: said
and no more, for a busy machine is no mistake of ours.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable

from ajolo_fanout.otlp.encode import Tally, encode_span
from ajolo_fanout.steps.limits import LimitsSettings
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.redaction.detectors import DETECTORS
from ajolo_fanout.steps.redaction.scan import ScanError, scanner
from ajolo_fanout.steps.shape import Shape, Shaper
from ajolo_fanout.values import Size
from encode import LABELS, make_spans

SIZE = 3 * 1024
ROUNDS = 7
MOST_FOR_PROSE = 15e-6
MOST_FOR_DOUBLE = 2.2
PROSE = (
    "You are a helpful assistant for the customers of a book shop. Answer briefly, in their own language, "
    "and never promise a delivery date. When a book is out of stock, offer the next edition or the like. "
)
MESSAGE = {
    "role": "user",
    "content": 'Where is my "order"?\nIt was promised for Monday \u2013 caf\u00e9, second floor.',
}


def texts(size: int) -> dict[str, str]:
    """By kind, a text of `size` characters."""
    escaped = json.dumps([MESSAGE] * (size // 100))
    units = {
        "prose, nothing found": PROSE,
        "prose, an address at its end": PROSE,
        "JSON messages, escapes, nothing found": escaped,
        "JSON in JSON in JSON": json.dumps(json.dumps(json.dumps([MESSAGE] * (size // 150)))),
        "one long word": "a",
        "one long number": "1",
        "half addresses": "a@b.1.",
        "addresses": "alice@example.com ",
        "cards": "4111 1111 1111 1111 ",
        "begin lines": "-----BEGIN PRIVATE KEY-----",
        "half tokens": "eyJabcdefgh.",
        "assignments": "api_key=",
        "escaped quotes": '\\"',
        "backslashes": "\\",
        "quotes": '"',
    }
    made = {kind: (unit * (size // len(unit) + 1))[:size] for kind, unit in units.items()}
    made["prose, an address at its end"] = made["prose, an address at its end"][:-20] + " alice@example.com. "
    return made


def cost(call: Callable[[], object], seconds: float) -> float:
    """The least CPU seconds one call takes."""
    best, budget = float("inf"), seconds / ROUNDS
    for _ in range(ROUNDS):
        calls, started = 0, time.process_time()
        while (spent := time.process_time() - started) < budget or not calls:
            call()
            calls += 1
        best = min(best, spent / calls)
    return best


SHAPES = {
    "drop by name": Shape(redaction=RedactionSettings(drop=("user.*", "*.secret"))),
    "no content": Shape(redaction=RedactionSettings(content="drop")),
    "every detector": Shape(redaction=RedactionSettings(detect=tuple(DETECTORS))),
    "values of 2 KiB": Shape(limits=LimitsSettings(attribute_value_size_limit=Size(2048))),
}


def print_spans(seconds: float) -> None:
    """What whole spans cost, each kind by the cost of encoding it."""
    print(f"\n{'a span, by what encoding it takes':40} " + " ".join(f"{name:>16}" for name in SHAPES))
    for kind, spans in make_spans(50).items():

        def each(call: Callable[[object], object], spans: list[object] = spans) -> float:  # type: ignore[assignment]
            return cost(lambda: [call(span) for span in spans], seconds)

        tally = Tally()
        encoding = each(lambda span, tally=tally: encode_span(span, tally))  # type: ignore[misc,arg-type]
        shares = [each(Shaper(shape)) / encoding for shape in SHAPES.values()]  # type: ignore[arg-type]
        print(f"{LABELS[kind]:40} " + " ".join(f"{share:15.2f}x" for share in shares))


def alternation() -> re.Pattern[str]:
    """All our patterns as one of Python's `re`: what a library without RE2 would run."""
    patterns = [one.regex for row in DETECTORS.values() for one in row.patterns]
    plain = (
        re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: re.escape(chr(int(found[1], 16))), one)
        .replace(r"\pL\pM", r"\w")
        .replace(r"\pL", r"[^\W\d_]")
        for one in patterns
    )
    return re.compile("|".join(f"(?:{one.replace('(?i)', '')})" for one in plain))


def main() -> None:
    """Print the tables, and what isn't as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="CPU seconds per measurement")
    arguments = parser.parse_args()
    every = scanner(tuple(DETECTORS))
    scan = every.scan

    def guarded(text: str) -> str:
        try:
            return ", ".join(scan(text).found)
        except ScanError as error:
            return f"refused: {error}"

    broken: list[str] = []
    print(f"{'3 KB of':40} {'scan':>12} {'twice as long':>14}   looked | found")
    single, double = texts(SIZE), texts(2 * SIZE)
    for kind, text in single.items():
        once = cost(lambda text=text: guarded(text), arguments.seconds)  # type: ignore[misc]
        twice = cost(lambda text=double[kind]: guarded(text), arguments.seconds)  # type: ignore[misc]
        looked = ", ".join(every.asked(text)) or "none"
        print(f"{kind:40} {once * 1e6:9.1f} µs {twice / once:13.2f}x   {looked} | {guarded(text) or '-'}")
        if twice > MOST_FOR_DOUBLE * once:
            broken.append(f"{kind}: {twice / once:.2f} times for double the length")
        if kind == "prose, nothing found" and once > MOST_FOR_PROSE:
            broken.append(f"{kind}: {once * 1e6:.1f} µs")
    prose, word = single["prose, nothing found"], single["one long word"]
    raw, pattern = prose.encode(), alternation()
    for label, call, text in (
        ("a plain copy of the memory", lambda: bytearray(raw), prose),
        ("one re alternation, clean prose", lambda: pattern.search(prose), prose),
        ("one re alternation, one long word", lambda: pattern.search(word), word),
    ):
        taken, ours = cost(call, arguments.seconds), cost(lambda text=text: scan(text), arguments.seconds)  # type: ignore[misc]
        print(f"{label:40} {taken * 1e6:9.1f} µs {taken / ours:13.2f}x   our scan of the same text")
    print_spans(arguments.seconds)
    for line in broken:
        print(f"OVER ITS BOUND: {line}")
    if not broken:
        print("\nwithin every bound: 15 µs for clean prose, 2.2 times for double the length")


if __name__ == "__main__":
    main()
