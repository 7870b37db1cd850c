"""What is wrong between keys that are right by themselves, and what is worth a warning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import attrs

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.places import KeyPath
from ajolo_fanout.config.scalars import spelled
from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.config.veil import veiled, veiled_path
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.certificates import flaws
from ajolo_fanout.plan.layers import Layer, Merged
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.profiles.headers import authenticates
from ajolo_fanout.profiles.model import USELESS_KEYS, Profile
from ajolo_fanout.profiles.target import Target
from ajolo_fanout.steps.redaction import RULES, RedactionSettings, redactor
from ajolo_fanout.steps.redaction.detectors import DETECTORS

__all__ = ["duplicates", "literals", "redaction", "settings", "settle_batch", "useless_keys"]

_WRITTEN = frozenset(("file", "defaults"))
_PATTERN_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HASH_KEY = ("redaction", "hash_key")
_SAFE_KEY = 16
"""A hash key of fewer characters is tried out in no time."""
_DEFAULT_IN_FILE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*:-[^}]")


def useless_keys(profile: Profile, own: Layer) -> Iterator[Problem]:
    """Keys of a backend's own table that its kind does nothing with."""
    for key in own.table:
        if key in USELESS_KEYS[profile.kind]:
            message = f"a {profile.kind} backend has no use for `{key}`; remove it"
            yield own.place((key,)).problem(message, "useless-key")


def literals(profile: Profile, own: Layer) -> Iterator[Problem]:
    """Credentials that stand in the file as they are."""
    for one in profile.inputs:
        if one.secret and _is_literal(own.table.get(one.name), own.raw.get(one.name)):
            yield _literal(own, (one.name,), one.env or one.name.upper())
    headers, raw = own.table.get("headers"), own.raw.get("headers")
    if isinstance(headers, Mapping) and isinstance(raw, Mapping):
        for name, value in headers.items():
            if authenticates(name) and _is_literal(value, raw.get(name)):
                variable = re.sub(r"\W+", "_", name).upper() if veiled(name) == name else "TOKEN"
                yield _literal(own, ("headers", name), variable)


def redaction(
    settings: RedactionSettings | None, merged: Merged, defaults: Layer, *, known: bool
) -> Iterator[Problem]:
    """What is wrong between the keys of `redaction`, and what they leave open.

    Args:
        settings: The backend's; None where they couldn't be read.
        merged: What they were made of.
        defaults: The file's `[defaults]`.
        known: Whether secrets have been looked up.
    """
    yield from _pattern_names(merged)
    if settings is None:
        return
    yield from _hash_key(settings, merged, known=known)
    mask_ip = ("redaction", "mask_ip")
    if settings.mask_ip and "ip" in settings.detect and merged.origin(mask_ip).kind == "file":
        message = 'does nothing, for `redaction.detect` has "ip", which is stricter; remove one of the two'
        yield merged.place(mask_ip).problem(message, "useless-key", "warning")
    yield from _detects_less(settings, merged, defaults)
    if settings.patterns:
        yield from _too_large(settings, merged)


def _pattern_names(merged: Merged) -> Iterator[Problem]:
    """Names of `redaction.patterns` that can't stand in a text, or that a detector has already."""
    written = merged.value(("redaction", "patterns"))
    for name in written if isinstance(written, Mapping) else ():
        place = merged.place(("redaction", "patterns", name))
        if not _PATTERN_NAME.fullmatch(name):
            message = "a pattern's name stands in texts, [so]; it begins with a-z and holds a-z, 0-9 and _"
            yield place.problem(message, "bad-name")
        elif name in DETECTORS:
            yield place.problem("this is what a detector is called; take another name", "bad-name")
        elif name in RULES:
            message = (
                "this is what a rule of `redaction` is called, which is counted by that name; take another"
            )
            yield place.problem(message, "bad-name")


