"""What can be wrong with `[[tests]]` beyond single values: names that lead nowhere, counts that don't fit."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.faults import near
from ajolo_fanout.config.places import KeyPath, dotted
from ajolo_fanout.config.scalars import spelled
from ajolo_fanout.config.tests import ExpectedSpan, GivenSpan, InFileTest
from ajolo_fanout.errors import Problem

__all__ = ["check_tests", "trace_ids"]

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-fA-F]{32}")


def check_tests(
    document: Document, tests: Mapping[int, InFileTest], backends: Collection[str]
) -> Iterator[Problem]:
    """Every mistake in the file's tests, each where it stands.

    Args:
        document: The file.
        tests: Its tests by their number.
        backends: The names of its backends, those that are off included.
    """
    names: dict[str, int] = {}
    for number, test in tests.items():
        path: KeyPath = ("tests", number)
        if not test.name.strip():
            yield document.place((*path, "name")).problem("a test's name can't be empty", "wrong-type")
        elif test.name in names:
            first = document.place(("tests", names[test.name])).line
            message = f"the test on line {first} has the same name"
            yield document.place((*path, "name")).problem(message, "written-twice")
        names.setdefault(test.name, number)
        yield from _check_spans(document, path, test)
        yield from _check_expectations(document, path, test, backends)


def trace_ids(spans: Sequence[GivenSpan]) -> list[str | None]:
    """The trace of each span: its own, else its parent's, else None."""
    by_id = {span.id: span for span in spans if span.id is not None}
    found: list[str | None] = []
    for span in spans:
        seen: set[str] = set()
        at: GivenSpan | None = span
        while at is not None and at.trace_id is None and at.parent is not None and at.parent not in seen:
            seen.add(at.parent)
            at = by_id.get(at.parent)
        found.append(None if at is None or at.trace_id is None else at.trace_id.lower())
    return found


def _check_spans(document: Document, path: KeyPath, test: InFileTest) -> Iterator[Problem]:
    if test.spans and test.spans_file is not None:
        message = "a test has spans or a spans_file, and this one has both"
        yield document.place((*path, "spans_file")).problem(message, "written-twice")
    elif not test.spans and test.spans_file is None:
        message = 'a test needs spans; write spans = [{ name = "chat gpt-4o" }], or spans_file'
        yield document.place(path).problem(message, "missing-key")
    first: dict[str, int] = {}
    for index, span in enumerate(test.spans):
        here = (*path, "spans", index)
        if span.id is not None:
            if not span.id:
                yield document.place((*here, "id")).problem("an id can't be empty", "wrong-type")
            elif span.id in first:
                message = "another span of this test has the same id"
                yield document.place((*here, "id")).problem(message, "written-twice")
            first.setdefault(span.id, index)
        if span.trace_id is not None and not _TRACE_ID.fullmatch(span.trace_id):
            message = "a trace_id is 32 hexadecimal digits, not all of them 0"
            yield document.place((*here, "trace_id")).problem(message, "wrong-type")
    yield from _check_parents(document, path, test.spans, first)


def _check_parents(
    document: Document, path: KeyPath, spans: Sequence[GivenSpan], by_id: Mapping[str, int]
) -> Iterator[Problem]:
    traces = trace_ids(spans)
    for index, span in enumerate(spans):
        if span.parent is None:
            continue
        place = document.place((*path, "spans", index, "parent"))
        if span.parent not in by_id:
            yield place.problem(_no_such_id(span.parent, by_id), "bad-parent")
        elif _hangs_from_itself(span, spans, by_id):
            yield place.problem("this span hangs from itself", "bad-parent")
        elif traces[index] != traces[by_id[span.parent]]:
            yield place.problem("the parent is in another trace; give both the same trace_id", "bad-parent")


def _hangs_from_itself(span: GivenSpan, spans: Sequence[GivenSpan], by_id: Mapping[str, int]) -> bool:
    seen: set[str] = set()
    at = span.parent
    while at is not None and at in by_id and at not in seen:
        if spans[by_id[at]] is span:
            return True
        seen.add(at)
        at = spans[by_id[at]].parent
    return False


def _no_such_id(parent: str, known: Collection[str]) -> str:
    hint = near(parent, known)
    if not hint:
        listed = ", ".join(f'"{spelled(one)}"' for one in sorted(known))
        hint = f"; the ids here are {listed}" if known else "; give that span an id"
    return f'no span of this test has the id "{spelled(parent)}"{hint}'


def _check_expectations(
    document: Document, path: KeyPath, test: InFileTest, backends: Collection[str]
) -> Iterator[Problem]:
    if not test.expect:
        name = next(iter(sorted(backends)), "NAME")
        message = f"a test needs something to expect; write expect.{dotted((name,))} = [{{ … }}]"
        yield document.place(path).problem(message, "missing-key")
    ids = {span.id for span in test.spans if span.id is not None}
    for name, expected in test.expect.items():
        here = (*path, "expect", name)
        if name not in backends:
            hint = near(name, backends) or f"; there are {', '.join(sorted(backends))}"
            yield document.place(here).problem(f"there is no backend of this name{hint}", "unknown-key")
        if test.spans and len(expected) != len(test.spans):
            message = f"expected one table for each of the {_count(test.spans)}, got {len(expected)}"
            yield document.place(here).problem(message, "wrong-count")
        for index, one in enumerate(expected):
            yield from _check_expected(document, (*here, index), one, ids if test.spans else None)


def _check_expected(
    document: Document, path: KeyPath, one: ExpectedSpan, ids: Collection[str] | None
) -> Iterator[Problem]:
    if one.fate != "sent" and one.about_content:
        message = f'of a span that is "{one.fate}" there is nothing more to expect'
        yield document.place(path).problem(message, "nothing-there")
    if one.parent and ids is not None and one.parent not in ids:
        yield document.place((*path, "parent")).problem(_no_such_id(one.parent, ids), "bad-parent")


def _count(spans: Sequence[GivenSpan]) -> str:
    return "1 span" if len(spans) == 1 else f"{len(spans)} spans"
