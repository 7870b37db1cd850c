"""OpenTelemetry's declarative configuration (`OTEL_CONFIG_FILE`'s YAML) in the words of a `tracing.toml`.

The schema is that of open-telemetry/opentelemetry-configuration, `file_format` 0.3 to 1.0; names that changed
in between are all taken. Its durations are milliseconds. What has no counterpart is named, never guessed at,
and a credential that stands in it is not carried over: a variable takes its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import attrs

from ajolo_fanout.profiles.headers import authenticates
from ajolo_fanout.values import Duration
from ajolo_fanout.wording import printable

__all__ = ["Carried", "CarriedBackend", "carry"]

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}")
_SERVICE = {
    "service.name": "name",
    "service.version": "version",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
}
_LIMITS = (
    "attribute_value_length_limit",
    "attribute_count_limit",
    "event_count_limit",
    "link_count_limit",
)
_BATCH = ("max_queue_size", "max_export_batch_size", "schedule_delay", "export_timeout")
_TLS = {
    "ca_file": ("ca_file", "certificate_file", "certificate"),
    "cert_file": ("cert_file", "client_certificate_file", "client_certificate"),
    "key_file": ("key_file", "client_key_file", "client_key"),
}
_EXPORTERS = {"otlp_http": "http/protobuf", "otlp_grpc": "grpc", "otlp": ""}
_OTHERS = {
    "meter_provider": "metrics are not this file's; keep them where they are",
    "logger_provider": "logs are not this file's; keep them where they are",
    "propagator": "propagation stays OpenTelemetry's own: OTEL_PROPAGATORS",
    "instrumentation": "instrumentations are configured by themselves",
    "instrumentation/development": "instrumentations are configured by themselves",
}


@attrs.frozen
class CarriedBackend:
    """One exporter as a backend.

    Attributes:
        name: The backend's name.
        type: Its profile: `otlp`, `console` or `file`.
        keys: What stands under it, beside `type`.
    """

    name: str
    type: str
    keys: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Carried:
    """What a `tracing.toml` takes over.

    Attributes:
        service: Keys of `[service]`.
        resource: Further resource attributes.
        limits: Keys of the top-level `[limits]`.
        defaults: Keys of `[defaults]`.
        backends: The exporters.
        left: What has no counterpart, as `where: why`, in the order of that file.
    """

    service: Mapping[str, Any] = attrs.field(factory=dict)
    resource: Mapping[str, Any] = attrs.field(factory=dict)
    limits: Mapping[str, Any] = attrs.field(factory=dict)
    defaults: Mapping[str, Any] = attrs.field(factory=dict)
    backends: tuple[CarriedBackend, ...] = ()
    left: tuple[str, ...] = ()


@attrs.define
class _Reader:
    """Collects while it reads. `left` holds what could not be taken."""

    service: dict[str, Any] = attrs.field(factory=dict)
    resource: dict[str, Any] = attrs.field(factory=dict)
    limits: dict[str, Any] = attrs.field(factory=dict)
    defaults: dict[str, Any] = attrs.field(factory=dict)
    backends: list[CarriedBackend] = attrs.field(factory=list)
    left: list[str] = attrs.field(factory=list)

    def leave(self, where: str, why: str = "has no counterpart here") -> None:
        """Note what is not carried over; nothing of its value."""
        self.left.append(f"{printable(where)}: {why}")

    def table(self, value: Any, where: str) -> Mapping[str, Any]:
        """`value` as a table, empty where it is empty; noted where it is none."""
        if isinstance(value, Mapping):
            return {str(key): inner for key, inner in value.items()}
        if value is not None:
            self.leave(where, "is not the mapping it should be")
        return {}

    def entries(self, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """The elements of a list, each with where it stands."""
        if isinstance(value, list):
            yield from ((f"{where}[{index}]", inner) for index, inner in enumerate(value))
        elif value is not None:
            self.leave(where, "is not the list it should be")

    def rest(self, table: Mapping[str, Any], known: Any, where: str) -> None:
        """Note the keys of `table` that nobody reads."""
        for key in table:
            if key not in known:
                self.leave(f"{where}.{key}" if where else key)


def carry(configuration: Any) -> Carried:
    """What of a parsed declarative configuration a `tracing.toml` can say.

    Raises:
        ValueError: it is none: it has no `file_format`.
    """
    if not isinstance(configuration, Mapping) or "file_format" not in configuration:
        raise ValueError("this is no OpenTelemetry declarative configuration: it has no file_format")
    reader = _Reader()
    top = reader.table(configuration, "")
    if top.get("disabled") is True:
        reader.leave("disabled", "set OTEL_SDK_DISABLED=true, or AJOLO_FANOUT_CONFIG=off")
    _resource(reader, reader.table(top.get("resource"), "resource"))
    _limits(reader, top.get("attribute_limits"), "attribute_limits")
    _provider(reader, reader.table(top.get("tracer_provider"), "tracer_provider"))
    for name, why in _OTHERS.items():
        if name in top:
            reader.leave(name, why)
    read = {"file_format", "disabled", "resource", "attribute_limits", "tracer_provider", *_OTHERS}
    reader.rest(top, read, "")
    return Carried(
        reader.service,
        reader.resource,
        reader.limits,
        reader.defaults,
        tuple(reader.backends),
        tuple(reader.left),
    )


def _resource(reader: _Reader, table: Mapping[str, Any]) -> None:
    found: dict[str, Any] = _listed(table.get("attributes_list"))
    for where, entry in reader.entries(table.get("attributes"), "resource.attributes"):
        one = reader.table(entry, where)
        name, value = one.get("name"), one.get("value")
        if not isinstance(name, str) or not name or not _is_attribute(value):
            reader.leave(where, "is no name with a string, a boolean, a number or a list of one of these")
        else:
            found[name] = value
    for name, value in found.items():
        key = _SERVICE.get(name)
        if key is not None and isinstance(value, str):
            reader.service.setdefault(key, _text(value))
        else:
            reader.resource[name] = _texts(value)
    reader.rest(table, ("attributes", "attributes_list"), "resource")


def _limits(reader: _Reader, value: Any, where: str) -> None:
    table = reader.table(value, where)
    for key in _LIMITS:
        if _is_number(table.get(key)):
            reader.limits[key] = table[key]
        elif table.get(key) is not None:
            reader.leave(f"{where}.{key}", "is not a plain number")
    reader.rest(table, _LIMITS, where)


def _provider(reader: _Reader, table: Mapping[str, Any]) -> None:
    where = "tracer_provider"
    _limits(reader, table.get("limits"), f"{where}.limits")
    if table.get("sampler") is not None:
        _sampler(reader, table["sampler"], f"{where}.sampler", parent_based=False)
    for place, entry in reader.entries(table.get("processors"), f"{where}.processors"):
        for kind, settings in reader.table(entry, place).items():
            if kind in ("batch", "simple"):
                _processor(reader, kind, reader.table(settings, f"{place}.{kind}"), f"{place}.{kind}")
            else:
                reader.leave(f"{place}.{kind}", "is no exporting processor; see [[backends.NAME.processors]]")
    reader.rest(table, ("processors", "limits", "sampler"), where)


def _sampler(reader: _Reader, value: Any, where: str, *, parent_based: bool) -> None:
    for kind, settings in reader.table(value, where).items():
        place = f"{where}.{kind}"
        table = reader.table(settings, place)
        if kind == "parent_based" and not parent_based:
            _sampler(reader, table.get("root"), f"{place}.root", parent_based=True)
            reader.rest(table, ("root",), place)
            continue
        ratio: Any = {"always_on": 1.0, "always_off": 0.0}.get(kind, table.get("ratio"))
        known = kind in ("always_on", "always_off", "trace_id_ratio_based", "probability/development")
        if not known or not isinstance(ratio, (int, float)) or isinstance(ratio, bool) or not 0 <= ratio <= 1:
            reader.leave(place, "only a ratio from 0 to 1 has a counterpart: sampling.ratio")
            continue
        if ratio != 1 or not parent_based:
            reader.defaults["sampling"] = {"ratio": ratio} | ({} if parent_based else {"parent": "ignore"})


def _processor(reader: _Reader, kind: str, table: Mapping[str, Any], where: str) -> None:
    batch: dict[str, Any] = {}
    for key in _BATCH:
        value: Any = table.get(key)
        if _is_number(value):
            batch[key] = str(Duration(value / 1000)) if key in ("schedule_delay", "export_timeout") else value
        elif value is not None:
            reader.leave(f"{where}.{key}", "is not a plain number; ours has the built-in value")
    reader.rest(table, (*_BATCH, "exporter"), where)
    for name, settings in reader.table(table.get("exporter"), f"{where}.exporter").items():
        place = f"{where}.exporter.{name}"
        made = _exporter(reader, name, reader.table(settings, place), place)
        if made is None:
            continue
        used = {one.name for one in reader.backends}
        base = made.type if made.type != "otlp" else "collector"
        label = next(one for one in (base, *(f"{base}_{n}" for n in range(2, 1000))) if one not in used)
        keys = {**made.keys, "batch": batch} if batch and kind == "batch" else made.keys
        reader.backends.append(attrs.evolve(made, name=label, keys=keys))


def _exporter(reader: _Reader, name: str, table: Mapping[str, Any], where: str) -> CarriedBackend | None:
    base = name.removesuffix("/development")
    if base in _EXPORTERS:
        return _otlp(reader, _EXPORTERS[base] or str(table.get("protocol", "http/protobuf")), table, where)
    if base == "console":
        return CarriedBackend("", "console")
    if base == "otlp_file":
        stream = table.get("output_stream", "stdout")
        if isinstance(stream, str) and stream.startswith("file://"):
            return CarriedBackend("", "file", {"path": _text(stream.removeprefix("file://"))})
        return CarriedBackend("", "console", {"stream": "stdout"})
    reader.leave(where, "is no exporter that a backend can stand for")
    return None


def _otlp(reader: _Reader, protocol: str, table: Mapping[str, Any], where: str) -> CarriedBackend | None:
    if protocol == "http/json" or table.get("encoding") not in (None, "protobuf"):
        reader.leave(where, "OTLP is sent as protobuf here, which every server takes that takes its JSON")
        protocol = "http/protobuf"
    if protocol not in ("http/protobuf", "grpc"):
        reader.leave(where, "only OTLP over HTTP or gRPC has a counterpart")
        return None
    tls = reader.table(table.get("tls"), f"{where}.tls")
    files = {ours: _named(tls or table, theirs) for ours, theirs in _TLS.items()}
    insecure = (tls or table).get("insecure") is True
    if not isinstance(table.get("endpoint", ""), (str, type(None))):
        reader.leave(f"{where}.endpoint", "is no text; the default's port on localhost stands in its place")
    keys: dict[str, Any] = {"endpoint": _endpoint(table.get("endpoint"), protocol, insecure=insecure)}
    bare = _bare(keys["endpoint"])
    if bare != keys["endpoint"]:
        keys["endpoint"] = bare
        reader.leave(f"{where}.endpoint", "user, password, query and fragment of a URL are not copied")
    if protocol == "grpc":
        keys["protocol"] = protocol
    if headers := dict(_headers(reader, table, where)):
        keys["headers"] = headers
    if table.get("compression") in ("gzip", "none"):
        keys["compression"] = table["compression"]
    if _is_number(table.get("timeout")) and table["timeout"]:
        keys["timeout"] = str(Duration(table["timeout"] / 1000))
    if any(files.values()):
        keys["tls"] = {key: path for key, path in files.items() if path}
    names = {name for theirs in _TLS.values() for name in theirs} | {"insecure"}
    reader.rest(tls, names, f"{where}.tls")
    read = {"endpoint", "protocol", "headers", "headers_list", "compression", "timeout", "tls", "encoding"}
    reader.rest(table, read | names, where)
    return CarriedBackend("", "otlp", keys)


def _endpoint(value: Any, protocol: str, *, insecure: bool) -> str:
    if not isinstance(value, str) or not value:
        return "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"
    text = _text(value)
    if "://" in text or text.startswith("${"):
        return text
    return f"{'http' if insecure or protocol != 'grpc' else 'https'}://{text}"


def _bare(url: str) -> str:
    """A URL without what may be a credential in it."""
    without_user = re.sub(r"^([A-Za-z]+://)[^/]*@", r"\1", url)
    return re.sub(r"[?#].*$", "", without_user, flags=re.DOTALL)


def _headers(reader: _Reader, table: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Header by header; a credential that stands there as it is becomes a variable to be set."""
    found = _listed(table.get("headers_list"))
    headers = table.get("headers")
    if isinstance(headers, Mapping):
        found |= {str(name): value for name, value in headers.items() if isinstance(value, str)}
    else:
        for place, entry in reader.entries(headers, f"{where}.headers"):
            one = reader.table(entry, place)
            if isinstance(one.get("name"), str) and isinstance(one.get("value"), str):
                found[one["name"]] = one["value"]
            else:
                reader.leave(place, "is no name with a text")
    for name, value in found.items():
        if authenticates(name) and _VARIABLE.search(value) is None:
            variable = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").upper() or "OTLP_KEY"
            variable = variable if not variable[0].isdigit() else f"OTLP_{variable}"
            reader.leave(f"{where}.headers.{name}", f"a credential is not copied; set {variable}")
            yield name, f"${{{variable}}}"
        else:
            yield name, _text(value)


def _listed(text: Any) -> dict[str, str]:
    """`name=value,name=value`, percent-encoded as in OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_HEADERS."""
    pairs = (entry.partition("=") for entry in text.split(",")) if isinstance(text, str) else ()
    return {
        unquote(name.strip()): unquote(value.strip())
        for name, equals, value in pairs
        if equals and name.strip()
    }


def _named(table: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((_text(table[name]) for name in names if isinstance(table.get(name), str)), None)


def _text(text: str) -> str:
    """A text with variables as ours are written; every other dollar is one."""
    parts, at = [], 0
    for found in _VARIABLE.finditer(text):
        parts += [_dollars(text[at : found.start()]), f"${{{found[1]}{found[2] or ''}}}"]
        at = found.end()
    return "".join([*parts, _dollars(text[at:])])


def _dollars(text: str) -> str:
    return text.replace("$$", "$").replace("$", "$$")


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(one) for one in value]
    return _text(value) if isinstance(value, str) else value


def _is_attribute(value: Any) -> bool:
    if isinstance(value, list):
        kinds = {type(one) for one in value}
        return bool(value) and all(map(_is_attribute, value)) and len(kinds) == 1 and list not in kinds
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
