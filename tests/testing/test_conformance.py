"""The conformance tests for processors: a good one passes all, and each bad one fails where it should."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout import Draft
from ajolo_fanout.steps.processors import PROCESSORS, DialectSettings, MediaSettings
from ajolo_fanout.testing import ProcessorConformance, odd_spans, recorded_spans

TESTS = sorted(name for name in vars(ProcessorConformance) if name.startswith("test_"))


def shortens(draft: Draft) -> None:
    for name, value in list(draft.attributes.items()):
        if isinstance(value, str):
            draft.attributes[name] = value[:100]
    draft.events = [event for event in draft.events if event.name]
    draft.links = []
    draft.resource["region"] = "eu"
    draft.add_event("shortened", {"to": 100})


def returns_the_draft(draft: Draft) -> Draft:
    draft.name = draft.name or "unnamed"
    return draft


GOOD: dict[str, Callable[[], Callable[[Draft], Any]]] = {
    "shortens": lambda: shortens,
    "returns_the_draft": lambda: returns_the_draft,
    "dialect": DialectSettings("openinference", "leaf").compile,
    "media": MediaSettings().compile,
    "delete": PROCESSORS["delete"](("gen_ai.*",)).compile,
}


def raises_where_nothing_is(draft: Draft) -> None:
    draft.attributes["model"] = draft.attributes["gen_ai.request.model"]


def exits(draft: Draft) -> None:
    sys.exit()


def returns_a_copy(draft: Draft) -> Any:
    return dict(draft.attributes)


def returns_false_to_drop(draft: Draft) -> bool:
    return False


def leaves_junk(draft: Draft) -> None:
    draft._events = ["no event"]  # type: ignore[assignment]


def counting() -> Callable[[Draft], None]:
    numbers = itertools.count()

    def count(draft: Draft) -> None:
        draft.attributes["number"] = next(numbers)

    return count


def salted() -> Callable[[Draft], None]:
    salt = next(_salts)

    def salt_it(draft: Draft) -> None:
        draft.attributes["salt"] = salt

    return salt_it


_salts = itertools.count()


def moves_the_start(draft: Draft) -> None:
    draft.source._start_time = 5


def renames_the_source(draft: Draft) -> None:
    draft.source._name = "another"


def slow(draft: Draft) -> None:
    time.sleep(0.02)


BAD: dict[str, tuple[Callable[[], Callable[[Draft], Any]], str, str]] = {
    "raises": (lambda: raises_where_nothing_is, "test_it_raises_on_no_span", "KeyError"),
    "exits": (lambda: exits, "test_it_raises_on_no_span", "SystemExit"),
    "returns a copy": (lambda: returns_a_copy, "test_it_returns_nothing", "it returned dict"),
    "returns False": (lambda: returns_false_to_drop, "test_it_returns_nothing", "it returned bool"),
    "leaves junk": (lambda: leaves_junk, "test_it_never_drops_a_span", "can't be encoded"),
    "counts": (counting, "test_it_is_deterministic", "at the second time"),
    "is salted": (salted, "test_it_is_deterministic", "made anew"),
    "moves the start": (lambda: moves_the_start, "test_it_leaves_ids_and_times_alone", "ids or times"),
    "changes the source": (lambda: renames_the_source, "test_it_leaves_the_span_itself_alone", "itself"),
    "is slow": (lambda: slow, "test_it_is_quick", "s a span"),
}


def conformance(make: Callable[[], Callable[[Draft], Any]]) -> ProcessorConformance:
    class Subject(ProcessorConformance):
        def processor(self) -> Callable[[Draft], Any]:
            return make()

    return Subject()


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_passes(name: str, test: str) -> None:
    getattr(conformance(GOOD[name]), test)()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_fails_where_it_is_bad_and_names_the_span(name: str) -> None:
    make, test, said = BAD[name]
    with pytest.raises(AssertionError, match=said) as caught:
        getattr(conformance(make), test)()
    assert "the span '" in str(caught.value) or name == "is slow"


def test_a_pause_that_the_machine_makes_is_not_the_processors() -> None:
    """Somebody else's work, or a collection of garbage; one that is slow each time is slow."""
    pauses = [0.5]

    def paused(draft: Draft) -> None:
        if pauses:
            time.sleep(pauses.pop())

    subject = conformance(lambda: paused)
    subject.seconds_per_span = 0.3 / len(subject.spans())
    subject.test_it_is_quick()
    assert not pauses


def test_what_it_is_tested_with_is_recorded_and_odd_and_may_be_more() -> None:
    class Subject(ProcessorConformance):
        def processor(self) -> Callable[[Draft], Any]:
            return shortens

        def spans(self) -> Any:
            return [*super().spans(), *recorded_spans("ok")]

    assert len(Subject().spans()) == len(recorded_spans()) + len(odd_spans()) + 4


def test_a_class_that_names_no_processor_says_so() -> None:
    class Forgotten(ProcessorConformance):
        pass

    with pytest.raises(NotImplementedError, match=r"Forgotten has no processor\(\)"):
        Forgotten().test_it_raises_on_no_span()


def test_pytest_collects_the_subclass_and_not_the_class_itself(tmp_path: Path) -> None:
    """As a user writes it, in a module that imports both."""
    module = tmp_path / "test_mine.py"
    module.write_text(
        "from ajolo_fanout.testing import ProcessorConformance\n"
        "def mine(draft):\n    draft.name = draft.name.lower()\n"
        "class TestMine(ProcessorConformance):\n    def processor(self):\n        return mine\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(module)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert f"{len(TESTS)} passed" in done.stdout, done.stdout + done.stderr


@given(st.integers(0, len(odd_spans()) - 1))
def test_odd_spans_are_the_same_each_time(index: int) -> None:
    one, other = odd_spans()[index], odd_spans()[index]
    assert (one.name, repr(one.attributes), one.context) == (
        other.name,
        repr(other.attributes),
        other.context,
    )
