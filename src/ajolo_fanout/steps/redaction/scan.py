r"""Finds secrets in text, and in JSON in text, however it is escaped.

One RE2 set holds a hint of every pattern: one pass over a text says which detectors need to look at all, and
mostly none does. What is found is replaced by the detector's name, `[email]`; all else stays byte for byte.

JSON hides a secret in escapes: `alice\u0040example.com` is an address, and in JSON within JSON the backslash
is itself escaped. Two ways lead there:

- A text that is JSON is taken apart into its strings and numbers. A string is decoded, scanned in its turn
  (it may hold JSON), and written again as a string if it changed; a number in which something is found
  becomes a string. So the result is JSON as long as the text was.
- Any other text, such as a log line that quotes a piece of JSON or JSON that was cut off, is scanned as it is
  and again with its escapes decoded, as often as there are any; what is found is replaced together with the
  escapes that it touches, never a part of one.

The cost is linear in the length: there are no more rounds than `MAX_ROUNDS`, and a text that wants more is
hostile, so it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import attrs

from ajolo_fanout.steps.redaction.detectors import DETECTORS, Detector
from ajolo_fanout.steps.redaction.escapes import Span, decode_fast, decode_once
from ajolo_fanout.steps.redaction.patterns import Pattern

__all__ = ["MAX_ROUNDS", "Scan", "ScanError", "Scanner", "scanner"]

MAX_ROUNDS = 24
"""JSON within JSON so many times; every round in earnest doubles the backslashes, so real text has a few."""

_SURROGATE = re.compile("[\ud800-\udfff]")
# A string that isn't closed matches, too, to the end: a match that fails would be tried again at each quote.
_TOKEN = re.compile(r'("(?:[^"\\]+|\\.|\\\Z)*(?:"|\Z))|(-?[0-9][0-9.eE+-]*)', re.DOTALL)
_BETWEEN = re.compile(r"(?:[\s\[\]{},:]|true|false|null|NaN|-?Infinity)*")
_MEMORY = 64 * 1024 * 1024  # of the set's automaton, at most; one that is full is thrown away and begun again


class ScanError(ValueError):
    """A text that can't be scanned to its end; it must not leave."""


@attrs.frozen
class Scan:
    """What a scan made of a text.

    Attributes:
        text: The same object where nothing was found.
        found: The names of the detectors that found something, each once.
    """

    text: str
    found: tuple[str, ...] = ()


@attrs.frozen
class _Compiled:
    """One pattern, ready: `find` is RE2's search over UTF-8."""

    detector: str
    group: int
    pattern: Pattern
    find: Callable[[bytes, int], Any]


class Scanner:
    """All chosen detectors, compiled. Safe to share between threads.

    Raises:
        re2.error: at construction, when a pattern isn't RE2.
        ValueError: at construction, when RE2 takes each of them and not all as one set.
    """

    def __init__(self, detectors: Iterable[Detector]) -> None:
        import re2  # only programs whose plan has a detector or a pattern pay for it

        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        self._compiled: list[_Compiled] = []
        self._set = re2.Set.SearchSet(options)
        self._names: list[tuple[Callable[[bytes], Any], Callable[[str], bool], str]] = []
        self._replace: dict[str, Callable[[str], str]] = {}
        for detector in detectors:
            if detector.replace is not None:
                self._replace[detector.name] = detector.replace
            for pattern in detector.patterns:
                regex = re2.compile(pattern.regex, options)
                self._set.Add(pattern.hint)
                self._compiled.append(_Compiled(detector.name, min(regex.groups, 1), pattern, regex.search))
            for name, is_secret in detector.names:
                self._names.append((re2.compile(name, options).search, is_secret, detector.name))
        self._canary = len(self._compiled)
        self._set.Add(r"\z")
        try:
            self._set.Compile()
        except re2.error:
            raise ValueError("these patterns are too large together") from None
        self._by_name = lru_cache(maxsize=4096)(self._telling)

    def scan(self, text: str, name: str = "") -> Scan:
        """Replace what the detectors find in `text`.

        Args:
            text: Any text, JSON or not, valid Unicode or not.
            name: What it is called (an attribute's key), for names that give their value away.

        Raises:
            ScanError: when JSON is nested beyond `MAX_ROUNDS`. Such a text must not leave.
        """
        found: dict[str, None] = {}
        return Scan(self._scan(text, name, found, 0), tuple(found)) if text else Scan(text)

    def asked(self, text: str) -> tuple[str, ...]:
        """The detectors that the set lets look at `text` as it stands; the others never run on it."""
        hints = sorted(self._hints(_utf8(text)))
        return tuple(dict.fromkeys(self._compiled[index].detector for index in hints))

    def _scan(self, text: str, name: str, found: dict[str, None], depth: int) -> str:
        if name:
            for is_secret, detector in self._by_name(name):
                if is_secret(text):
                    found[detector] = None
                    return f"[{detector}]"
        if not self._hinted(text):
            return text
        if text.lstrip()[:1] in ("{", "[", '"') and (tokens := _json_tokens(text)):
            return self._json(text, tokens, found, depth)
        spans = _merged(self._everywhere(text, depth), self._replace)
        if not spans:
            return text
        found.update(dict.fromkeys(label for _, _, label in spans))
        return _replaced(
            text, [(start, end, self._instead(label, text[start:end])) for start, end, label in spans]
        )

    def _instead(self, label: str, found: str) -> str:
        replace = self._replace.get(label)
        return f"[{label}]" if replace is None else replace(found)

    def _json(self, text: str, tokens: list[re.Match[str]], found: dict[str, None], depth: int) -> str:
        """Scan the strings, keys among them, and numbers of what is JSON."""
        if depth >= MAX_ROUNDS:
            raise ScanError("JSON within JSON too many times")
        changes: list[tuple[int, int, str]] = []
        key = ""
        for token in tokens:
            raw = token[0]
            content = json.loads(raw, strict=False) if token[1] else raw
            is_key = token[1] is not None and _is_key(text, token.end())
            scanned = self._scan(content, "" if is_key else key, found, depth + 1)
            key = content if is_key else ""
            if scanned != content:
                changes.append((*token.span(), json.dumps(scanned, ensure_ascii=raw.isascii())))
        return _replaced(text, changes) if changes else text

    def _hinted(self, text: str) -> bool:
        """Whether any detector might find anything in `text`, its escapes decoded however often."""
        for _ in range(MAX_ROUNDS):
            if self._hints(_utf8(text)):
                return True
            if "\\" not in text:
                return False
            decoded = decode_fast(text)
            if decoded == text:
                return False
            text = decoded
        raise ScanError("JSON within JSON too many times")

    def _everywhere(self, text: str, depth: int) -> list[Span]:
        """What is found in `text` and below its escapes, by places in `text`."""
        if depth >= MAX_ROUNDS:
            raise ScanError("escapes within escapes too many times")
        spans = self._find(text)
        if "\\" not in text:
            return spans
        decoded, escapes = decode_once(text)
        if not escapes.count:
            return spans
        below = self._everywhere(decoded, depth + 1)
        return [escapes.widened(span) for span in spans] + [escapes.above(span) for span in below]

    def _hints(self, raw: bytes) -> Sequence[int]:
        """The patterns that may match. All of them where the set says nothing.

        RE2 answers an empty list when its automaton ran out of memory, too. One member of the set matches
        every text: where even that is missing, the list is no answer.
        """
        found = self._set.Match(raw)
        if not found or self._canary not in found:
            return range(self._canary)
        return [index for index in found if index != self._canary]

    def _find(self, text: str) -> list[Span]:
        """What is found in `text` as it stands."""
        raw = _utf8(text)
        spans = [
            (start, end, self._compiled[index].detector)
            for index in self._hints(raw)
            for start, end in _found(self._compiled[index], raw)
        ]
        return spans if len(raw) == len(text) else _by_characters(raw, spans)

    def _telling(self, name: str) -> tuple[tuple[Callable[[str], bool], str], ...]:
        raw = _utf8(name)
        return tuple((is_secret, detector) for search, is_secret, detector in self._names if search(raw))


