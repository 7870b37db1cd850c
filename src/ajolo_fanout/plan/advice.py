"""What `check` says of a file beyond its errors: right as it stands, and likely not what was meant.

Installing says none of it. A warning here is about the file together with its surroundings: the environment,
what is importable, recorded spans. Its codes:

| code | what it says |
|---|---|
| `prompts-captured` | instrumentations record prompts, and a backend gets them whole |
| `prompts-in-logs` | they also go out as log events, which no tracing file reaches |
| `config-file-ignored` | `OTEL_CONFIG_FILE` is set, and is not what is read |
| `ddtrace-owns` | ddtrace would set its own global provider |
| `paid-twice` | Datadog gets spans directly and through its Agent |
| `sampled-metrics` | a backend computes metrics from a share of the traces |
| `batch-over-limit` | batches of long spans are over what the backend takes in a request |
| `one-value-for-all` | a user, a session or a call on the resource, which all spans share |
| `spool-folder` | the spool's folder can't be written |
| `matches-none`, `matches-all` | a rule that tells no recorded span from another (`plan.rules`) |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from ajolo_fanout.config.document import Document
from ajolo_fanout.config.places import Place
from ajolo_fanout.errors import ConfigError, Problem
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.plan.placeholders import resolve_with_placeholders
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.plan.rules import idle_rules
from ajolo_fanout.plan.written import is_written, place_of
from ajolo_fanout.steps.glob import compile_glob
from ajolo_fanout.steps.processors.set import SetSettings
from ajolo_fanout.values import Size

__all__ = ["Examination", "Surroundings", "advise", "examine"]

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""Has the GenAI instrumentations record prompts and completions: `true` in older ones, else a mode."""

_NOT_CAPTURING = frozenset(("", "false", "0", "no_content"))
_NOT_IN_LOGS = _NOT_CAPTURING | {"span_only"}
_CAPTURED = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")
"""The span attributes that the variable brings; semantic conventions for GenAI spans."""

_FILE = ("file", "defaults")
"""The origins of what somebody wrote down here."""

_NOT_SHARED = frozenset(("user_id", "user.id", "session.id", "gen_ai.tool.call.id"))
"""What differs from span to span, and makes no sense on what all spans of a process share."""

_METRICS: Mapping[str, tuple[str, str]] = {
    "datadog": ("APM trace metrics (hits, errors, latency)", "compute_stats"),
    "datadog_agent": ("APM trace metrics (hits, errors, latency)", ""),
}
"""By profile: what it computes from the spans it gets, and the boolean input that switches that on.

Facts of profiles, to be looked up there once a profile has a place for them.
"""

_LONG_SPAN = Size(16 * 1024)
"""A chat span with its prompt, as the profiles' own batch sizes reckon it."""
_BARE_SPAN = Size(4 * 1024)
"""The same without what was said."""


@attrs.frozen
class Surroundings:
    """What a file is held against.

    Attributes:
        environ: The environment.
        ddtrace: Whether ddtrace can be imported.
        spans: Reads recorded spans; called only where a rule can be tried on them, and read no further than
            the rules need. None leaves that out.
        recording: What these spans are, for messages: "recorded Ajolopy spans".
        allow_unset: Let placeholders stand for unset variables and missing secret files: this is not the
            machine on which the file will be used.
    """

    environ: Mapping[str, str] = attrs.field(repr=False)
    ddtrace: bool = False
    spans: Callable[[], Iterable[Any]] | None = None
    recording: str = "recorded spans"
    allow_unset: bool = False


@attrs.frozen
class Examination:
    """Everything that is wrong with a file or worth a word, in the order of the file.

    Attributes:
        problems: Errors and warnings.
        plan: What the file means; None where it has errors.
        placeholders: Where a placeholder stands for something unset.
    """

    problems: tuple[Problem, ...]
    plan: Plan | None
    placeholders: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop an installation."""
        return tuple(one for one in self.problems if one.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that don't."""
        return tuple(one for one in self.problems if one.severity == "warning")


