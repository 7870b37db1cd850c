"""Ways in without code: the real `opentelemetry-instrument`, and instrumentations that are given a provider.

Two of OpenAI's instrumentations (OpenTelemetry's own and OpenInference's) watch the real client ask a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.install.model_api import ANSWER, MODEL, ModelApi
from tests.venvs import command, environment

from ajolo_fanout.testing import OtlpServer

OFFICIAL = "opentelemetry.instrumentation.genai.openai"
OPENINFERENCE = "openinference.instrumentation.openai"
OURS = {"OTEL_PYTHON_CONFIGURATOR": "ajolo_fanout"}
ANSWERS = [f"answer {ANSWER}", f"stream {ANSWER}", "outage 500"]


@pytest.fixture
def model() -> Iterator[ModelApi]:
    api = ModelApi()
    yield api
    api.stop()


@pytest.fixture
def instrumented(run: Any, model: ModelApi) -> Callable[..., Any]:
    """Runs a program under `opentelemetry-instrument`, with nothing else set than what a test says."""
    python = environment("instrumented")
    instrument = command("instrumented", "opentelemetry-instrument")

    def start(program: str = "asks.py", *, env: dict[str, str], config: Path | str | None = None) -> Any:
        more = {"MODEL_API": model.url, **env}
        return run(program, python=python, before=[instrument], config=config, env=more)

    return start


@pytest.fixture
def collector() -> Iterator[OtlpServer]:
    """Where OpenTelemetry's own exporter would send, if one were made."""
    with OtlpServer("grpc") as running:
        yield running


def by_scope(server: OtlpServer, scope: str) -> list[Any]:
    return [span for span in server.spans if span.scope.name == scope]


def test_no_line_of_code_and_each_instrumentations_spans_arrive_once(
    instrumented: Any, write_file: Callable[..., Path], server: OtlpServer, model: ModelApi
) -> None:
    program = instrumented(env=OURS, config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.out == ANSWERS
    assert len(model.asked) == 3
    assert len({span.span_id for span in server.spans}) == len(server.spans), "a span arrived twice"
    official, openinference = by_scope(server, OFFICIAL), by_scope(server, OPENINFERENCE)
    the_official_spans_are_whole(official)
    the_openinference_spans_are_whole(openinference)
    assert {span.resource["service.name"] for span in server.spans} == {"program"}


def the_official_spans_are_whole(spans: list[Any]) -> None:
    assert [span.name for span in spans] == ["chat gpt-4o"] * 3
    for span in spans[:2]:
        assert span.attributes["gen_ai.response.model"] == MODEL
        assert span.attributes["gen_ai.usage.input_tokens"] == 14
        assert span.attributes["gen_ai.usage.output_tokens"] == 9
    assert (spans[2].status.code, spans[2].attributes["error.type"]) == (
        "error",
        "openai.InternalServerError",
    )


def the_openinference_spans_are_whole(spans: list[Any]) -> None:
    assert [span.name for span in spans] == ["ChatCompletion"] * 3
    for span in spans[:2]:
        assert span.attributes["openinference.span.kind"] == "LLM"
        assert span.attributes["llm.token_count.total"] == 23
        assert span.attributes["llm.output_messages.0.message.content"] == ANSWER
    assert spans[2].status.code == "error"


def test_no_second_exporter_is_made(
    instrumented: Any, write_file: Callable[..., Path], server: OtlpServer, collector: OtlpServer
) -> None:
    """The distro's default is an OTLP exporter for traces, metrics and logs; its endpoint is somebody's."""
    env = {**OURS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    program = instrumented(env=env, config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert len(server.spans) == 6
    assert collector.requests == []
    said = "\n".join(program.err)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set in the environment and ignored" in said
    assert "OTEL_TRACES_EXPORTER" not in said, "that is the distro's, and no wish of the user"


def test_a_program_that_installs_the_same_file_gets_what_is_installed(
    instrumented: Any, write_file: Callable[..., Path], server: OtlpServer
) -> None:
    program = instrumented("ddtraced.py", env=OURS, config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.said("installed") == "True"
    assert [span.name for span in server.spans] == ["span"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no such file"),
        ('schema = 1\n[backends.x]\ntype = "otpl"\n', 'did you mean "otlp"'),
    ],
    ids=["absent", "wrong"],
)
def test_a_file_that_is_absent_or_wrong_is_told_and_the_program_runs(
    text: str | None, told: str, instrumented: Any, folder: Path, collector: OtlpServer
) -> None:
    if text is not None:
        (folder / "tracing.toml").write_text(text, encoding="utf-8")
        (folder / "tracing.toml").chmod(0o600)
    program = instrumented(env={**OURS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint})
    assert program.end() == 0, program
    assert program.out == ANSWERS
    said = "\n".join(program.err)
    assert "nothing is sent to any backend: tracing.toml:" in said
    assert told in said
    assert "Traceback" not in said
    assert collector.requests == []


def test_off_sends_nothing_anywhere(
    instrumented: Any, folder: Path, collector: OtlpServer, model: ModelApi
) -> None:
    env = {**OURS, "AJOLO_FANOUT_CONFIG": "off", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    program = instrumented(env=env)
    assert program.end() == 0, program
    assert (program.out, len(model.asked)) == (ANSWERS, 3)
    assert collector.requests == []


def test_unnamed_it_leaves_a_program_to_the_configurator_it_had(
    instrumented: Any, write_file: Callable[..., Path], server: OtlpServer, collector: OtlpServer
) -> None:
    """To be installed beside a program is no wish to configure it: its spans go where they went."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    program = instrumented(env=env, config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.out == ANSWERS
    assert server.requests == []
    assert len(collector.spans) == 6


def test_metrics_and_logs_that_somebody_asked_for_are_said_to_be_missing(
    instrumented: Any, write_file: Callable[..., Path], server: OtlpServer
) -> None:
    program = instrumented(
        env={**OURS, "OTEL_METRICS_EXPORTER": "console"}, config=write_file(server.endpoint)
    )
    assert program.end() == 0, program
    assert program.out == ANSWERS
    [line] = [line for line in program.err if line.startswith("OTEL_METRICS_EXPORTER is set")]
    assert line.endswith("OTEL_PYTHON_CONFIGURATOR=ajolo_fanout sets up traces only")


def test_the_file_sees_the_variables_that_are_what_the_distro_sets_too(
    instrumented: Any, write_file: Callable[..., Path]
) -> None:
    with OtlpServer("grpc") as server:
        config = write_file(server.endpoint, backend='protocol = "${OTEL_EXPORTER_OTLP_PROTOCOL}"')
        program = instrumented(env={**OURS, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, config=config)
        assert program.end() == 0, program
        assert len(server.spans) == 6, program
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" not in str(program), "the file has just read it"


@pytest.mark.parametrize("instrumentation", [OFFICIAL, OPENINFERENCE])
def test_an_instrumentation_that_is_given_the_provider_needs_nothing_global(
    instrumentation: str, run: Any, write_file: Callable[..., Path], server: OtlpServer, model: ModelApi
) -> None:
    program = run(
        "asks_with_a_provider.py",
        instrumentation,
        python=environment("instrumented"),
        config=write_file(server.endpoint),
        env={"MODEL_API": model.url},
    )
    assert program.end() == 0, program
    assert program.out[:3] == ANSWERS
    assert program.said("global") == "ProxyTracerProvider"
    whole = the_official_spans_are_whole if instrumentation == OFFICIAL else the_openinference_spans_are_whole
    whole(by_scope(server, instrumentation))
    assert len(server.spans) == 3
