"""What waits for a backend: how long at most, and whether on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.document import Document
from ajolo_fanout.config.retry import MAX_AGE_WITH_SPOOL
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.layers import Merged
from ajolo_fanout.profiles.model import Profile
from ajolo_fanout.values import Origin

__all__ = ["settle_age", "spool_use"]

_AGE = ("retry", "max_age")


def settle_age(
    settings: BackendSettings, profile: Profile, merged: Merged
) -> tuple[BackendSettings, Mapping[str, str | Origin], list[Problem]]:
    """How long a span may wait: longer with a spool, never longer than the backend accepts it.

    Returns:
        The settings; where the age comes from, if it isn't the one that was written; and what is worth a
        warning.
    """
    age, follows, problems = settings.retry.max_age, dict[str, str | Origin](), list[Problem]()
    if settings.spool != "off" and merged.origin(_AGE).kind == "built in":
        age, follows = MAX_AGE_WITH_SPOOL, {"retry.max_age": "spool"}
    limit = profile.known.max_age
    if limit is not None and age > limit:
        if merged.origin(_AGE).kind == "file":
            message = (
                f"{profile.title} takes no span that is older than {limit}; what waits longer is given up"
            )
            problems.append(merged.place(_AGE).problem(message, "max-age", "warning"))
        age, follows = limit, {"retry.max_age": Origin("profile", profile.id)}
    return attrs.evolve(settings, retry=attrs.evolve(settings.retry, max_age=age)), follows, problems


def spool_use(settings: BackendSettings, document: Document, merged: Merged) -> Iterator[Problem]:
    """Whether a backend that wants to use the spool can."""
    if settings.spool == "off":
        return
    place = merged.place(("spool",))
    if "spool" not in document.data:  # one that is wrong is reported by itself
        message = 'needs a folder for it; write [spool] directory = "…" at the top of the file'
        yield place.problem(message, "no-spool")
    if settings.exporter == "stock":
        message = 'the stock exporter keeps nothing on disk; leave `exporter` out, or write spool = "off"'
        yield place.problem(message, "spool-stock")