def examine(document: Document, surroundings: Surroundings) -> Examination:
    """Resolve a file and say all that there is to say of it.

    Where it has errors, the backends that are right are still looked at.
    """
    environ = surroundings.environ
    placeholders: Sequence[Problem] = ()
    try:
        if surroundings.allow_unset:
            plan, placeholders = resolve_with_placeholders(document, environ)
        else:
            plan = resolve(document, environ)
    except ConfigError as error:
        found = [*error.problems, *_advice_on_the_rest(document, surroundings)]
        return Examination(_ordered(found), None)
    found = [*plan.warnings, *advise(plan, document, surroundings)]
    return Examination(_ordered(found), plan, tuple(placeholders))


def _advice_on_the_rest(document: Document, surroundings: Surroundings) -> list[Problem]:
    try:
        plan = resolve(document, surroundings.environ, tolerant=True, allow_unset=surroundings.allow_unset)
    except ConfigError:
        return []  # nothing of it can be used, and its errors are told already
    return advise(plan, document, surroundings)


def advise(plan: Plan, document: Document, surroundings: Surroundings) -> list[Problem]:
    """The warnings of the table above, in the order of the file.

    Args:
        plan: What the file means.
        document: The file, for places.
        surroundings: What it is held against.
    """
    environ = surroundings.environ
    found = [*_prompts(plan, document, environ), *_config_file(environ), *_ddtrace(surroundings)]
    found += _paid_twice(plan, document)
    found += _shared_resource(plan, document)
    for backend in plan.backends:
        found += _sampled_metrics(backend, document)
        found += _batch_over_limit(backend, document)
        found += _unshared(backend, document)
    if not surroundings.allow_unset:
        found += _spool_folders(plan, document)
    if surroundings.spans is not None:
        found += idle_rules(plan, document, surroundings.spans, surroundings.recording)
    return list(_ordered(found))


