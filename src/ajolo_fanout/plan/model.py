"""The plan: what one `tracing.toml` means on this machine, resolved, checked and frozen.

Only a plan builds objects. `str(plan)` and `plan.to_dict()` are its public face; both mask every secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.context import ContextSettings
from ajolo_fanout.config.limits import ProviderLimits
from ajolo_fanout.config.sampling import BufferSettings
from ajolo_fanout.config.shutdown import ShutdownSettings
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.config.tests import InFileTest
from ajolo_fanout.errors import Problem
from ajolo_fanout.profiles.target import Target
from ajolo_fanout.steps.pipeline import Shape, Steps
from ajolo_fanout.steps.verdict import Shares, shares
from ajolo_fanout.values import Origin

__all__ = ["AttributeValue", "BackendPlan", "Off", "Origins", "Plan", "SpoolPlan"]

AttributeValue: TypeAlias = Any
"""What a resource attribute may be: a string, a boolean, a number, or an array of one of these."""

Origins: TypeAlias = Mapping[str, Origin]
"""Dotted key -> where its value came from."""

_NONE: Origins = MappingProxyType({})


@attrs.frozen
class SpoolPlan:
    """How one backend uses the spool.

    Attributes:
        settings: The folder and its bounds.
        service: The program's `service.name`: a spooled batch belongs to it and the backend.
        always: Whether each batch is written before its first send, and not only when that has failed.
    """

    settings: SpoolSettings
    service: str
    always: bool = False


@attrs.frozen(repr=False)
class BackendPlan:
    """One backend that will get spans.

    Attributes:
        name: The user's name for it, `NAME` of `[backends.NAME]`.
        target: Where its requests go.
        settings: The keys common to all backends, merged and typed.
        steps: What decides about a span and what is done to it.
        origins: Where each value came from, by dotted key below the backend: `batch.schedule_delay`, `site`,
            `headers.x-team` (in lower case), `url`, `processors[0]`.
        spool: Where what can't be sent now is kept on disk; None where it isn't.
    """

    name: str
    target: Target
    settings: BackendSettings
    steps: Steps
    origins: Origins = attrs.field(default=_NONE, repr=False)
    spool: SpoolPlan | None = None

    @property
    def stock(self) -> bool:
        """Whether the SDK's own exporter sends (`exporter = "stock"`)."""
        return self.settings.exporter == "stock"

    def __repr__(self) -> str:
        return f"<BackendPlan {self.name} ({self.target.profile.id})>"


@attrs.frozen
class Off:
    """A backend of the file that gets nothing, and why, in one line.

    Attributes:
        name: The user's name for it.
        why: The words to say; never a secret.
        reason: `"disabled"` (`enabled = false`), `"unset"` (`optional = true` and a variable is unset) or
            `"broken"` (it has errors, and the file was read tolerantly).
    """

    name: str
    why: str
    reason: str = "disabled"


@attrs.frozen(repr=False)
class Plan:
    """What a file means: nothing in it is looked up again, but secrets that stand in files.

    Attributes:
        file: The file's name as the user gave it.
        path: The file, or None where the text never was in one.
        resource: The resource's attributes, without what the SDK adds of itself.
        limits: The provider's span limits; None is no limit.
        shutdown: How long flush and shutdown may take.
        backends: Who gets spans, in the file's order.
        off: Who doesn't, in the file's order.
        warnings: What is worth saying once.
        ratio: The largest ratio of any backend, 0 to 1: what the provider samples.
        context: What every span gets at its start.
        sampling: The flag for other services, and the bounds of the trace buffer.
        spool: The folder for batches that wait on disk; None where there is none.
        tests: The file's tests, which no running program looks at.
        origins: Where each value outside the backends came from, by dotted key as one writes it:
            `shutdown.timeout`, `resource."team.name"`.
    """

    file: str
    path: Path | None
    resource: Mapping[str, AttributeValue]
    limits: ProviderLimits
    shutdown: ShutdownSettings
    backends: tuple[BackendPlan, ...]
    off: tuple[Off, ...] = ()
    warnings: tuple[Problem, ...] = ()
    ratio: float = 1.0
    origins: Origins = attrs.field(default=_NONE, repr=False)
    context: ContextSettings = attrs.field(factory=ContextSettings)
    sampling: BufferSettings = attrs.field(factory=BufferSettings)
    spool: SpoolSettings | None = None
    tests: tuple[InFileTest, ...] = attrs.field(default=(), repr=False)

    @property
    def shares(self) -> Shares:
        """What share of all traces has to be recorded for the backends together."""
        return shares(backend.steps.sampling for backend in self.backends)

    def __getitem__(self, name: str) -> BackendPlan:
        """The backend called `name`.

        Raises:
            KeyError: when none of that name gets spans.
        """
        for backend in self.backends:
            if backend.name == name:
                return backend
        raise KeyError(name)

    def shapes(self) -> tuple[tuple[str, ...], ...]:
        """The names of the backends, grouped by shape: each group shares its renditions."""
        # By equality, not by hash: a shape holds tables.
        groups: list[tuple[Shape, list[str]]] = []
        for backend in self.backends:
            shape = backend.steps.shape
            names = next((names for known, names in groups if known == shape), None)
            if names is None:
                groups.append((shape, [backend.name]))
            else:
                names.append(backend.name)
        return tuple(tuple(names) for _, names in groups)

    def __repr__(self) -> str:
        # Of its settings, only `str` knows what must not be seen.
        return f"<Plan {self.file}: {', '.join([one.name for one in self.backends]) or 'no backends'}>"

    def __str__(self) -> str:
        from ajolo_fanout.plan.render import render

        return render(self)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON takes it, secrets masked, each value with its origin."""
        from ajolo_fanout.plan.render import to_dict

        return to_dict(self)
