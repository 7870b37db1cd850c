"""A plan as text and as JSON. What is secret is of type `Secret`, and is shown as `***` by its type."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from ajolo_fanout.config.limits import ProviderLimits
from ajolo_fanout.config.places import dotted
from ajolo_fanout.config.veil import veiled, veiled_text
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.model import BackendPlan, Plan, SpoolPlan
from ajolo_fanout.profiles.model import USELESS_KEYS
from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.limits import LimitsSettings
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors import PROCESSORS, OwnSettings, type_of
from ajolo_fanout.values import MASK, Duration, Secret, Size, key_of, option_of
from ajolo_fanout.wording import escaped

__all__ = ["render", "to_dict", "values"]

_LIMITS = {
    "attribute_count_limit": "attributes",
    "event_count_limit": "events",
    "link_count_limit": "links",
    "attribute_value_length_limit": "characters a value",
    "attribute_value_size_limit": "a value",
}


def render(plan: Plan, *, origins: bool = False) -> str:
    """The plan as a tree.

    Args:
        plan: What to show.
        origins: Show every single value and where it came from, instead of what matters most.
    """
    count = len(plan.backends)
    head = f"{plan.file}: {count} backend{'' if count == 1 else 's'}"
    if plan.off:
        head += f", {len(plan.off)} off"
    branches = [("every span", _detailed(_top_values(plan), plan.origins) if origins else _top(plan))]
    for backend in plan.backends:
        rows = _detailed(values(backend), backend.origins) if origins else _backend(plan, backend)
        branches.append((f"{backend.name} ({backend.target.profile.id})", rows))
    branches += [(f"{off.name}: off", [("why", off.why)]) for off in plan.off]
    if plan.warnings:
        branches.append(("warnings", [("", str(problem)) for problem in plan.warnings]))
    return "\n".join([escaped(head), *_tree(branches)])


def to_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON takes it; durations and sizes are strings, as in the file."""
    shared = {name: [other for other in names if other != name] for names in plan.shapes() for name in names}
    return {
        "file": plan.file,
        "path": None if plan.path is None else str(plan.path),
        "resource": _plain(plan.resource),
        "limits": _plain(plan.limits),
        "shutdown": _plain(plan.shutdown),
        "context": _plain(plan.context),
        "sampling": _plain(plan.sampling),
        "spool": None if plan.spool is None else _plain(plan.spool),
        "ratio": plan.ratio,
        "backends": [
            {
                "name": backend.name,
                **{key: _plain(value, key) for key, value in _public(backend).items()},
                "shares_renditions_with": shared[backend.name],
                "origins": _origins(backend.origins),
            }
            for backend in plan.backends
        ],
        "off": [attrs.asdict(off) for off in plan.off],
        "warnings": [_problem(problem) for problem in plan.warnings],
        "origins": _origins(plan.origins),
    }


def values(backend: BackendPlan) -> dict[str, Any]:
    """Every single value of a backend by the dotted key that its origin has."""
    found: dict[str, Any] = {}

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        if attrs.has(type(value)):
            for name, inner in _options(value).items():
                walk(inner, (*path, name))
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                walk(inner, (*path, str(name)))
        else:
            found[dotted(path)] = value

    for key, value in _public(backend).items():
        if key == "inputs":
            walk(value, ())
        else:
            walk(value, (key,))
    return found


def _public(backend: BackendPlan) -> dict[str, Any]:
    """What a backend is, by the file's keys, less what its kind has no use for."""
    target = backend.target
    useless = USELESS_KEYS[target.kind]
    shown: dict[str, Any] = {"type": target.profile.id, "url": target.url}
    settings = {key: value for key, value in _options(backend.settings).items() if key not in useless}
    if target.kind == "otlp":
        shown |= {"protocol": target.protocol, "headers": target.headers}
        shown["max_request_bytes"] = Size(target.max_request_bytes)
    settings.pop("endpoint", None)  # `url` is what became of it
    return {
        **shown,
        "inputs": target.inputs,
        "resource": target.resource,
        **{k: v for k, v in settings.items() if k not in shown},
    }


def _options(settings: Any) -> dict[str, Any]:
    """The fields of a settings class that have a meaning in this version."""
    found = {}
    for field in attrs.fields(type(settings)):
        if option_of(field) is not None:
            found[key_of(field)] = getattr(settings, field.name)
    return found


# The short tree.


