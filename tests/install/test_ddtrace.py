"""Under real `ddtrace-run`: it installs, or it says which variable to unset."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import OtlpServer

NOWHERE = {
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_CRASHTRACKING_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
}


@pytest.mark.parametrize(
    ("setting", "installs"),
    [
        ({}, True),
        ({"DD_TRACE_OTEL_ENABLED": "false"}, True),
        ({"DD_TRACE_OTEL_ENABLED": "true"}, False),
        ({"OTEL_SDK_DISABLED": "false"}, False),
    ],
    ids=["unset", "false", "true", "sdk-not-disabled"],
)
def test_ddtrace_run(
    setting: dict[str, str],
    installs: bool,
    run: Any,
    write_file: Callable[..., Path],
    server: OtlpServer,
    names: Any,
) -> None:
    pytest.importorskip("ddtrace")
    command = shutil.which("ddtrace-run", path=str(Path(sys.executable).parent))
    assert command is not None, "ddtrace is installed without its command"
    program = run(
        "ddtraced.py", config=write_file(server.endpoint), env={**NOWHERE, **setting}, before=[command]
    )
    assert program.end() == 0, program
    if installs:
        assert program.said("installed") == "True"
        assert names(server) == ["span"]
    else:
        refusal = program.said("refused")
        assert "Unset them" in refusal
        assert all(name in refusal for name in ("DD_TRACE_OTEL_ENABLED", "OTEL_SDK_DISABLED"))
        [(name, value)] = setting.items()
        assert f"{name}={value}" in refusal
        assert not server.requests