def _hash_key(settings: RedactionSettings, merged: Merged, *, known: bool) -> Iterator[Problem]:
    key, owner = settings.hash_key, merged.owner(_HASH_KEY)
    if key is None:
        uses = [("content",)] * (settings.content == "hash") + [("hash",)] * bool(settings.hash)
        for use in uses:
            message = (
                "hashes need a key, for without one they could be guessed; write redaction.hash_key = "
                '"${TRACE_HASH_KEY}" or { file = "…" }'
            )
            yield merged.place(("redaction", *use)).problem(message, "missing-key")
        return
    if owner is not None and _is_literal(merged.value(_HASH_KEY), _within(owner.raw, _HASH_KEY)):
        yield _literal(owner, _HASH_KEY, "TRACE_HASH_KEY")
    if not known or merged.unknown(*_HASH_KEY):
        return
    length = len(key.reveal())
    if not length:
        yield merged.place(_HASH_KEY).problem("an empty key hashes so that everybody can guess", "weak-key")
    elif min(length, 2 * len(set(key.reveal()))) < _SAFE_KEY:
        what = (
            f"{length} characters" if length < _SAFE_KEY else f"{len(set(key.reveal()))} different characters"
        )
        message = f"a key of {what} can be tried out; take {_SAFE_KEY} or more, drawn at random"
        yield merged.place(_HASH_KEY).problem(message, "weak-key", "warning")


def _too_large(settings: RedactionSettings, merged: Merged) -> Iterator[Problem]:
    """Patterns of which RE2 takes each, and not all at once."""
    try:
        redactor(settings)
    except ValueError:
        message = (
            f"RE2 can't take these {len(settings.patterns)} patterns and the detectors as one set: they are too "
            "large together; make their repetitions smaller, or leave some out"
        )
        yield merged.place(("redaction", "patterns")).problem(message, "bad-pattern")


def _detects_less(settings: RedactionSettings, merged: Merged, defaults: Layer) -> Iterator[Problem]:
    """Whether a backend's own `detect` lets through what `[defaults]` would have found."""
    path = ("redaction", "detect")
    general = _within(defaults.table, path)
    if merged.origin(path).kind != "file" or not isinstance(general, (list, tuple)):
        return
    lacking = [name for name in general if isinstance(name, str) and name not in settings.detect]
    if lacking:
        listed = ", ".join(f'"{name}"' for name in lacking if name in DETECTORS)
        message = (
            f"this replaces the list of {defaults.origin(path)}, and lacks {listed}: this backend will see "
            "that"
        )
        if listed:
            yield merged.place(path).problem(message, "detects-less", "warning")


def _within(table: Any, path: KeyPath) -> Any:
    for part in path:
        table = table.get(part) if isinstance(table, Mapping) else None
    return table


