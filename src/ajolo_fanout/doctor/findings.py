"""What is found: a check, the diagnosis of a backend, the checkup of a whole file. Plain values without secrets.

`to_dict()` of a checkup is the shape of `ajolo-fanout doctor --json`, documented in
`docs/how-to/find-out-why-nothing-arrives.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import attrs

from ajolo_fanout.doctor.verdicts import FINE, OFF, VERDICTS

__all__ = ["Check", "Checkup", "Diagnosis", "Status", "Trouble", "conclude"]

Status = Literal["ok", "warning", "failed", "skipped"]
"""`warning`: worth a word, and spans arrive all the same. `skipped`: it couldn't be asked, or makes no sense."""

_RANK = {code: rank for rank, code in enumerate(VERDICTS)}


class Trouble(Exception):  # noqa: N818 - it is what a check found, not a mistake
    """A check found something wrong.

    Attributes:
        code: One of `VERDICTS`.
        said: What was found.
        next: What to do about it.
    """

    def __init__(self, code: str, said: str, next: str = "") -> None:  # noqa: A002 - as in `Check`
        super().__init__(said)
        self.code = code
        self.said = said
        self.next = next


@attrs.frozen
class Check:
    """One question and its answer.

    Attributes:
        name: What was asked: `"name"`, `"connect"`, `"tls"`, …
        status: How it is.
        said: What was found, in one line.
        next: What to do about it; empty where nothing has to be done.
        code: Of a failed check: the verdict that it leads to.
        seconds: How long it took.
    """

    name: str
    status: Status
    said: str
    next: str = ""
    code: str = ""
    seconds: float = 0.0

    @classmethod
    def of_trouble(cls, name: str, trouble: Trouble) -> Check:
        """The failed check that `trouble` is."""
        return cls(name, "failed", trouble.said, trouble.next, trouble.code)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {**attrs.asdict(self), "seconds": round(self.seconds, 3)}


@attrs.frozen
class Diagnosis:
    """What is known of one backend after its checks.

    Attributes:
        backend: The user's name for it.
        type: The id of its profile; empty where it is off.
        url: Where it sends; empty where it is off.
        verdict: One of `VERDICTS`.
        said: The finding that decided, in one line.
        next: The next step; empty where there is none to take.
        checks: Everything that was asked, in order.
    """

    backend: str
    type: str
    url: str
    verdict: str
    said: str
    next: str = ""
    checks: tuple[Check, ...] = ()

    @property
    def fine(self) -> bool:
        """Whether spans arrive, or are not meant to."""
        return self.verdict in (FINE, OFF)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        whole = attrs.asdict(self, recurse=False)
        return {**whole, "fine": self.fine, "checks": [check.to_dict() for check in self.checks]}


@attrs.frozen
class Checkup:
    """Everything that was found.

    Attributes:
        file: The file's name as the user gave it.
        surroundings: What was found around the backends: packages, the environment, other tracers.
        backends: One diagnosis each, in the file's order; those that are off at the end.
    """

    file: str
    surroundings: tuple[Check, ...]
    backends: tuple[Diagnosis, ...]

    @property
    def fine(self) -> bool:
        """Whether nothing failed."""
        around = all(check.status != "failed" for check in self.surroundings)
        return around and all(one.fine for one in self.backends)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "file": self.file,
            "fine": self.fine,
            "surroundings": [check.to_dict() for check in self.surroundings],
            "backends": [one.to_dict() for one in self.backends],
        }


def conclude(backend: str, type: str, url: str, checks: Sequence[Check]) -> Diagnosis:  # noqa: A002 - the file's word
    """The diagnosis that some checks amount to: of those that failed, the one that explains the most."""
    failed = [check for check in checks if check.status == "failed"]
    if not failed:
        last = checks[-1].said if checks else ""
        spans = [check.said for check in checks if check.name == "span"]
        return Diagnosis(backend, type, url, FINE, spans[0] if spans else last, checks=tuple(checks))
    worst = min(failed, key=lambda check: _RANK[check.code])
    return Diagnosis(backend, type, url, worst.code, worst.said, worst.next, tuple(checks))
