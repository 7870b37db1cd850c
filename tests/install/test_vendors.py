"""Vendors' own SDKs in one program with us: each span arrives once at each, or the warning names the switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.venvs import environment

from ajolo_fanout.testing import Answer, OtlpServer, ReceivedRequest

ENVIRONMENTS = {"phoenix": "instrumented", "langfuse": "vendors", "sentry": "vendors", "langsmith": "vendors"}
SWITCHES = {
    "langfuse": "LANGFUSE_TRACING_ENABLED=false",
    "sentry": "OTLPIntegration()",
    "langsmith": "LANGSMITH_OTEL_ENABLED=false",
    "phoenix": "phoenix.otel.register()",
}
SPAN = "chat gpt-4o"

in_long_mode = pytest.mark.long
vendors = pytest.mark.parametrize(
    "vendor",
    [pytest.param(name, marks=() if name == "phoenix" else in_long_mode) for name in ENVIRONMENTS],
)


def as_a_vendor(request: ReceivedRequest) -> Answer | None:
    """Takes traces on whatever path a vendor has; everything else that its SDK asks for is an empty object."""
    if "/traces" in request.path:
        return None
    body = b'{"project_name": "p", "project_url": "http://127.0.0.1"}'
    return Answer(status=200, body=body, content_type="application/json")


@pytest.fixture
def theirs() -> Iterator[OtlpServer]:
    with OtlpServer(answer=as_a_vendor) as running:
        yield running


@pytest.fixture
def beside(run: Any, write_file: Callable[..., Path]) -> Callable[..., Any]:
    """Runs a program with a vendor's SDK in it: `beside(vendor, order, ours, theirs)`."""

    def start(vendor: str, order: str, ours: OtlpServer, theirs: OtlpServer) -> Any:
        return run(
            "vendored.py",
            vendor,
            order,
            python=environment(ENVIRONMENTS.get(vendor, "vendors")),
            config=write_file(ours.endpoint),
            env={"VENDOR_URL": theirs.endpoint},
        )

    return start


@vendors
def test_a_vendors_provider_that_was_there_first_keeps_sending_beside_us(
    vendor: str, beside: Any, server: OtlpServer, theirs: OtlpServer, names: Any
) -> None:
    program = beside(vendor, "first", server, theirs)
    assert program.end() == 0, program
    assert (names(server), names(theirs)) == ([SPAN], [SPAN]), program
    said = "\n".join(program.err)
    assert "attached to a tracer provider that was there already" in said
    assert "Its other span processors keep sending" in said
    assert "arrives there twice" not in said


@pytest.mark.long
@pytest.mark.parametrize("vendor", ["langfuse", "sentry", "langsmith"])
def test_a_vendor_that_comes_after_us_sends_beside_us(
    vendor: str, beside: Any, server: OtlpServer, theirs: OtlpServer, names: Any
) -> None:
    program = beside(vendor, "second", server, theirs)
    assert program.end() == 0, program
    assert (names(server), names(theirs)) == ([SPAN], [SPAN]), program
    said = "\n".join(program.err)
    assert "another span processor was added to the provider, and sends on its own" in said
    assert "arrives there twice" not in said


@vendors
@pytest.mark.parametrize("order", ["first", pytest.param("second", marks=in_long_mode)])
def test_where_both_send_to_one_host_the_warning_names_the_switch(
    vendor: str, order: str, beside: Any, theirs: OtlpServer, names: Any
) -> None:
    program = beside(vendor, order, theirs, theirs)
    assert program.end() == 0, program
    warned = [line for line in program.err if "sends to the host of the backend here" in line]
    if names(theirs) == [SPAN]:
        assert (vendor, order) == ("phoenix", "second"), "only its provider is refused when ours is there"
        assert any("Overriding of current TracerProvider" in line for line in program.err)
        assert warned == []
        return
    assert names(theirs) == [SPAN, SPAN]
    [line] = warned
    assert SWITCHES[vendor] in line


@pytest.mark.long
def test_logfire_after_us_leaves_what_opentelemetry_traces_to_us(
    beside: Any, server: OtlpServer, theirs: OtlpServer, names: Any
) -> None:
    program = beside("logfire", "second", server, theirs)
    assert program.end() == 0, program
    assert (names(server), names(theirs)) == ([SPAN], []), program


@pytest.mark.long
def test_logfire_before_us_is_refused_with_what_to_do(
    beside: Any, server: OtlpServer, theirs: OtlpServer
) -> None:
    program = beside("logfire", "first", server, theirs)
    assert program.end() == 0, program
    assert "Install before the library that sets it" in program.said("refused")
    assert not server.requests
