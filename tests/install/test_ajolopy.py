"""Real Ajolopy on CPython 3.14, through `install_from_config()` and its own factory, to five backends."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.systems.serving import listens

from ajolo_fanout.config.document import load
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.profiles.catalog import data_folder
from ajolo_fanout.testing import FakeBackend, OtlpServer, wait_for
from ajolo_fanout.testing.collector_run import free_ports

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache"
AJOLOPY = "ajolopy[otel]==0.1.8"
PROVIDE = "scripts/python314 .cache/python314"

CAPTURE = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}
QUESTIONS = (
    "How warm is it in Bern?",
    "How warm is it in Bern, and what does the clock say?",
    "How warm is it in Nowhere?",  # the tool raises
    "How warm is it in Bern, in an outage?",  # the model fails, its fallback answers
    "stream: how warm is it in Bern?",
)

BACKENDS: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "datadog": ("http/protobuf", {"api_key": "dd-key-1234"}, 'redaction.content = "drop"'),
    "langfuse": ("http/protobuf", {"public_key": "pk-lf-1234", "secret_key": "sk-lf-1234"}, ""),
    "tempo": ("grpc", {"tenant": "agents"}, ""),
    "honeycomb": ("http/protobuf", {"api_key": "hc-key-1234"}, ""),
    "datadog_agent": ("http/protobuf", {}, ""),
}
"""By type: protocol, inputs, and what the file says besides. One backend doesn't get the content."""


def _python314() -> Path | None:
    candidates = (
        os.environ.get("AJOLO_PYTHON314"),
        shutil.which("python3.14"),
        CACHE / "python314/root/usr/bin/python3.14",
    )
    for candidate in filter(None, candidates):
        code = "import sys, ssl, venv; sys.exit(sys.version_info < (3, 14))"
        try:
            if subprocess.run([candidate, "-c", code], capture_output=True, check=False).returncode == 0:
                return Path(candidate)
        except OSError:
            continue
    return None


@pytest.fixture(scope="session")
def ajolopy() -> Path:
    """The Python of an environment with Ajolopy and this checkout, made once per state of pyproject.toml."""
    python = _python314()
    if python is None:
        pytest.skip(f"Ajolopy needs CPython 3.14, and there is none. This provides one: {PROVIDE}")
    key = hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes() + f"{AJOLOPY} {python}".encode())
    home = CACHE / "ajolopy-venv"
    folder = home / key.hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
            install = [folder / "bin/pip", "install", "--quiet", AJOLOPY, "--editable", CHECKOUT]
            done = subprocess.run(install, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            (folder / "complete").touch()
    return folder / "bin/python"


@pytest.fixture
def fakes() -> Iterator[dict[str, FakeBackend]]:
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(FakeBackend(kind, protocol, inputs=inputs))
            for kind, (protocol, inputs, _) in BACKENDS.items()
        }


@pytest.fixture
def config(fakes: dict[str, FakeBackend], folder: Path) -> Path:
    """The five backends of `examples/tracing.toml`, each at the endpoint of its fake."""
    lines = ["schema = 1", "[service]", 'name = "weather"', "[defaults]", 'batch.schedule_delay = "60s"']
    for kind, (protocol, inputs, more) in BACKENDS.items():
        lines += [f"[backends.{kind}]", f'type = "{kind}"', f'endpoint = "{fakes[kind].endpoint}"']
        lines += [f'protocol = "{protocol}"', *(f'{name} = "{text}"' for name, text in inputs.items()), more]
    path = folder / "tracing.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_these_are_the_five_backends_of_the_example() -> None:
    example = data_folder("examples") / "tracing.toml"
    plan = resolve(load(example), {}, allow_unset=True)
    assert sorted(one.target.profile.id for one in plan.backends) == sorted(BACKENDS)


def is_content(name: str) -> bool:
    return name in ("gen_ai.prompt", "gen_ai.completion")


@pytest.mark.parametrize("capture", [False, True], ids=["capture off", "capture on"])
def test_every_span_reaches_every_backend_as_ajolopy_made_it(
    capture: bool, ajolopy: Path, fakes: dict[str, FakeBackend], config: Path, folder: Path, run: Any
) -> None:
    env = CAPTURE if capture else {}
    file = folder / "spans.jsonl"
    program = run("ajolopy_app/main.py", "ask", str(file), *QUESTIONS, config=config, env=env, python=ajolopy)
    assert program.end() == 0, program
    assert program.said("same-provider") == "True"
    made = {span["span_id"]: span for span in map(json.loads, file.read_text("utf-8").splitlines())}
    the_scene_is_complete(list(made.values()), capture=capture)
    for kind, fake in fakes.items():
        arrived = {span.span_id: span for span in fake.spans}
        assert len(fake.spans) == len(arrived), f"{kind} got a span twice"
        assert arrived.keys() == made.keys(), kind
        for span_id, span in arrived.items():
            the_span_is_whole(span, made[span_id], without_content=kind == "datadog")


