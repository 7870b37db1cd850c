"""One backend of the file: its layers merged, read, checked, and given a target."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import attrs

from ajolo_fanout.config.backend import COMMON_KEYS, NOT_IN_DEFAULTS, BackendSettings
from ajolo_fanout.config.convert import structure
from ajolo_fanout.config.faults import kind_of, unknown_key
from ajolo_fanout.config.substitution import FromEnvironment, Unset
from ajolo_fanout.config.veil import veiled
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.plan import checks
from ajolo_fanout.plan.keeping import settle_age, spool_use
from ajolo_fanout.plan.layers import Layer, Lookup, Merged, file_layer, merge, profile_layer
from ajolo_fanout.plan.model import BackendPlan, Off, SpoolPlan
from ajolo_fanout.plan.origins import backend_origins
from ajolo_fanout.plan.own import load_own
from ajolo_fanout.plan.reading import (
    Base,
    Inputs,
    Reading,
    nothing,
    read_common,
    read_inputs,
    written_defaults,
)
from ajolo_fanout.plan.sampling import sampling
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.model import USELESS_KEYS, Profile
from ajolo_fanout.profiles.target import Finding, Target, resolve_target
from ajolo_fanout.steps.pipeline import Shape, Steps
from ajolo_fanout.values import option

__all__ = ["Base", "Resolved", "check_defaults", "resolve_backend"]

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_HARMLESS = 3
"""A text of this many characters is no credential, and may be part of any other word."""
_NOWHERE = "https://placeholder.invalid"
"""Where a backend whose endpoint is unknown would send: every profile takes it, and it can't exist."""


@attrs.frozen
class Resolved:
    """What became of one backend: a plan, or off, or neither and errors."""

    name: str
    plan: BackendPlan | None
    off: Off | None
    problems: tuple[Problem, ...]


@attrs.frozen
class _Switches:
    """The two keys that decide whether anything else is looked at."""

    enabled: bool = option("See BackendSettings.", default=True)
    optional: bool = option("See BackendSettings.", default=False)


def check_defaults(base: Base) -> tuple[list[Problem], list[Problem]]:
    """What is wrong with `[defaults]`, whoever uses it.

    Returns:
        All problems; and those of keys that can't stand there, which concern every backend: nobody knows what
        was meant to be protected by a key that isn't known.
    """
    layer = base.defaults(nothing)
    keys: list[Problem] = []
    for key in layer.table:
        if key in NOT_IN_DEFAULTS:
            message = f"`{key}` is each backend's own and can't stand in [defaults]"
            keys.append(layer.place((key,)).problem(message, "misplaced-key"))
        elif key not in COMMON_KEYS:
            fault = unknown_key(key, COMMON_KEYS - NOT_IN_DEFAULTS)
            keys.append(layer.place((key,)).problem(fault.message, fault.code))
    values: list[Problem] = []
    structure(
        BackendSettings,
        {key: value for key, value in layer.table.items() if key in COMMON_KEYS - NOT_IN_DEFAULTS},
        place=layer.place,
        problems=values,
        folder=base.document.folder,
        from_file=Reading(resolving=False, allow_unset=True),
    )
    values += [
        layer.place(flaw.path).problem(flaw.message, flaw.code)
        for flaw in layer.flaws
        if not isinstance(flaw, Unset)
    ]
    return keys + values, keys


def resolve_backend(base: Base, name: str, raw: Any) -> Resolved:
    """Resolve the backend called `name`, whose table is `raw`.

    A backend that is off is checked as far as that goes without looking anything up: no variable, no file.
    """
    problems: list[Problem] = []
    if not isinstance(raw, Mapping):
        wrong = f"expected a table, got {kind_of(raw)}"
        place = base.document.place(("backends", name))
        return Resolved(name, None, None, (place.problem(wrong, "wrong-type"),))
    switches = _switches(base, name, raw)
    if not switches.enabled:
        _attempt(base, name, raw, problems, resolving=False)
        return Resolved(name, None, Off(name, "enabled = false", "disabled"), tuple(problems))
    if switches.optional and not base.allow_unset and (missing := _missing(base, name, raw)):
        _attempt(base, name, raw, problems, resolving=False)
        verb = "is" if len(missing) == 1 else "are"
        off = Off(name, f"optional, and {', '.join(map(veiled, missing))} {verb} unset", "unset")
        return Resolved(name, None, off, tuple(problems))
    plan = _attempt(base, name, raw, problems, resolving=True)
    return Resolved(name, plan, None, tuple(problems))


