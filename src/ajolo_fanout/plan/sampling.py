"""Sampling as a whole: what is right key by key, and yet worth a word."""

from __future__ import annotations

from collections.abc import Iterator

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.places import KeyPath
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.layers import Merged
from ajolo_fanout.profiles.model import Profile
from ajolo_fanout.steps.weights import is_one_in_n

__all__ = ["sampling"]


def sampling(settings: BackendSettings, profile: Profile, merged: Merged) -> Iterator[Problem]:
    """What is wrong with, or surprising about, a backend's `sampling`.

    Args:
        settings: The common keys.
        profile: The backend's profile.
        merged: What they were made of.
    """
    own = settings.sampling
    names: set[str] = set()
    for index, rule in enumerate(own.keep):
        path: KeyPath = ("sampling", "keep", index)
        if not rule.name or rule.name in names:
            message = "each rule needs a name of its own: it says why a trace was kept"
            yield merged.place((*path, "name")).problem(message, "rule-name")
        names.add(rule.name)
        if rule.ratio and rule.ratio <= own.ratio:
            message = (
                f"keeps nothing beyond sampling.ratio = {own.ratio:g}, which takes these traces already; it "
                "only puts its name on them"
            )
            if own.ratio < 1 or rule.ratio < 1:
                yield merged.place((*path, "ratio")).problem(message, "idle-rule", "warning")
    if profile.weight != "sample_rate":
        return
    ratios: list[tuple[KeyPath, float]] = [(("sampling", "ratio"), own.ratio)]
    ratios += [(("sampling", "keep", index, "ratio"), rule.ratio) for index, rule in enumerate(own.keep)]
    for path, ratio in ratios:
        if ratio and not is_one_in_n(ratio):
            near = 1 / max(1, round(1 / ratio))
            message = (
                f"{profile.title} counts in whole numbers, so each trace of {ratio:g} stands for "
                f"{max(1, round(1 / ratio))} there, not for {1 / ratio:.3g}; write 1/n, such as {near:.3g}"
            )
            yield merged.place(path).problem(message, "rounded-weight", "warning")
