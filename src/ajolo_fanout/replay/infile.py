"""Runs the `[[tests]]` of a file: its spans through its plan, and what each backend gets held to `expect`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.places import KeyPath, Place
from ajolo_fanout.config.tests import ExpectedSpan, InFileTest
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.replay.given import Given, given_spans
from ajolo_fanout.replay.model import Outcome
from ajolo_fanout.replay.recording import SpansError, load_spans
from ajolo_fanout.replay.replay import replay
from ajolo_fanout.replay.words import fate_words, name_words, value_words
from ajolo_fanout.steps.condition import MISSING
from ajolo_fanout.steps.glob import compile_glob

__all__ = ["Difference", "Judged", "run_test"]


@attrs.frozen
class Difference:
    """Something that isn't as a test expects it.

    Attributes:
        place: Where the expectation stands.
        backend: At which backend.
        span: The span's name, as it was given.
        expected: What was expected, in words.
        got: What came of it, in words.
    """

    place: Place
    backend: str
    span: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f"{self.backend}, {self.span}" if self.span else self.backend
        return f"{where}: expected {self.expected}, got {self.got}"


@attrs.frozen
class Judged:
    """A test that was run.

    Attributes:
        name: Its name.
        place: Where it stands.
        differences: What isn't as expected; none where it passed.
    """

    name: str
    place: Place
    differences: tuple[Difference, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.differences


def run_test(plan: Plan, document: Document, number: int) -> Judged:
    """Run one of the plan's tests.

    Args:
        plan: The file's plan; placeholders do.
        document: The file, for places.
        number: Which of `plan.tests`.

    Raises:
        ConfigError: the test's spans_file can't be used, or holds another number of spans than are expected.
    """
    test = plan.tests[number]
    path: KeyPath = ("tests", number)
    given, own_resource = _given(test, document, path)
    replayed = replay(plan, given.ended, own_resource=own_resource)
    order = {id(span): index for index, span in enumerate(given.ended)}
    differences: list[Difference] = []
    for name, expected in test.expect.items():
        here = (*path, "expect", name)
        off = next((one.why for one in plan.off if one.name == name), None)
        if off is not None:
            differences.append(
                Difference(document.place(here), name, "", "a backend", f"none: it is off ({off})")
            )
            continue
        outcomes = [replayed.outcomes[name][order[id(span)]] for span in given.spans]
        names = [span.name for span in given.spans]
        for index, (one, outcome) in enumerate(zip(expected, outcomes, strict=True)):
            for key, wanted, got in _compare(one, outcome, given.ids):
                place = document.place((*here, index, *key))
                differences.append(Difference(place, name, names[index], wanted, got))
    return Judged(test.name, document.place(path), tuple(differences))


def _given(test: InFileTest, document: Document, path: KeyPath) -> tuple[Given, bool]:
    """The spans, and whether they bring a resource of their own."""
    if test.spans_file is None:
        return given_spans(test.spans), True
    try:
        spans = tuple(load_spans(test.spans_file, _shown(test.spans_file, document)).spans)
    except SpansError as error:
        problem = document.place((*path, "spans_file")).problem(str(error), "spans-file")
        raise ConfigError([problem]) from None
    wrong = [
        document.place((*path, "expect", name)).problem(
            f"expected one table for each of the {len(spans)} spans of the file, got {len(expected)}",
            "wrong-count",
        )
        for name, expected in test.expect.items()
        if len(expected) != len(spans)
    ]
    if wrong:
        raise ConfigError(wrong)
    return Given(
        spans, spans, {span.context.span_id: f"{span.context.span_id:016x}" for span in spans}
    ), False


def _shown(file: Path, document: Document) -> str:
    return str(file.relative_to(document.folder)) if file.is_relative_to(document.folder) else str(file)


def _compare(
    expected: ExpectedSpan, outcome: Outcome, ids: Mapping[int, str]
) -> Iterator[tuple[KeyPath, str, str]]:
    """What differs: the key below the expectation, what was expected, and what there is instead."""
    if outcome.fate != expected.fate:
        key: KeyPath = ("fate",) if expected.fate != "sent" else ()
        yield key, expected.fate.replace("_", " "), fate_words(outcome)
    elif outcome.sent is not None:
        sent = outcome.sent
        if expected.name is not None and not expected.name.holds(sent.name):
            yield ("name",), f"the name {value_words(expected.name.written)}", _value(sent.name)
        if expected.parent is not None:
            above = sent.parent
            parent = "" if above is None else ids.get(above.span_id, f"{above.span_id:016x}")
            if parent not in (expected.parent, expected.parent.lower()):
                yield ("parent",), f"the parent {_parent(expected.parent)}", _parent(parent)
        yield from _compare_attributes(expected, sent.attributes or {})


def _compare_attributes(
    expected: ExpectedSpan, attributes: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, str, str]]:
    for name, condition in expected.attributes.items():
        value = attributes.get(name, MISSING)
        if not condition.holds(value):
            wanted = f"{name_words(name)} = {value_words(condition.written)}"
            yield ("attributes", name), wanted, _value(value)
    for index, pattern in enumerate(expected.absent):
        fits = compile_glob(pattern)
        for name, value in attributes.items():
            if fits(name):
                yield ("absent", index), f"no {name_words(pattern)}", f"{name_words(name)} = {_value(value)}"


def _parent(parent: str) -> str:
    return _value(parent) if parent else "none"


def _value(value: Any) -> str:
    return "nothing" if value is MISSING else value_words(value)
