"""What can go wrong in words a user can act on.

The tree::

    FanoutError
    ├── ConfigError     the file, a profile or the environment: every problem at once, each with its place
    └── InstallError    the process: another provider, another file, ddtrace

Only `install_from_config()`, the testing helpers and the command line raise these. After installation
nothing is ever raised into the program.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

__all__ = ["ConfigError", "FanoutError", "InstallError", "Problem"]

Severity = Literal["error", "warning"]


@attrs.frozen
class Problem:
    """One thing that is wrong, and where.

    `str()` gives the one message shape of this project: ``tracing.toml:14: backends.datadog.site: …``.

    Attributes:
        message: What was found, what is expected and the nearest thing that would work. Never a secret.
        severity: `"error"` stops an installation, `"warning"` is said once.
        file: The file's name as the user gave it; empty where a problem has no file.
        line: 1-based line of the key, or None.
        column: 1-based column of the key, or None.
        key: The dotted path of the key; empty for the file as a whole.
        code: A short stable name of the kind of problem, such as `"unknown-key"`.
    """

    message: str
    severity: Severity = "error"
    file: str = ""
    line: int | None = None
    column: int | None = None
    key: str = ""
    code: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.key, self.message) if part)


class FanoutError(Exception):
    """The root of everything that `ajolo_fanout` raises."""


class ConfigError(FanoutError):
    """A configuration that can't be used.

    Attributes:
        problems: Every problem found, in the order of the file; at least one is an error.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=_place))
        super().__init__(self.problems)

    def __str__(self) -> str:
        errors = [str(problem) for problem in self.problems if problem.severity == "error"]
        return errors[0] if len(errors) == 1 else "\n".join([f"{len(errors)} problems:", *errors])


class InstallError(FanoutError):
    """A process in which this configuration can't be installed; the message says what to change."""


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.file, problem.line or 0, problem.column or 0
