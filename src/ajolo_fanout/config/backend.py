"""`[backends.NAME]`: the keys that every kind of backend has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

import ajolo_fanout.config.match  # noqa: F401 - registers how matches are read
from ajolo_fanout.config.batch import BatchSettings
from ajolo_fanout.config.convert import register
from ajolo_fanout.config.faults import Fault
from ajolo_fanout.config.processors import Processor
from ajolo_fanout.config.report import keys_of
from ajolo_fanout.config.retry import RetrySettings
from ajolo_fanout.config.scalars import read_text
from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.steps.limits import LimitsSettings
from ajolo_fanout.steps.redaction import RedactionSettings
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.steps.sampling import SamplingSettings
from ajolo_fanout.steps.select import SelectSettings
from ajolo_fanout.values import Duration, Secret, option

__all__ = ["COMMON_KEYS", "NOT_IN_DEFAULTS", "RESERVED_KEYS", "BackendSettings", "Processor"]


def _read_expression(value: Any) -> Expression:
    try:
        return Expression.parse(read_text(value))
    except ValueError as error:
        raise Fault(str(error), "bad-pattern") from None


register(Expression, _read_expression)


@attrs.frozen
class BackendSettings:
    """One backend, apart from its `type` and the inputs of its profile."""

    enabled: bool = option(
        "Whether this backend is used. Nothing of a backend that is not enabled is resolved, only checked.",
        default=True,
        example="false",
    )
    optional: bool = option(
        "Whether an unset environment variable switches this backend off, with one line that says so, "
        "instead of being an error. One file then serves laptop, CI and production.",
        default=False,
        example="true",
    )
    endpoint: str | None = option(
        "The URL to send to, with its scheme, instead of the profile's. Over HTTP a URL without a path gets "
        "the profile's path; over gRPC it has none.",
        default=None,
        example='"http://tempo.internal:4318"',
    )
    protocol: Literal["http/protobuf", "grpc"] = option(
        "How to send: OTLP over HTTP, or over gRPC.",
        default="http/protobuf",
        choices=("http/protobuf", "grpc"),
        example='"grpc"',
    )
    headers: Mapping[str, Secret] = option(
        "Further headers of each request. Every value is a secret, and may be read from a file: "
        '{ file = "/run/secrets/token" }.',
        factory=dict,
        example='{ "x-team" = "agents" }',
    )
    timeout: Duration = option(
        "How long one request may take.", default=Duration(10), minimum=0.001, maximum=86400, example='"10s"'
    )
    compression: Literal["none", "gzip"] = option(
        "How the body of a request is compressed.", default="none", choices=("none", "gzip"), example='"gzip"'
    )
    allow_plaintext: bool = option(
        "Whether a key may be sent over plain http:// to a host that is not this one.",
        default=False,
        example="true",
    )
    exporter: Literal["own", "stock"] = option(
        'Who sends: this package, or the unmodified OTLP exporter of the OpenTelemetry project ("stock"), '
        "whose deliveries can't be verified and are shown as handed over.",
        default="own",
        choices=("own", "stock"),
        example='"stock"',
    )
    tls: TlsSettings = option("Certificates of this backend's connection.", factory=TlsSettings)
    batch: BatchSettings = option("How spans are gathered into requests.", factory=BatchSettings)
    limits: LimitsSettings = option(
        "How much one span may hold when it leaves for this backend; cut after redaction.",
        factory=LimitsSettings,
    )
    select: SelectSettings = option("Which spans this backend gets at all.", factory=SelectSettings)
    sampling: SamplingSettings = option(
        "Which share of all traces this backend gets.", factory=SamplingSettings
    )
    redaction: RedactionSettings = option("What this backend must not see.", factory=RedactionSettings)
    processors: tuple[Processor, ...] = option(
        "Changes to this backend's copy of each span, in order. Each has a type.", default=()
    )
    retry: RetrySettings = option(
        "How much may wait for this backend when it can't take spans now, and for how long.",
        factory=RetrySettings,
    )
    spool: Literal["off", "on_failure", "always"] = option(
        "Whether batches are kept on disk for this backend: never, when sending them failed or was put off, "
        "or already before their first send, so that even a killed program loses none. Needs [spool] "
        "directory.",
        default="off",
        choices=("off", "on_failure", "always"),
        example='"on_failure"',
    )


COMMON_KEYS: frozenset[str] = keys_of(BackendSettings) | {"type"}
"""Every key that all backends have; no input of a profile can bear one of these names."""

RESERVED_KEYS: frozenset[str] = frozenset({"select", "sampling", "processors", "redaction", "retry", "spool"})
"""Those of them that belong to the steps and to delivery, now or later."""

NOT_IN_DEFAULTS: frozenset[str] = frozenset({"type", "endpoint", "headers", "enabled"})
"""Those of them that `[defaults]` can't set for all backends at once."""