def the_scene_is_complete(made: list[dict[str, Any]], *, capture: bool) -> None:
    """What is compared holds everything that it is to prove something of."""
    roots = [span for span in made if not span["parent_id"]]
    assert len(roots) == len(QUESTIONS)
    assert {span["name"] for span in roots} == {"agent.invoke Weather"}
    tools = [span for span in made if span["name"].startswith("execute_tool")]
    assert [event["name"] for span in tools if span["status"] == "error" for event in span["events"]] == [
        "exception"
    ]
    chats = [span for span in made if span["name"].startswith("chat ")]
    assert sum(span["attributes"].get("gen_ai.cost_usd", 0) for span in chats) > 0
    assert any(event["name"] == "gen_ai.chat.fallback" for span in chats for event in span["events"])
    assert any(map(is_content, (name for span in chats for name in span["attributes"]))) is capture


def the_span_is_whole(span: Any, made: dict[str, Any], *, without_content: bool) -> None:
    assert span.name == made["name"]
    assert span.trace_id == made["trace_id"]
    assert span.parent_id == made["parent_id"]
    assert (span.status.code if span.status else "unset") == made["status"]
    removed = [name for name in made["attributes"] if without_content and is_content(name)]
    attributes = dict(span.attributes)
    if "SampleRate" not in made["attributes"]:  # what Honeycomb reads the weight from; all was kept
        assert attributes.pop("SampleRate", 1) == 1
    if removed:  # where something was taken away, the span says what
        note = attributes.pop("ajolo_fanout.redacted")
        assert all(any(name in line for line in note) for name in removed)
    assert attributes == {k: v for k, v in made["attributes"].items() if k not in removed}
    assert [{"name": one.name, "attributes": one.attributes} for one in span.events] == made["events"]
    assert span.resource["service.name"] == "weather"


def test_installed_after_create_it_attaches_to_the_provider_that_ajolopy_made(
    ajolopy: Path, fakes: dict[str, FakeBackend], config: Path, run: Any
) -> None:
    with OtlpServer() as ajolopys_own:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": ajolopys_own.endpoint}
        program = run("ajolopy_app/main.py", "late", config=config, env=env, python=ajolopy)
        assert program.end() == 0, program
        assert program.said("same-provider") == "True"
        [warning] = [line for line in (*program.err, *program.out) if "attached to a tracer provider" in line]
        assert "BatchSpanProcessor" in warning
        made = {span.span_id for span in ajolopys_own.wait_for_spans(4)}
        for kind, fake in fakes.items():
            assert {span.span_id for span in fake.spans} == made, kind
            assert {span.resource["service.name"] for span in fake.spans} == {"weather"}, kind


@pytest.mark.parametrize(
    "served",
    [
        ("listen", signal.SIGTERM, -signal.SIGTERM),
        ("listen", signal.SIGINT, -signal.SIGINT),  # uvicorn raises it again: KeyboardInterrupt
        ("run", signal.SIGTERM, 0),
        ("run", signal.SIGINT, 0),
    ],
    ids=["listen, SIGTERM", "listen, SIGINT", "run, SIGTERM", "run, SIGINT"],
)
def test_served_and_told_to_stop_with_a_request_in_flight(
    served: tuple[str, int, int],
    ajolopy: Path,
    fakes: dict[str, FakeBackend],
    config: Path,
    folder: Path,
    run: Any,
) -> None:
    way, number, code = served
    [port] = free_ports(1)  # Ajolopy takes no socket
    program = run("ajolopy_app/main.py", way, str(port), config=config, python=ajolopy)
    answers: list[bytes] = []
    wait_for(lambda: program.ended or listens(port), 60, "the application to listen")
    assert not program.ended, program
    request = threading.Thread(target=ask, args=(port, answers), daemon=True)
    request.start()
    wait_for((folder / "started").exists, 60, "the request to be in flight")
    program.send(number)
    assert program.end() == code, program
    request.join(10)
    if answers:  # `ajolopy.run()` cancels its server, and with it what is in flight
        assert json.loads(answers[0])["answer"].startswith("It is")
    else:
        assert way == "run"
    wanted = 4 if answers else 0
    for kind, fake in fakes.items():
        assert len(fake.spans) == wanted, f"{kind}\n{program}"


def ask(port: int, answers: list[bytes]) -> None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/weather/slow", timeout=60) as response:
            answers.append(response.read())
    except urllib.error.HTTPError as error:
        error.close()  # the server broke off; the test says whether it may
    except OSError:
        return  # the server went away first; the test says whether it may