def _switches(base: Base, name: str, raw: Mapping[str, Any]) -> _Switches:
    """Whether a backend is enabled and optional; mistakes are found again, and reported, with all else."""
    keys = frozenset(("enabled", "optional"))
    defaults = written_defaults(base)
    table = {
        **{k: v for k, v in defaults.items() if k == "optional"},
        **{k: v for k, v in raw.items() if k in keys},
    }
    layer = file_layer(base.document, ("backends", name), table, base.lookup)
    found = _Switches()
    for key, value in layer.table.items():  # one by one: a mistake in one of them says nothing of the other
        made = structure(_Switches, {key: value}, place=layer.place, problems=[], folder=base.document.folder)
        found = attrs.evolve(found, **{key: getattr(made or found, key)})
    return found


def _missing(base: Base, name: str, raw: Mapping[str, Any]) -> list[str]:
    """The unset variables that a backend needs."""
    merged = _merged(base, name, raw, _profile(raw), base.lookup)
    return sorted({flaw.name for _, flaw in merged.flaws() if isinstance(flaw, Unset)})


def _profile(raw: Mapping[str, Any]) -> Profile | None:
    """The profile of a `type` that is written plainly and known."""
    try:
        return catalog.load(raw["type"]) if isinstance(raw.get("type"), str) else None
    except ConfigError:
        return None  # reported by `_attempt`, which follows


def _merged(base: Base, name: str, raw: Mapping[str, Any], profile: Profile | None, lookup: Lookup) -> Merged:
    own = file_layer(base.document, ("backends", name), raw, lookup)
    useless = USELESS_KEYS[profile.kind] if profile is not None else frozenset()
    # A key that can't stand in [defaults] is reported there, and reaches nobody.
    misplaced = [key for key in written_defaults(base) if key not in COMMON_KEYS - NOT_IN_DEFAULTS]
    defaults = base.defaults(lookup, without=useless.union(misplaced))
    layers = [own, defaults, base.environment]
    if profile is not None:
        layers.insert(2, profile_layer(profile))
    return merge(layers)


def _attempt(
    base: Base, name: str, raw: Mapping[str, Any], problems: list[Problem], *, resolving: bool
) -> BackendPlan | None:
    """The backend's plan, or None where it has errors or is only checked."""
    lookup = base.lookup if resolving else nothing
    own = file_layer(base.document, ("backends", name), raw, lookup)
    problems += _against_name(name, own)
    profile = _read_type(own, problems)
    merged = _merged(base, name, raw, profile, lookup)
    for layer, flaw in merged.flaws():
        if not isinstance(flaw, Unset) or (resolving and not base.allow_unset):
            problems.append(layer.place(flaw.path).problem(flaw.message, flaw.code))
    if profile is not None:
        problems += checks.useless_keys(profile, merged.top)
        problems += checks.literals(profile, merged.top)
    reading = Reading(resolving, base.allow_unset)
    settings, dropped = read_common(base, profile, merged, reading, problems)
    settings, lowered, found = checks.settle_batch(settings, merged)
    problems += found
    if profile is None:
        return None
    settings, shortened, found = settle_age(settings, profile, merged)
    problems += [*found, *spool_use(settings, base.document, merged)]
    inputs = read_inputs(base, profile, merged, reading, problems)
    target, findings = _target(profile, inputs, settings, merged)
    for finding in _telling(findings, profile, inputs.dropped | dropped):
        if resolving or not finding.key or not merged.unknown(*finding.key):
            problems.append(
                merged.place(finding.key).problem(
                    _said(finding.message, merged.value(finding.key)), finding.code, finding.severity
                )
            )
    files = resolving and not base.allow_unset
    problems += checks.settings(settings, profile, merged, target, files=files)
    problems += sampling(settings, profile, merged)
    settings, found = load_own(settings, merged, base.document.folder, resolving=resolving)
    problems += found
    general = base.defaults(lookup, without=written_defaults(base).keys() - {"redaction"})
    redaction = settings.redaction if "redaction" not in dropped else None
    problems += checks.redaction(redaction, merged, general, known=files)
    if target is None or not resolving or any(one.severity == "error" for one in problems):
        return None
    origins = backend_origins(merged, settings, target, {**lowered, **shortened})
    shape = Shape(
        processors=settings.processors,
        redaction=settings.redaction,
        limits=settings.limits,
        resource=target.resource,
    )
    steps = Steps(settings.sampling, shape, origins, settings.select, profile.weight)
    spool = None
    if settings.spool != "off" and base.spool is not None:
        spool = SpoolPlan(base.spool, base.service, always=settings.spool == "always")
    return BackendPlan(name, target, settings, steps, origins, spool)


