"""No secret in any output: one marked secret in every secret place, sent through everything that prints."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.marked import SECRET, assert_clean, forms

from ajolo_fanout import ConfigError, install_from_config
from ajolo_fanout.config.document import load
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing import Answer, OtlpServer

FILE = """
schema = 1
[service]
name = "secrets"
[backends.datadog]
type = "datadog"
endpoint = "{url}"
api_key = "${{MARKED}}"
allow_plaintext = true
[backends.langfuse]
type = "langfuse"
endpoint = "{url}"
public_key = "pk-lf-public"
secret_key = {{ file = "langfuse.key" }}
allow_plaintext = true
[backends.any]
type = "otlp"
endpoint = "{url}/any/path"
allow_plaintext = true
headers = {{ authorization = "Bearer ${{MARKED}}", x-token = "${{MARKED}}" }}
"""


@pytest.fixture
def echoing() -> Iterator[OtlpServer]:
    """A server that refuses, and quotes in its answer what it was sent, in every form."""

    def answer(request: Any) -> Answer:
        said = [*request.headers.values(), *forms(SECRET)]
        return Answer(status=403, headers={"content-type": "text/plain"}, body=" | ".join(said).encode())

    with OtlpServer(answer=answer) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration stands, with its secret in a variable and in a file."""
    monkeypatch.setenv("MARKED", SECRET)
    (tmp_path / "langfuse.key").write_text(SECRET + "\n")
    return tmp_path / "tracing.toml"


def test_no_secret_in_what_an_installation_shows_logs_and_reports(
    file: Path, echoing: OtlpServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Plan, repr, health, reports and logs, with a backend that echoes the key in its error."""
    caplog.set_level(logging.DEBUG)
    file.write_text(FILE.format(url=echoing.endpoint))
    with install_from_config(file, set_global=False) as fanout:
        with fanout.provider.get_tracer("test").start_as_current_span("hello"):
            pass
        report = fanout.flush()
        shown = [str(fanout.plan), repr(fanout.plan), json.dumps(fanout.plan.to_dict()), repr(fanout)]
        shown += [repr(backend) for backend in fanout.plan.backends]
        shown += [str(report), repr(report), str(fanout.health()), repr(fanout.health())]
        refused = [one for one in report.backends.values() if one.lost]
    assert not report
    assert len(refused) == 3, (
        "each backend was refused, so that what the server echoed is among what is shown"
    )
    assert echoing.requests
    for text in [*shown, caplog.text]:
        assert_clean(text)
    assert "403" in caplog.text


def test_no_secret_in_the_errors_of_a_file_full_of_mistakes(file: Path) -> None:
    """What is wrong is named, and what stands there is not quoted where it may be a secret."""
    wrong = [
        f'api_key = "{SECRET}"',  # in a table that has no such key
        f'timeout = "{SECRET}"',
        f'compresion = "{SECRET}"',
        f'headers = "{SECRET}"',
        f'batch.max_queue_size = "{SECRET}"',
        f'tls.insecure_skip_verify = "{SECRET}"',
        f'processors = "{SECRET}"',
    ]
    file.write_text(
        'schema = 1\n[backends.x]\ntype = "tempo"\nendpoint = "http://localhost:4318"\n' + "\n".join(wrong)
    )
    with pytest.raises(ConfigError) as caught:
        resolve(load(file), {})
    assert len([one for one in caught.value.problems if one.severity == "error"]) >= len(wrong)
    assert_clean(str(caught.value) + repr(caught.value) + repr(caught.value.problems))


def test_no_secret_when_the_file_does_not_even_parse(file: Path) -> None:
    """A line that isn't TOML is pointed at, not shown."""
    file.write_text(f'schema = 1\n[backends.x]\napi_key = "{SECRET}\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert_clean(str(caught.value) + repr(caught.value))
    assert caught.value.problems[0].line == 3


def test_no_secret_on_the_screen_of_a_program_that_dies(file: Path, echoing: OtlpServer) -> None:
    """A traceback of the program shows no frame of ours that holds the key, and exit logs nothing of it."""
    file.write_text(FILE.format(url=echoing.endpoint))
    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG)\n"
        "import ajolo_fanout\n"
        "fanout = ajolo_fanout.install_from_config(sys.argv[1])\n"
        "with fanout.provider.get_tracer('t').start_as_current_span('x'): pass\n"
        "raise RuntimeError(f'{fanout.plan} {fanout.health()}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "MARKED": SECRET},
    )
    assert done.returncode == 1
    assert echoing.requests
    assert_clean(done.stdout + done.stderr)
