"""Problems as good compilers print them: what, where, the line, a caret under the key."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence

from ajolo_fanout.cli.output import Output, in_lines
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.excerpt import Excerpt
from ajolo_fanout.wording import printable

__all__ = ["brief", "count_of", "diagnostics", "github", "place", "summary"]

_COLORS = {"error": "red", "warning": "yellow"}
_GITHUB = {"%": "%25", "\r": "%0D", "\n": "%0A"}

Show = Callable[[Problem], "Excerpt | None"]
"""The line that a problem is about, as it may be shown."""


def diagnostics(problems: Sequence[Problem], show: Show, output: Output) -> str:
    """Every problem with its line, an empty line between them."""
    return "\n\n".join("\n".join(_one(problem, show(problem), output)) for problem in problems)


def place(problem: Problem) -> str:
    """`file:line:column`, as far as it is known."""
    return ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)


def brief(problem: Problem, output: Output) -> str:
    """A problem beside what was asked for: one line, which only a terminal's width breaks."""
    label = problem.severity
    text = f"{label}: {place(problem)}: {problem.message}"
    if output.terminal:
        text = "\n".join(in_lines(text, output.width, "  "))
    return output.style(label, fg=_COLORS[label], bold=True) + text[len(label) :]


def summary(name: str, problems: Sequence[Problem]) -> str:
    """`tracing.toml: 2 errors, 1 warning`."""
    counts = (count_of(problems, severity) for severity in ("error", "warning"))
    return f"{name}: {', '.join(count for count in counts if count)}"


def count_of(problems: Sequence[Problem], severity: str) -> str:
    """`2 errors`; empty where there are none."""
    count = sum(problem.severity == severity for problem in problems)
    return f"{count} {severity}{'' if count == 1 else 's'}" if count else ""


def github(problem: Problem) -> str:
    """One annotation of a pull request, in the form of GitHub's workflow commands."""
    properties = {"file": problem.file, "line": problem.line, "col": problem.column, "title": problem.code}
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value)
    message = f"{problem.key}: {problem.message}" if problem.key else problem.message
    return f"::{problem.severity} {listed}::{_data(message)}"


def _data(text: str) -> str:
    return "".join(_GITHUB.get(c, c) for c in text)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _one(problem: Problem, found: Excerpt | None, output: Output) -> Iterator[str]:
    label = f"{problem.severity}[{problem.code}]" if problem.code else problem.severity
    # What is wrong with a variable has no file to point into: its name is the subject.
    subject = f"{problem.key}: " if problem.key and not problem.file else ""
    first, *others = in_lines(f"{label}: {subject}{problem.message}", output.width, "  ")
    color = _COLORS[problem.severity]
    yield output.style(first[: len(label)], fg=color, bold=True) + output.style(
        first[len(label) :], bold=True
    )
    yield from (output.style(line, bold=True) for line in others)
    gutter = len(str(found.line)) if found is not None else 1
    arrow = output.style(" " * gutter + "-->", fg="blue")
    where = place(problem)
    if where and problem.key and gutter + 6 + len(where) + len(problem.key) > output.width:
        yield f"{arrow} {where}"
        yield f"{' ' * (gutter + 4)}{problem.key}"
    elif where:
        yield f"{arrow} {'  '.join(part for part in (where, problem.key) if part)}"
    if found is not None:
        yield from _line(found, gutter, color, output)


def _line(found: Excerpt, gutter: int, color: str, output: Output) -> Iterator[str]:
    room = output.width - gutter - 3
    before, key, after = _visible(found, room)
    bar = output.style(f"{'':{gutter}} |", fg="blue")
    yield bar
    yield output.style(f"{found.line} |", fg="blue") + f" {before}{key}{after}"
    yield f"{bar} {' ' * _columns(before)}{output.style('^' * max(1, _columns(key)), fg=color, bold=True)}"


def _visible(found: Excerpt, room: int) -> tuple[str, str, str]:
    """What of a line fits into `room` columns: what stands before the key, the key, what follows it."""
    end = found.start + found.length
    before, key, after = (
        printable(part.replace("\t", " "))
        for part in (found.text[: found.start], found.text[found.start : end], found.text[end:])
    )
    key = _cut(key, room - 2)
    left = max(0, room - _columns(key) - min(_columns(after), room // 3))
    if _columns(before) > left:
        while before and _columns(before) > left - 1:
            before = before[1:]
        before = "…" + before.lstrip('…"')
    return before, key, _cut(after, room - _columns(before) - _columns(key))


def _cut(text: str, room: int) -> str:
    if _columns(text) <= room:
        return text
    while text and _columns(text) > room - 1:
        text = text[:-1]
    return text + "…" if room > 0 else ""


def _columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
