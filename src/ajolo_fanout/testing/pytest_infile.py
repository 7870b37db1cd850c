"""The tests in a `tracing.toml` as items of pytest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ajolo_fanout.config.document import Document, load
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.plan.placeholders import resolve_with_placeholders

if TYPE_CHECKING:
    from ajolo_fanout.plan.model import Plan
    from ajolo_fanout.replay.infile import Judged

__all__ = ["collect"]

_OURS = re.compile(r"^\s*\[+\s*(?:backends|tests)\b", re.MULTILINE)


def collect(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The collector of a file that is one of ours, or nearly one; None for any other TOML."""
    try:
        text = file_path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if _OURS.search(text) is None:
        return None
    made: pytest.Collector = TracingFile.from_parent(parent, path=file_path)
    return made


class TracingFile(pytest.File):
    """One `tracing.toml`."""

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each of its tests, in their order.

        Raises:
            pytest.Collector.CollectError: the file has errors; all of them are told.
        """
        name = os.path.relpath(self.path, self.config.invocation_params.dir)
        try:
            document = load(self.path, name)
            plan, placeholders = resolve_with_placeholders(document, os.environ)
        except ConfigError as error:
            raise self.CollectError(str(error)) from None
        told = "\n".join(str(problem) for problem in placeholders)
        for number, one in enumerate(plan.tests):
            yield TracingTest.from_parent(
                self, name=one.name, document=document, plan=plan, number=number, placeholders=told
            )


class TracingTest(pytest.Item):
    """One of its tests."""

    def __init__(
        self, *, document: Document, plan: Plan, number: int, placeholders: str, **more: Any
    ) -> None:
        super().__init__(**more)
        self._document = document
        self._plan = plan
        self._number = number
        if placeholders:
            self.add_report_section("setup", "placeholders", placeholders)

    def runtest(self) -> None:
        """Run it.

        Raises:
            ExpectationError: something isn't as it is expected.
            ConfigError: its spans_file can't be used.
        """
        from ajolo_fanout.replay.infile import run_test

        tested = run_test(self._plan, self._document, self._number)
        if not tested.passed:
            raise ExpectationError(tested)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What isn't as expected, with file and line; a traceback only for a mistake of ours."""
        if isinstance(excinfo.value, (ExpectationError, ConfigError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file, the 0-based line of the test, its name."""
        line = self._document.place(("tests", self._number)).line
        return self.path, None if line is None else line - 1, self.name


class ExpectationError(AssertionError):
    """A test in a file that failed."""

    def __init__(self, tested: Judged) -> None:
        lines = []
        for one in tested.differences:
            lines.append(f"{one.place.file}:{one.place.line}: {one.place.key}")
            lines.append(f"  {one.backend}, {one.span}" if one.span else f"  {one.backend}")
            lines += [f"    expected {one.expected}", f"    got      {one.got}"]
        super().__init__("\n".join(lines))