def _top(plan: Plan) -> list[tuple[str, str]]:
    rows = [("resource", _named(name, value)) for name, value in plan.resource.items()]
    rows.append(("recorded", _recorded(plan)))
    rows += [("context", ", ".join(plan.context.attributes))] * bool(plan.context.attributes)
    rows.append(("limits", _limits(plan.limits)))
    rows.append(("shutdown", f"within {plan.shutdown.timeout}"))
    return rows


def _recorded(plan: Plan) -> str:
    recorded = plan.shares.recorded
    if recorded <= plan.ratio:
        return f"{_share(plan.ratio)}, the largest share that a backend needs"
    flag = "as all of them" if plan.sampling.propagate == "all" else f"as {_share(plan.ratio)}"
    return f"{_share(recorded)}, for keep rules; other services are told to record {flag}"


def _backend(plan: Plan, backend: BackendPlan) -> list[tuple[str, str]]:
    target, settings = backend.target, backend.settings
    rows = [("to", veiled_text(target.url))]
    if target.kind == "otlp":
        by = "the stock exporter" if backend.stock else "OTLP"
        packed = "" if settings.compression == "none" else f", {settings.compression}"
        size = f", at most {Size(target.max_request_bytes)} a request" if target.max_request_bytes else ""
        rows.append(("by", f"{by} over {target.protocol}{packed}{size}"))
        rows += [
            ("headers", ", ".join(f"{veiled(name)}: {_shown(text)}" for name, text in target.headers.items()))
        ] * bool(target.headers)
        rows += [("tls", ", ".join(_tls(backend)))] * any(_tls(backend))
    rows += [("with", _named(name, value)) for name, value in target.inputs.items()]
    rows += [("resource", _named(name, value)) for name, value in target.resource.items()]
    rows += [("select", text) for text in _select(backend)]
    rows += [("sampling", text) for text in _sampling(backend)]
    rows += [("processor", _processor(processor)) for processor in settings.processors]
    rows.append(("redaction", ", ".join(_redaction(backend)) or "none"))
    rows.append(("limits", _limits(settings.limits)))
    batch = settings.batch
    rows.append(
        (
            "batch",
            f"{batch.max_export_batch_size} spans or {batch.schedule_delay}, within {batch.export_timeout}",
        )
    )
    rows.append(("queue", f"{batch.max_queue_size} spans or {batch.max_queue_bytes}"))
    if target.kind == "otlp":
        rows.append(("timeout", f"{settings.timeout} a request"))
    if target.kind == "otlp" and not backend.stock:
        rows.append(("retry", f"for {settings.retry.max_age}, {settings.retry.max_bytes} in memory"))
        rows += [("spool", _spool(backend.spool))] if backend.spool is not None else []
    others = [
        name for names in plan.shapes() if backend.name in names for name in names if name != backend.name
    ]
    rows.append(("shape", f"shared with {', '.join(others)}" if others else "its own"))
    return rows


def _spool(spool: SpoolPlan) -> str:
    when = "before it is sent" if spool.always else "what can't be sent"
    kept = spool.settings
    return f"{when}, in {_shown(kept.directory)}, {kept.max_bytes}, then {kept.when_full}"


def _tls(backend: BackendPlan) -> list[str]:
    tls = backend.settings.tls
    shown = [
        f"{key} = {_shown(path)}"
        for key in ("ca_file", "cert_file", "key_file")
        if (path := getattr(tls, key))
    ]
    return shown + ["any certificate is accepted"] * tls.insecure_skip_verify


def _processor(processor: Any) -> str:
    name = type_of(processor)
    details = [
        f"{key} {_shown(value)}" for key, value in _plain(processor).items() if key != "type" and value
    ]
    return f"{name}: {', '.join(details)}" if details else name


def _redaction(backend: BackendPlan) -> Iterator[str]:
    for field in attrs.fields(type(backend.settings.redaction)):
        value = getattr(backend.settings.redaction, field.name)
        if value != field.default and value not in (None, {}) and option_of(field) is not None:
            yield f"{key_of(field)} = {_shown(value)}"


def _select(backend: BackendPlan) -> Iterator[str]:
    for key, value in _written(backend.settings.select).items():
        yield f"{key} = {_shown(value)}"