def _against_name(name: str, own: Layer) -> Iterator[Problem]:
    message = ""
    if veiled(name) != name:
        message = (
            "a backend's name stands in logs and metrics, and this one may be a credential; take another"
        )
    elif not _NAME.fullmatch(name):
        message = "a backend's name begins with a-z and holds a-z, 0-9, _ and -, 64 characters at most"
    if message:
        yield own.place(()).problem(message, "bad-name")


def _read_type(own: Layer, problems: list[Problem]) -> Profile | None:
    written = own.table.get("type")
    place = own.place(("type",))
    if written is None:
        message = f'this key is required; write type = "…", one of {", ".join(catalog.names())}'
        problems.append(own.place(()).problem(message, "missing-key"))
    elif not isinstance(written, str):
        problems.append(place.problem(f"expected a string, got {kind_of(written)}", "wrong-type"))
    elif not (isinstance(written, FromEnvironment) and not written.known):
        try:
            return catalog.load(str(written))
        except ConfigError as error:
            problems += (
                one if one.file else place.problem(_said(one.message, written), one.code)
                for one in error.problems
            )
    return None


def _target(
    profile: Profile, inputs: Inputs, settings: BackendSettings, merged: Merged
) -> tuple[Target | None, list[Finding]]:
    target, findings = resolve_target(profile, inputs.written, settings, unset=inputs.unset)
    wrong = any(one.severity == "error" and one.key[:1] == ("endpoint",) for one in findings)
    if wrong and merged.unknown("endpoint"):
        elsewhere = attrs.evolve(settings, endpoint=_NOWHERE)
        target, findings = resolve_target(profile, inputs.written, elsewhere, unset=inputs.unset)
    return target, findings


def _said(message: str, value: Any) -> str:
    """A message about `value`. What came from a variable is not repeated: it may be another one's, a key."""
    if isinstance(value, FromEnvironment) and len(value) > _HARMLESS:
        return message.replace(str(value), "…")
    return message


def _telling(findings: list[Finding], profile: Profile, dropped: frozenset[str]) -> Iterator[Finding]:
    """The findings that say something of their own.

    Where keys were wrong and left out, what is found without them may only be a consequence: that an input
    is missing whose key is misspelt, or that the path doesn't fit the protocol. Values of inputs stand on
    their own.
    """
    names = [one.name for one in profile.inputs]
    decisive = {*names, "endpoint", "protocol", "headers", "allow_plaintext"}
    doubtful = any(key in decisive or difflib.get_close_matches(key, decisive, n=1) for key in dropped)
    for finding in findings:
        key = finding.key[0] if finding.key else None
        if key not in dropped and (not doubtful or key in names):
            yield finding
