"""The file that a command is about: which it is, read, and told apart from a user's other mistakes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import attrs
import click

from ajolo_fanout.cli.diagnostics import brief, diagnostics, summary
from ajolo_fanout.cli.output import CONFIG, Function, Mistake, Output
from ajolo_fanout.config.document import Document, load
from ajolo_fanout.config.find import VARIABLE, Off, find
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.plan.excerpt import Excerpt, excerpt, excerpt_of_text
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.placeholders import resolve_with_placeholders
from ajolo_fanout.plan.resolve import resolve

__all__ = [
    "Opened",
    "Planned",
    "fail",
    "file_argument",
    "open_file",
    "planned",
    "resolved",
    "resolved_offline",
]

_NO_TEXT = ("file", "insecure-file")
"""The codes of what keeps a file from being read at all."""


def file_argument(function: Function) -> Function:
    """The argument `[FILE]`, which a shell completes as a path."""
    return click.argument("file", required=False, type=click.Path(), metavar="[FILE]")(function)


@attrs.frozen
class Opened:
    """A file as far as it can be read.

    Attributes:
        name: As the user gave it.
        document: The parsed file; None where it can't be parsed.
        problems: Why not.
        text: Its text where it can't be parsed, for the line that is wrong. Never printed as it is.
    """

    name: str
    document: Document | None
    problems: tuple[Problem, ...] = ()
    text: str = attrs.field(default="", repr=False)

    def show(self, problem: Problem) -> Excerpt | None:
        """The line that `problem` is about, as it may be shown."""
        if self.document is not None:
            return excerpt(problem, self.document)
        return excerpt_of_text(problem, self.text) if self.text and problem.file == self.name else None

    def placed(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """`problems`; one of the text as a whole stands on its first line."""
        return tuple(
            attrs.evolve(one, line=1, column=1)
            if one.file == self.name and one.line is None and one.code not in _NO_TEXT
            else one
            for one in problems
        )


def open_file(file: str | None, environ: Mapping[str, str] = os.environ) -> Opened:
    """Find and read the file, whatever state it is in.

    Raises:
        Mistake: there is no file to be found: tracing is switched off, or the current folder is gone.
    """
    try:
        found = find(file, environ, Path.cwd())
    except ConfigError as error:
        return Opened(error.problems[0].file, None, error.problems)
    except FileNotFoundError as error:
        raise Mistake("the current folder is gone; change to another one") from error
    except RuntimeError as error:  # a `~` of a user who has no home, or doesn't exist
        raise Mistake(f"there is no such home folder: {file or environ.get(VARIABLE, '')}") from error
    if isinstance(found, Off):
        raise Mistake(f"tracing is switched off ({found.why}); name a FILE to look at one")
    try:
        return Opened(found.name, load(found.path, found.name, named_by=found.named_by))
    except ConfigError as error:
        return Opened(found.name, None, error.problems, _text(found.path))
    except ValueError as error:  # a null character in the path
        raise Mistake("FILE is no path") from error


def fail(opened: Opened, problems: Sequence[Problem]) -> NoReturn:
    """Print what is wrong with a file on standard error; exit 78."""
    output = Output.here(error=True)
    errors = opened.placed([one for one in problems if one.severity == "error"])
    output.say(diagnostics(errors, opened.show, output))
    output.say()
    output.say(summary(opened.name, errors))
    raise click.exceptions.Exit(CONFIG)


@attrs.frozen
class Planned:
    """A file and its plan.

    Attributes:
        document: The parsed file.
        plan: What it means here, placeholders where something is unset.
        placeholders: A warning for each of them.
    """

    document: Document
    plan: Plan
    placeholders: tuple[Problem, ...]


def resolved(opened: Opened) -> tuple[Document, Plan]:
    """A file and its plan, for a command that needs every key. Exit 78 where there is none."""
    document = _parsed(opened)
    try:
        return document, resolve(document, os.environ)
    except ConfigError as error:
        fail(opened, error.problems)


def resolved_offline(opened: Opened) -> Planned:
    """A file and its plan, for which no key has to be there. Exit 78 where there is none."""
    document = _parsed(opened)
    try:
        made, placeholders = resolve_with_placeholders(document, os.environ)
    except ConfigError as error:
        fail(opened, error.problems)
    return Planned(document, made, placeholders)


def planned(opened: Opened) -> Planned:
    """`resolved_offline`, and on standard error a warning for each placeholder."""
    found = resolved_offline(opened)
    aside = Output.here(error=True)
    for problem in found.placeholders:
        aside.say(brief(problem, aside))
    return found


def _parsed(opened: Opened) -> Document:
    if opened.document is None:
        fail(opened, opened.problems)
    return opened.document


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""  # why it can't be read is among the problems already