def _ordered(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each once: what stands in `[defaults]` may be found for several backends in the same words."""
    return ConfigError(dict.fromkeys(problems)).problems


def _prompts(plan: Plan, document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    mode = environ.get(CAPTURE, "").strip().lower()
    if mode in _NOT_CAPTURING:
        return
    if mode not in _NOT_IN_LOGS:
        message = (
            "has prompts and completions sent as log events as well, past this file: no redaction in it "
            "reaches them; set it to SPAN_ONLY, or to NO_CONTENT"
        )
        yield Problem(message, "warning", key=CAPTURE, code="prompts-in-logs")
    for backend in plan.backends:
        open_names = [name for name in _CAPTURED if not _covered(backend, name)]
        origin = backend.origins.get("redaction.content")
        decided = origin is not None and origin.kind in _FILE
        if open_names and not decided:
            message = (
                f"${CAPTURE} has prompts and completions recorded, and this backend gets them whole "
                f'({", ".join(open_names)}); write redaction.content = "drop", or "keep" to say that it may '
                "see them"
            )
            yield document.place(("backends", backend.name)).problem(message, "prompts-captured", "warning")


def _covered(backend: BackendPlan, name: str) -> bool:
    """Whether a backend's redaction takes the attribute `name` away, or its text."""
    redaction = backend.settings.redaction
    if redaction.content != "keep":
        return True
    taken = (*redaction.drop, *redaction.mask, *redaction.hash)
    left_out = redaction.allow is not None and not any(compile_glob(one)(name) for one in redaction.allow)
    return left_out or any(compile_glob(one)(name) for one in taken)


def _config_file(environ: Mapping[str, str]) -> Iterator[Problem]:
    if environ.get("OTEL_CONFIG_FILE"):
        message = (
            "is set and ignored: only this file says where traces go; `ajolo-fanout init --from` starts one "
            "from that file"
        )
        yield Problem(message, "warning", key="OTEL_CONFIG_FILE", code="config-file-ignored")


def _ddtrace(surroundings: Surroundings) -> Iterator[Problem]:
    environ = surroundings.environ
    switches = {"DD_TRACE_OTEL_ENABLED": ("true", "1"), "OTEL_SDK_DISABLED": ("false", "0")}
    for name, on in switches.items():
        if surroundings.ddtrace and environ.get(name, "").strip().lower() in on:
            message = (
                "has ddtrace, which is installed here, set its own global tracer provider, which takes no "
                "span processor: under ddtrace-run installing fails; unset it, and ddtrace goes on by itself"
            )
            yield Problem(message, "warning", key=name, code="ddtrace-owns")


def _paid_twice(plan: Plan, document: Document) -> Iterator[Problem]:
    names = {one.target.profile.id: one.name for one in plan.backends}
    if {"datadog", "datadog_agent"} <= names.keys():
        direct, agent = names["datadog"], names["datadog_agent"]
        message = (
            f"the Agent sends to Datadog, and so does backends.{direct}: what both get is ingested, and paid "
            "for, twice; switch one of them off with enabled = false"
        )
        yield document.place(("backends", agent)).problem(message, "paid-twice", "warning")


def _sampled_metrics(backend: BackendPlan, document: Document) -> Iterator[Problem]:
    ratio = backend.steps.sampling.ratio
    metrics, switch = _METRICS.get(backend.target.profile.id, ("", ""))
    if ratio >= 1 or not metrics or (switch and not backend.target.inputs.get(switch)):
        return
    off = f", or switch them off with {switch} = false" if switch else ""
    message = (
        f"{backend.target.profile.title} computes {metrics} from the traces it gets, and so shows "
        f"{ratio * 100:g} % of them; send all traces{off}"
    )
    place = place_of(document, backend.name, ("sampling", "ratio"))
    yield place.problem(message, "sampled-metrics", "warning")


def _batch_over_limit(backend: BackendPlan, document: Document) -> Iterator[Problem]:
    """Our own batches are split by bytes, so only a size that somebody chose is worth a word."""
    limit, count = backend.target.max_request_bytes, backend.settings.batch.max_export_batch_size
    key = "batch.max_export_batch_size"
    origin = backend.origins.get(key)
    chosen = origin is not None and origin.kind in (*_FILE, "environment")
    each = _LONG_SPAN if backend.settings.redaction.content == "keep" else _BARE_SPAN
    if not limit or count * each <= limit or not (chosen or backend.stock):
        return
    requests, title = -(-count * each // limit), backend.target.profile.title
    outcome = f"such a batch becomes {requests} requests, which have batch.export_timeout together"
    if backend.stock:
        outcome = "the stock exporter sends that as one request, which is refused, and lost"
    message = (
        f"{count} spans of {each}, as spans with a prompt are, are over the {Size(limit)} that {title} takes "
        f"in one request: {outcome}; lower {key} to {max(1, limit // each)}"
    )
    place = place_of(document, backend.name, ("batch", "max_export_batch_size"))
    yield place.problem(message, "batch-over-limit", "warning")


_ONE_FOR_ALL = (
    "the resource is shared by all spans of the process, so every user's would bear this one; put it on "
    "spans, as [context] does"
)


def _shared_resource(plan: Plan, document: Document) -> Iterator[Problem]:
    for name in plan.resource:
        if name in _NOT_SHARED:
            written = is_written(document.data, ("resource", name))
            place = document.place(("resource", name)) if written else Place(key="OTEL_RESOURCE_ATTRIBUTES")
            yield place.problem(f"{name}: {_ONE_FOR_ALL}", "one-value-for-all", "warning")


def _unshared(backend: BackendPlan, document: Document) -> Iterator[Problem]:
    for index, processor in enumerate(backend.settings.processors):
        if not isinstance(processor, SetSettings):
            continue
        for name in processor.resource:
            if name in _NOT_SHARED:
                place = place_of(document, backend.name, ("processors", index, "resource", name))
                yield place.problem(f"{name}: {_ONE_FOR_ALL}", "one-value-for-all", "warning")


def _spool_folders(plan: Plan, document: Document) -> Iterator[Problem]:
    folders = {one.spool.settings.directory for one in plan.backends if one.spool is not None}
    for folder in sorted(folders):
        if trouble := _not_writable(folder):
            message = f"{trouble}: what can't be sent would be lost as if there were no spool"
            yield document.place(("spool", "directory")).problem(message, "spool-folder", "warning")


def _not_writable(folder: Path) -> str | None:
    """Why a spool can't be kept in `folder`, which is made where only its parent is there.

    The path is not repeated: it may have come from a variable.
    """
    try:
        if folder.exists() and not folder.is_dir():
            return "this is no folder"
        if not folder.exists() and not folder.parent.is_dir():
            return "this folder isn't there and can't be made, for neither is its parent"
        needed = folder if folder.exists() else folder.parent
        if os.access(needed, os.W_OK | os.X_OK):
            return None
    except (OSError, ValueError) as error:
        return f"this folder can't be examined: {getattr(error, 'strerror', None) or type(error).__name__}"
    return "this folder may not be written by this user"
