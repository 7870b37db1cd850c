"""A program with a vendor's own SDK in it, before the installation or after it: `vendored.py VENDOR first|second`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

from opentelemetry import trace
from support import say

from ajolo_fanout import InstallError, install_from_config

URL = os.environ["VENDOR_URL"]


def langfuse() -> None:
    from langfuse import Langfuse

    Langfuse(public_key="pk-lf-vendor", secret_key="sk-lf-vendor", base_url=URL)


def sentry() -> None:
    import sentry_sdk
    from sentry_sdk.integrations.otlp import OTLPIntegration

    sentry_sdk.init(dsn=URL.replace("://", "://key@") + "/1", integrations=[OTLPIntegration()])


def logfire() -> None:
    import logfire

    logfire.configure(
        token="token",
        send_to_logfire=True,
        console=False,
        inspect_arguments=False,
        advanced=logfire.AdvancedOptions(base_url=URL),
    )


def phoenix() -> None:
    from phoenix.otel import register

    register(endpoint=f"{URL}/v1/traces", protocol="http/protobuf", batch=True, verbose=False)


def langsmith() -> None:
    from langsmith.integrations.otel import OtelSpanProcessor
    from opentelemetry.sdk.trace import TracerProvider

    if sys.argv[2] == "first":
        trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(OtelSpanProcessor(api_key="key", url=URL))


VENDORS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (langfuse, sentry, logfire, phoenix, langsmith)
}


def main(vendor: str, order: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    if order == "first":
        VENDORS[vendor]()
    try:
        fanout = install_from_config()
    except InstallError as error:
        say("refused", error)
        return
    if order == "second":
        VENDORS[vendor]()
    with trace.get_tracer("program").start_as_current_span("chat gpt-4o") as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.request.model", "gpt-4o")
    trace.get_tracer_provider().force_flush()
    say("flushed", bool(fanout.flush()))


if __name__ == "__main__":
    main(*sys.argv[1:])