def _is_literal(value: Any, raw: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return not isinstance(value, FromEnvironment) or _DEFAULT_IN_FILE.search(raw) is not None


def _literal(own: Layer, path: tuple[str, ...], variable: str) -> Problem:
    message = (
        f"a credential stands in the file, where everyone who reads the file sees it; write "
        f'"${{{variable}}}" '
        'or { file = "…" }'
    )
    return own.place(path).problem(message, "literal-secret", "warning")


def settle_batch(
    settings: BackendSettings, merged: Merged
) -> tuple[BackendSettings, Mapping[str, str], list[Problem]]:
    """A batch never exceeds its queue.

    Returns:
        The settings; the keys that were lowered, each with the key it follows; and what is wrong.
    """
    batch = settings.batch
    if batch.max_export_batch_size <= batch.max_queue_size:
        return settings, {}, []
    path = ("batch", "max_export_batch_size")
    if merged.origin(path).kind not in _WRITTEN:
        lowered = attrs.evolve(batch, max_export_batch_size=batch.max_queue_size)
        follows = {"batch.max_export_batch_size": "batch.max_queue_size"}
        return attrs.evolve(settings, batch=lowered), follows, []
    queue = merged.origin(("batch", "max_queue_size"))
    message = (
        f"a batch of {batch.max_export_batch_size} spans can't be larger than the queue, which holds "
        f"{batch.max_queue_size} ({queue}); lower this, or raise batch.max_queue_size"
    )
    return settings, {}, [merged.place(path).problem(message, "batch-over-queue")]


def settings(
    settings: BackendSettings, profile: Profile, merged: Merged, target: Target | None, *, files: bool
) -> Iterator[Problem]:
    """Common keys that contradict one another, or the target.

    Args:
        settings: The common keys.
        profile: The backend's profile.
        merged: What they were made of.
        target: Where it sends; None where that isn't known.
        files: Whether the files of `tls` must be there.
    """
    if profile.kind == "otlp":
        yield from _tls(settings, merged, target)
        if files:
            yield from _tls_files(settings, merged)
        if files and target is not None and target.secure:
            for key, message in flaws(settings.tls):
                yield merged.place(("tls", key)).problem(message, "tls-pem")


def _tls(settings: BackendSettings, merged: Merged, target: Target | None) -> Iterator[Problem]:
    tls = settings.tls
    skip = merged.place(("tls", "insecure_skip_verify"))
    if tls.insecure_skip_verify and settings.protocol == "grpc":
        message = "gRPC can't skip verification; name the server's authority with tls.ca_file instead"
        yield skip.problem(message, "tls")
    elif tls.insecure_skip_verify and settings.exporter == "stock":
        message = (
            "the stock exporter can't skip verification; name the server's authority with tls.ca_file, or "
            "leave `exporter` out"
        )
        yield skip.problem(message, "tls")
    elif tls.insecure_skip_verify and tls.ca_file is not None:
        yield skip.problem("contradicts tls.ca_file; remove one of the two", "tls")
    elif tls.insecure_skip_verify:
        message = (
            "anyone on the way can read and change what is sent, the key included; name the server's "
            "authority with tls.ca_file instead"
        )
        yield skip.problem(message, "tls", "warning")
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if getattr(tls, one) is not None and getattr(tls, other) is None:
            also = " (the same file, where it holds both)" if other == "key_file" else ""
            message = f"a client certificate needs its key too; write tls.{other}{also}"
            if other == "cert_file":
                message = "a key without its certificate is of no use; write tls.cert_file"
            yield merged.place(("tls", one)).problem(message, "tls")
    own = merged.top.table.get("tls")
    if target is not None and not target.secure and isinstance(own, Mapping) and own:
        message = (
            f"nothing is encrypted on the way to {target.url}, so this does nothing; write https:// there"
        )
        yield merged.place(("tls",)).problem(message, "tls", "warning")


def _tls_files(settings: BackendSettings, merged: Merged) -> Iterator[Problem]:
    for key in ("ca_file", "cert_file", "key_file"):
        path = getattr(settings.tls, key)
        if path is None:
            continue
        trouble = ""
        try:
            with path.open("rb") as file:
                trouble = "" if file.read(1) else "is empty"
        except OSError as error:
            trouble = f"can't be read: {error.strerror or type(error).__name__}"
        if trouble:
            called = spelled(veiled_path(PurePath(), str(path)), 400)
            yield merged.place(("tls", key)).problem(f"the file {called} {trouble}", "tls-file")


def duplicates(backends: Iterable[BackendPlan], places: Mapping[str, Any]) -> Iterator[Problem]:
    """Backends that send the same spans to the same place: nearly always a copy that was meant to differ.

    Args:
        backends: Those that get spans.
        places: Where each stands in the file, by name.
    """
    first: dict[Any, str] = {}
    for backend in backends:
        target = backend.target
        if target.kind == "console":
            continue
        # A file may be spelt in two ways; its folder may be a link.
        where = target.url if target.file is None else target.file.resolve()
        key = (target.protocol, where, frozenset(target.headers.items()))
        if (other := first.setdefault(key, backend.name)) != backend.name:
            what = (
                "writes to the same file"
                if target.kind == "file"
                else "has the same URL, credentials and headers"
            )
            message = f"{what} as backends.{other}: what both get arrives there twice"
            yield places[backend.name].problem(message, "duplicate-target", "warning")
