"""Where else a backend's spans could go: the vendor's other sites, and its other intakes.

Both are choices among a profile's inputs: one that fills a placeholder of the URL is a site (Datadog's `site`,
Langfuse's `region`), one that picks among endpoints is an intake (Datadog's `intake`).
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.profiles.target import Target, resolve_target

__all__ = ["Elsewhere", "intakes", "sites"]


@attrs.frozen(eq=False)
class Elsewhere:
    """Another choice for a backend.

    Attributes:
        input: The key in the file.
        choice: What would be written there.
        target: Where requests would go then.
    """

    input: str
    choice: str
    target: Target

    @property
    def written(self) -> str:
        """As one writes it in the file."""
        return f'{self.input} = "{self.choice}"'


def sites(backend: BackendPlan) -> list[Elsewhere]:
    """The vendor's other sites that credentials can be tried at; none for an endpoint of one's own."""
    found = _others(backend, sorted(backend.target.profile.location()))
    return [one for one in found if one.target.self_test is not None]


def intakes(backend: BackendPlan) -> list[Elsewhere]:
    """The vendor's other intakes at the same site."""
    return list(_others(backend, sorted(backend.target.profile.picks())))


def _others(backend: BackendPlan, names: list[str]) -> Iterator[Elsewhere]:
    target = backend.target
    # What was written as `endpoint` is known from the inputs, or is no address of the vendor's.
    settings = attrs.evolve(backend.settings, endpoint=None)
    for name in names:
        one = target.profile.input(name)
        for choice in one.choices if one is not None else ():
            if name not in target.inputs or choice == target.inputs[name]:
                continue
            other, _ = resolve_target(target.profile, {**target.inputs, name: choice}, settings)
            if other is not None:
                yield Elsewhere(name, choice, other)