@lru_cache(maxsize=64)
def scanner(names: tuple[str, ...]) -> Scanner:
    """The scanner of the built-in detectors `names`; equal names share one."""
    return Scanner(DETECTORS[name] for name in names)


def _found(compiled: _Compiled, raw: bytes) -> Iterator[tuple[int, int]]:
    """Where one pattern finds a secret, by bytes."""
    place, check = 0, compiled.pattern.check
    # RE2 takes a place behind the end for the end, where an empty match would be found again and again.
    while place <= len(raw) and (match := compiled.find(raw, place)) is not None:
        start, end = match.span(compiled.group)
        if check is not None:
            candidate = raw[start:end].decode()
            kept = check(candidate, _ascii(raw[max(start - 12, 0) : start]), _ascii(raw[end : end + 2]))
            if not kept:
                place = start + 1 if compiled.pattern.inside else max(end, start + 1)
                continue
            end = start + len(candidate[:kept].encode())
        yield start, end
        place = max(end, start + 1)


def _ascii(raw: bytes) -> str:
    """What stands beside a candidate; no letter where it is of another alphabet, which ends a number, too."""
    return raw.decode("ascii", "replace")


def _utf8(text: str) -> bytes:
    """UTF-8 for RE2, with U+FFFD for lone surrogates: as many characters, at the same places."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()


def _by_characters(raw: bytes, spans: list[Span]) -> list[Span]:
    """Places in UTF-8 as places in the text, in one pass."""
    places = sorted({place for start, end, _ in spans for place in (start, end)})
    characters, before, count = {0: 0}, 0, 0
    for place in places:
        count += len(raw[before:place].decode())
        characters[place], before = count, place
    return [(characters[start], characters[end], label) for start, end, label in spans]


def _json_tokens(text: str) -> list[re.Match[str]] | None:
    """The strings and numbers of `text`, or None where it isn't JSON."""
    tokens: list[re.Match[str]] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if not _BETWEEN.fullmatch(text, end, token.start()) or (token[1] and not _is_string(token[1])):
            return None
        tokens.append(token)
        end = token.end()
    return tokens if _BETWEEN.fullmatch(text, end) else None


def _is_string(token: str) -> bool:
    try:
        json.loads(token, strict=False)
    except ValueError:
        return False
    return True


_COLON = re.compile(r"\s*:")


def _is_key(text: str, end: int) -> bool:
    return _COLON.match(text, end) is not None


def _merged(spans: list[Span], weak: Container[str]) -> list[Span]:
    """Spans in order, overlapping ones as one under the name of the first and longest.

    A `weak` name, whose detector leaves a part of what it finds, gives way to any other.
    """
    merged: list[Span] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(end, before[1]), label if before[2] in weak else before[2])
        else:
            merged.append((start, end, label))
    return merged


def _replaced(text: str, changes: list[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    place = 0
    for start, end, replacement in changes:
        pieces += (text[place:start], replacement)
        place = end
    pieces.append(text[place:])
    return "".join(pieces)
