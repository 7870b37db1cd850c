"""What is around the backends: this Python, the packages, the environment, other tracers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ajolo_fanout import sdk_internals
from ajolo_fanout.config.document import Document
from ajolo_fanout.doctor.findings import Check
from ajolo_fanout.doctor.network import read_proxy
from ajolo_fanout.errors import Problem
from ajolo_fanout.health.say import raised
from ajolo_fanout.others import VENDORS
from ajolo_fanout.plan.advice import Surroundings, advise
from ajolo_fanout.plan.environment import is_disabled
from ajolo_fanout.plan.model import Plan

__all__ = ["look_around", "outside"]

_PACKAGE = "ajolo-fanout"
_SAME_RELEASE = (
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-proto",
    "opentelemetry-exporter-otlp-proto-common",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-grpc",
)
"""The packages of OpenTelemetry that are released together, and tested together only."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*([<>=!~,.\s0-9a-z]*)")
_BOUND = re.compile(r"(<=|>=|<|>)\s*([0-9][0-9.]*)")

_ADVICE = {
    "ambient-environment": "ignored",
    "config-file-ignored": "ignored",
    "ddtrace-owns": "ddtrace",
    "spool-folder": "spool",
}
"""The findings of `check` that are about this machine, and the name of the check here."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@attrs.frozen
class _Conflict:
    """What a package does to others in its process, and how to live with that."""

    distribution: str
    said: str
    next: str


_CONFLICTS = (
    _Conflict(
        "arize-phoenix-otel",
        "the provider of phoenix.otel.register() shuts Phoenix's own processor down when another is added, as "
        "attaching to it does",
        "leave register() out, and name Phoenix as a backend of the file",
    ),
    _Conflict(
        "openlit",
        "openlit.init(otlp_endpoint=...) sets OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS for the whole process; "
        "this file's backends ignore them, other exporters don't",
        "call it without otlp_endpoint and otlp_headers, and name that place as a backend of the file",
    ),
)
"""Read in the sources of arize-phoenix-otel 0.17.2 (phoenix/otel/otel.py, `add_span_processor`) and of openlit
1.45.0 (openlit/otel/tracing.py)."""


def look_around(plan: Plan, document: Document, environ: Mapping[str, str]) -> tuple[Check, ...]:
    """What is worth knowing around the backends.

    Args:
        plan: What the file means.
        document: The file, for the places of its warnings.
        environ: The environment.
    """
    looks: Mapping[str, Callable[[], Iterable[Check]]] = {
        "switch": lambda: _switched_off(plan, environ),
        "python": _python,
        "packages": _packages,
        "files": _overwritten,
        "environment": lambda: _advice(plan, document, environ),
        "provider": lambda: _provider(environ),
        "neighbour": _neighbours,
        "proxy": lambda: _proxies(environ),
    }
    found: list[Check] = []
    for name, look in looks.items():
        try:
            found += look()
        except Exception as error:  # whatever is installed badly here: the backends are asked all the same
            said = f"couldn't be looked at: {raised(error)}"
            found.append(Check(name, "warning", said, "please open an issue with this line"))
    return tuple(found)


def _switched_off(plan: Plan, environ: Mapping[str, str]) -> Iterator[Check]:
    if is_disabled(environ):
        said = "OTEL_SDK_DISABLED=true: a program with this environment traces and installs nothing"
        yield Check("switch", "failed", said, "unset OTEL_SDK_DISABLED")
    if not plan.backends:
        said = "every backend of the file is off: nothing is sent anywhere"
        yield Check("switch", "failed", said, "set the variables that are named below, or enabled = true")


def _python() -> Iterator[Check]:
    said = f"{platform.python_implementation()} {platform.python_version()}, {_PACKAGE} {_version(_PACKAGE)}"
    listed = importlib.metadata.metadata(_PACKAGE).get_all("Classifier") or []
    tested = re.findall(r"Python :: (3\.\d+)", "\n".join(listed))
    if ".".join(platform.python_version_tuple()[:2]) in tested:
        yield Check("python", "ok", said)
    else:
        yield Check("python", "warning", said, f"tested are {tested[0]} to {tested[-1]}")


def _packages() -> Iterator[Check]:
    """Whether what is installed is in the range that was tested, and of one release."""
    present = {name: found for name in _SAME_RELEASE if (found := _version(name))}
    strangers = [
        f"{name} {found} ({wanted})"
        for name, wanted in _requirements().items()
        if (found := _version(name)) and outside(found, wanted)
    ]
    if strangers:
        said = f"outside the tested range: {', '.join(strangers)}"
        yield Check("packages", "warning", said, "install a version in that range")
    elif len(set(present.values())) > 1:
        listed = ", ".join(f"{name.removeprefix('opentelemetry-')} {one}" for name, one in present.items())
        advice = f"pip install --upgrade {' '.join(present)}"
        yield Check("packages", "warning", f"OpenTelemetry of several releases: {listed}", advice)
    else:
        said = f"OpenTelemetry {present['opentelemetry-sdk']}, in the tested range"
        yield Check("packages", "ok", said)


def _requirements() -> dict[str, str]:
    """The bounds of the packages that are needed: `{"opentelemetry-sdk": "<2,>=1.40"}`."""
    found = {}
    for one in importlib.metadata.requires(_PACKAGE) or ():
        requirement, _, marker = one.partition(";")
        if "extra" not in marker and (read := _REQUIREMENT.match(requirement)):
            found[read[1]] = read[2].strip()
    return found


def outside(version: str, bounds: str) -> bool:
    """Whether `version` (`"1.45.2"`) is outside `bounds` (`"<2,>=1.40"`); what follows the numbers is ignored."""
    here = _numbers(version)
    for operator, text in _BOUND.findall(bounds):
        bound = _numbers(text)
        width = max(len(here), len(bound))
        left, right = (one + (0,) * (width - len(one)) for one in (here, bound))
        inside = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
        if not inside[operator]:
            return True
    return False


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _overwritten() -> Iterator[Check]:
    """Packages that bring files of OpenTelemetry's own: whichever was installed last has the others' place."""
    owners: dict[str, set[str]] = {}
    for one in importlib.metadata.distributions():
        for path in one.files or ():
            name = str(path)
            if name.startswith("opentelemetry/") and name.endswith(".py"):
                owners.setdefault(name, set()).add(one.name)
    several = {frozenset(names) for names in owners.values() if len(names) > 1}
    for names in sorted(several, key=sorted):
        said = (
            f"{' and '.join(sorted(names))} bring the same files of OpenTelemetry, of which one set is there"
        )
        yield Check("packages", "warning", said, "keep one of them, and install the other anew after it")


def _advice(plan: Plan, document: Document, environ: Mapping[str, str]) -> Iterator[Check]:
    """What `check` says of this machine."""
    surroundings = Surroundings(environ, ddtrace=importlib.util.find_spec("ddtrace") is not None)
    problems: Sequence[Problem] = [*plan.warnings, *advise(plan, document, surroundings)]
    for problem in problems:
        if problem.code in _ADVICE:
            subject = f"{problem.key} " if problem.key and not problem.file else ""
            place = f"{problem.file}:{problem.line}: " if problem.file and problem.line else ""
            yield Check(_ADVICE[problem.code], "warning", f"{place}{subject}{problem.message}")


def _provider(environ: Mapping[str, str]) -> Iterator[Check]:
    """The global provider of this process: another's where the doctor runs under what sets one."""
    named = environ.get("OTEL_PYTHON_TRACER_PROVIDER")
    try:
        current = trace.get_tracer_provider()
    except Exception as error:  # what the variable names can't be loaded; another package's failure
        said = f"OTEL_PYTHON_TRACER_PROVIDER is set, and loading it failed with {type(error).__name__}"
        yield Check("provider", "failed", said, "unset OTEL_PYTHON_TRACER_PROVIDER")
        return
    kind = f"{type(current).__module__}.{type(current).__qualname__}"
    if isinstance(current, TracerProvider):
        processors = sdk_internals.span_processors(current) or ()
        others = ", ".join(map(sdk_internals.describe_processor, processors)) or "none"
        said = f"there is one already ({kind}), with these span processors: {others}"
        yield Check("provider", "warning", said, "installing attaches to it: its sampler and limits stay")
    elif isinstance(current, trace.ProxyTracerProvider):
        yield Check("provider", "ok", "none is set before the file is installed")
    else:
        said = f"the global provider is {kind}, which takes no span processor: installing fails"
        advice = "unset OTEL_PYTHON_TRACER_PROVIDER" if named else "install before the library that sets it"
        if kind.startswith("ddtrace."):
            advice = "unset DD_TRACE_OTEL_ENABLED, and OTEL_SDK_DISABLED=false; ddtrace goes on by itself"
        yield Check("provider", "failed", said, advice)


def _neighbours() -> Iterator[Check]:
    """Libraries that are installed here and trace by themselves; whether a program uses them, it alone knows."""
    for vendor in VENDORS:
        root = vendor.modules[0].partition(".")[0]
        if vendor.hosts and importlib.util.find_spec(root) is not None:
            said = f"{vendor.name} is installed; in a program that uses it, it sends on its own"
            yield Check("neighbour", "ok", f"{said}. {vendor.switch[:1].upper()}{vendor.switch[1:]}")
    for one in _CONFLICTS:
        if found := _version(one.distribution):
            yield Check("neighbour", "warning", f"{one.distribution} {found}: {one.said}", one.next)


def _proxies(environ: Mapping[str, str]) -> Iterator[Check]:
    """The proxies of the environment, without their credentials."""
    for name in (variable for lower in _PROXIES for variable in (lower, lower.upper())):
        if text := environ.get(name):
            proxy = read_proxy(text if "://" in text else f"http://{text}")
            yield Check("proxy", "ok", f"{name} is {proxy.url if proxy is not None else 'no URL of a proxy'}")
    bypass = environ.get("no_proxy") or environ.get("NO_PROXY")
    if bypass and any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        yield Check("proxy", "ok", f"NO_PROXY leaves out {bypass}")
