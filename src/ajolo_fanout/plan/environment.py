"""What the plan takes from the `OTEL_*` environment, and what it makes a point of not taking."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from ajolo_fanout.config.places import KeyPath
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.layers import Layer, environment_layer

__all__ = [
    "BATCH_VARIABLES",
    "CONFIGURATOR",
    "LIMIT_VARIABLES",
    "OUR_CONFIGURATOR",
    "ambient",
    "batch_layer",
    "is_disabled",
    "is_wished",
    "limits_layer",
    "resource_attributes",
]

BATCH_VARIABLES: Mapping[str, str] = {
    "OTEL_BSP_SCHEDULE_DELAY": "schedule_delay",
    "OTEL_BSP_EXPORT_TIMEOUT": "export_timeout",
    "OTEL_BSP_MAX_QUEUE_SIZE": "max_queue_size",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "max_export_batch_size",
}
"""The variables of the SDK's BatchSpanProcessor, and the keys of `batch` they are the default of."""

LIMIT_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "attribute_count_limit": ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
    "event_count_limit": ("OTEL_SPAN_EVENT_COUNT_LIMIT",),
    "link_count_limit": ("OTEL_SPAN_LINK_COUNT_LIMIT",),
    "attribute_value_length_limit": (
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    ),
}
"""Each key of the top-level `[limits]`, with its variables, the more particular first."""

CONFIGURATOR = "OTEL_PYTHON_CONFIGURATOR"
"""Who sets the SDK up under `opentelemetry-instrument`."""

OUR_CONFIGURATOR = "ajolo_fanout"
"""What it says where we do: the name of our entry point."""

_OF_THE_DISTRO: Mapping[str, str] = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
}
"""What `opentelemetry-distro`, which runs before our configurator, puts where the user has left it empty."""

_DURATIONS = frozenset(("schedule_delay", "export_timeout"))
_IGNORED = ("OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG")
_PREFIX = "OTEL_EXPORTER_OTLP_"
_OTHER_SIGNALS = ("METRICS_", "LOGS_", "PROFILES_")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Whether the SDK makes no spans in this environment: the specification's `OTEL_SDK_DISABLED`."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def batch_layer(environ: Mapping[str, str], problems: list[Problem]) -> Layer:
    """The `OTEL_BSP_*` variables as the weakest layer of a backend; an empty one counts as unset."""
    values: dict[KeyPath, tuple[str, Any]] = {}
    for variable, key in BATCH_VARIABLES.items():
        duration = key in _DURATIONS
        number = _number(environ, variable, "of milliseconds" if duration else "of spans", problems)
        if number is not None:
            values["batch", key] = (variable, f"{number}ms" if duration else number)
    return environment_layer(values)


def limits_layer(environ: Mapping[str, str], problems: list[Problem]) -> Layer:
    """The `OTEL_*_LIMIT` variables as the layer below the file's top tables."""
    values: dict[KeyPath, tuple[str, Any]] = {}
    for key, variables in LIMIT_VARIABLES.items():
        for variable in variables:
            if (number := _number(environ, variable, "", problems)) is not None:
                values.setdefault(("limits", key), (variable, number))
    return environment_layer(values)


def resource_attributes(environ: Mapping[str, str], warnings: list[Problem]) -> dict[str, tuple[str, str]]:
    """Resource attributes of the environment: name -> (value, the variable it came from).

    `OTEL_RESOURCE_ATTRIBUTES` is `name=value,name=value`, percent-encoded, as the specification's
    Resource SDK page says; `OTEL_SERVICE_NAME` wins over a `service.name` in it. An entry that can't be read
    is left out, as the SDK does it, with one warning that never shows it.
    """
    found: dict[str, tuple[str, str]] = {}
    variable = "OTEL_RESOURCE_ATTRIBUTES"
    entries = [entry for entry in environ.get(variable, "").split(",") if entry.strip()]
    for number, entry in enumerate(entries, 1):
        name, separator, value = entry.partition("=")
        name = urllib.parse.unquote(name.strip())
        if separator and name:
            found[name] = (urllib.parse.unquote(value.strip()), variable)
        else:
            message = f"its entry {number} is left out: entries are name=value, with commas between them"
            warnings.append(Problem(message, severity="warning", key=variable, code="bad-environment"))
    if name := environ.get("OTEL_SERVICE_NAME", "").strip():
        found["service.name"] = (name, "OTEL_SERVICE_NAME")
    return found


def is_wished(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a variable is set, and not to what the distro sets it to where it is said to run."""
    value = environ.get(name, "")
    distro = environ.get(CONFIGURATOR) == OUR_CONFIGURATOR and value == _OF_THE_DISTRO.get(name)
    return value != "" and not distro


def ambient(environ: Mapping[str, str]) -> list[Problem]:
    """One warning that names what is set and ignored; never its values.

    The variables for metrics and logs alone are somebody else's, and obeyed by them.
    """
    names = sorted(name for name in environ if _is_ignored(name) and is_wished(name, environ))
    if not names:
        return []
    message = (
        f"{_listed(names)} {'is' if len(names) == 1 else 'are'} set in the environment and ignored: only "
        "the file says where traces go and which are sampled"
    )
    return [Problem(message, severity="warning", code="ambient-environment")]


def _is_ignored(name: str) -> bool:
    if name.startswith(_PREFIX):
        return not name[len(_PREFIX) :].startswith(_OTHER_SIGNALS)
    return name in _IGNORED


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _number(environ: Mapping[str, str], variable: str, of: str, problems: list[Problem]) -> int | None:
    text = environ.get(variable, "").strip()
    if not text:
        return None
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    message = f"must be a whole number{' ' if of else ''}{of}"
    problems.append(Problem(message, key=variable, code="bad-environment"))
    return None