def _sampling(backend: BackendPlan) -> Iterator[str]:
    own = backend.settings.sampling
    share = _share(own.ratio)
    yield f"{share}; what wasn't sampled upstream counts, too" if own.parent == "ignore" else share
    for rule in own.keep:
        said = [f"{key} {_shown(value)}" for key, value in _written(rule).items() if key != "name"]
        yield f"and {veiled(rule.name)}: {', '.join(said) or 'all'}"
    if own.dry_run:
        yield "dry run: everything is sent, and marked"


def _share(ratio: float) -> str:
    return "all traces" if ratio == 1 else f"{ratio * 100:g} % of all traces"


def _limits(limits: ProviderLimits | LimitsSettings) -> str:
    parts = [
        f"{value} {what}"
        for key, what in _LIMITS.items()
        if (value := getattr(limits, key, None)) is not None
    ]
    return ", ".join(parts) or "none"


# The tree with origins.


def _top_values(plan: Plan) -> dict[str, Any]:
    found = {dotted(("resource", name)): value for name, value in plan.resource.items()}
    found |= {f"limits.{name}": value for name, value in _options(plan.limits).items()}
    for table in ("shutdown", "context", "sampling"):
        found |= {f"{table}.{name}": value for name, value in _options(getattr(plan, table)).items()}
    if plan.spool is not None:
        found |= {f"spool.{name}": value for name, value in _options(plan.spool).items()}
    return found


def _detailed(found: Mapping[str, Any], origins: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(f"{key} = {_shown(value, key)}", str(origins.get(key, ""))) for key, value in found.items()]


# Values.


def _named(name: str, value: Any) -> str:
    return f"{veiled(name)} = {_shown(value, name)}"


def _shown(value: Any, name: str = "") -> str:
    """A value called `name` in one line, as the file would have it; nothing in it steers a terminal."""
    plain = _plain(value, name)
    if isinstance(plain, str) and isinstance(value, (Secret, Duration, Size)):
        return plain
    if plain is None:
        return "none"
    return escaped(json.dumps(plain, ensure_ascii=False))


def _plain(value: Any, name: str = "") -> Any:
    """A value called `name` as JSON takes it; a credential in it stands as `***`."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, (Duration, Size)):
        return str(value)
    if isinstance(value, (Path, str)):
        return veiled_text(str(value), name)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {veiled(str(key)): _plain(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner, name) for inner in value]
    if isinstance(value, Condition):
        return _plain(value.written, name)
    if attrs.has(type(value)):
        return _settings(value)
    raise TypeError(f"a plan holds no {type(value).__name__}")


def _settings(value: Any) -> dict[str, Any]:
    if isinstance(value, (Match, KeepRule)):
        return {key: _plain(inner) for key, inner in _written(value).items()}
    shown = {key: _plain(inner) for key, inner in _options(value).items()}
    if isinstance(value, OwnSettings):
        return {"type": value.type, **_masked(value.options), **shown}
    return {"type": type_of(value), **shown} if type(value) in PROCESSORS.values() else shown


def _masked(value: Any) -> Any:
    """The keys of a user's own processor: nobody knows which of their texts are secrets."""
    if isinstance(value, str):
        return MASK
    if isinstance(value, Mapping):
        return {veiled(str(key)): _masked(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(inner) for inner in value]
    return value if isinstance(value, (bool, int, float)) else str(value)


def _written(settings: Any) -> dict[str, Any]:
    """Those of its options that say something."""
    defaults = {key_of(field): field.default for field in attrs.fields(type(settings))}
    empty: tuple[Any, ...] = (None, (), {})
    return {
        key: value
        for key, value in _options(settings).items()
        if value not in empty and value != defaults[key]
    }


def _origins(origins: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(origin) for key, origin in origins.items()}


def _problem(problem: Problem) -> dict[str, Any]:
    return attrs.asdict(problem)


# The lines of either.


def _tree(branches: list[tuple[str, list[tuple[str, str]]]]) -> Iterator[str]:
    for number, (title, rows) in enumerate(branches, 1):
        last = number == len(branches)
        yield f"{'└─' if last else '├─'} {escaped(title)}"
        width = max((len(name) for name, _ in rows), default=0)
        for text in _rows(rows, width):
            yield f"{'  ' if last else '│ '} {text}"


def _rows(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    before = ""
    for name, text in rows:
        shown = "" if name == before else name
        yield f"  {shown:<{width}}  {escaped(text)}".rstrip() if width else f"  {escaped(text)}"
        before = name
