"""Tests of programs that install their own file: fakes in place of its backends, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ajolo_fanout import ConfigError, install_from_config, sdk_internals
from ajolo_fanout.testing import Installed, OtlpServer, fake_backends

ONE = """schema = 1
[service]
name = "one"
[resource]
"only.in.one" = true
[limits]
attribute_count_limit = 3
[backends.company]
type = "datadog"
site = "eu"
api_key = "${NOT_SET_ANYWHERE}"
redaction.content = "drop"
[backends.team]
type = "langfuse"
region = "eu"
public_key = "${NOT_SET_EITHER}"
secret_key = { file = "/nowhere/secret" }
"""
TWO = """schema = 1
[service]
name = "two"
[backends.store]
type = "tempo"
endpoint = "http://tempo.internal:4317"
protocol = "grpc"
"""

early = trace.get_tracer("a module's own, got at import")
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file into the folder where the code under test runs."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
        return tmp_path / name

    return write


def program() -> None:
    """Code under test: installs what it finds, and traces."""
    install_from_config()
    program_span()


def program_span() -> None:
    with early.start_as_current_span("chat gpt-4o") as span:
        span.set_attribute("gen_ai.prompt", "a recipe")
        span.set_attribute("gen_ai.request.model", "gpt-4o")


def test_a_programs_own_installation_sends_to_fakes(write: Write) -> None:
    """No variable set, no secret file, no host that exists: the file's plan is at work all the same."""
    write("tracing.toml", ONE)
    with fake_backends() as installed:
        program()
        assert installed.flush()
        [company], [team] = installed.spans("company"), installed.spans("team")
        assert "gen_ai.prompt" not in company.attributes
        assert team.attributes["gen_ai.prompt"] == "a recipe"
        assert team.resource["only.in.one"] is True
        assert installed.health().backends["company"].counts.delivered == 1
        assert installed.harness.fanout.provider is trace.get_tracer_provider()
        assert type(installed.harness.fanout.provider) is TracerProvider


def test_the_next_test_installs_another_file_and_nothing_of_the_first_is_left(write: Write) -> None:
    """Resource, limits and backends are the second file's; a tracer that was kept goes where it says."""
    write("tracing.toml", ONE)
    with fake_backends() as installed:
        program()
        kept = trace.get_tracer("an instrumentation's, for good")
        kept.start_span("many", attributes=dict.fromkeys("abcdef", 1)).end()
        installed.flush()
        assert len(installed.spans("team")[-1].attributes) == 3
        first = installed.harness
    write("tracing.toml", TWO)
    with fake_backends() as installed:
        program()
        kept.start_span("many", attributes=dict.fromkeys("abcdef", 1)).end()
        installed.flush()
        spans = installed.spans("store")
        assert [span.name for span in spans] == ["chat gpt-4o", "many"]
        assert {span.resource["service.name"] for span in spans} == {"two"}
        assert all("only.in.one" not in span.resource for span in spans)
        assert len(spans[1].attributes) == 6
    assert first.fanout.stopped
    assert len(first.backends["team"].spans) == 2, "what came later is none of its business"


@pytest.fixture
def theirs() -> Iterator[InMemorySpanExporter]:
    """A test suite that has set a global provider of its own, for good."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with sdk_internals.no_global_provider():
        trace.set_tracer_provider(provider)
        yield exporter
    provider.shutdown()


def test_the_earlier_provider_is_global_again_for_early_tracers_too(
    theirs: InMemorySpanExporter, write: Write
) -> None:
    before = trace.get_tracer_provider()
    early.start_span("before").end()
    write("tracing.toml", TWO)
    with fake_backends() as installed:
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        program()
        installed.flush()
        assert [span.name for span in installed.spans("store")] == ["chat gpt-4o"]
    assert trace.get_tracer_provider() is before
    early.start_span("after").end()
    assert [span.name for span in theirs.get_finished_spans()] == ["before", "after"]


def test_nothing_stays_but_the_provider(write: Write) -> None:
    """Threads, processors, the handler of SIGTERM, what a program adds to the provider."""
    write("tracing.toml", TWO)
    threads = set(threading.enumerate())
    handler = signal.getsignal(signal.SIGTERM)
    added = InMemorySpanExporter()
    with fake_backends() as installed:
        program()
        provider = installed.harness.fanout.provider
        provider.add_span_processor(SimpleSpanProcessor(added))
    assert sdk_internals.span_processors(provider) == ()
    assert signal.getsignal(signal.SIGTERM) == handler
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive()


def test_one_within_another_has_its_spans_to_itself(write: Write) -> None:
    """A class's fakes, and within them a test's: then the class's go on, by their own file."""
    write("tracing.toml", ONE)
    kept = trace.get_tracer("an instrumentation's, for good")
    with fake_backends() as outer:
        program()
        write("other.toml", TWO)
        with fake_backends() as inner:
            install_from_config("other.toml")
            kept.start_span("many", attributes=dict.fromkeys("abcdef", 1)).end()
            inner.flush()
            assert [len(span.attributes) for span in inner.spans("store")] == [6]
        kept.start_span("many", attributes=dict.fromkeys("abcdef", 1)).end()
        assert outer.flush()
        assert [len(span.attributes) for span in outer.spans("team")] == [2, 3]
        assert install_from_config() is outer.harness.fanout


def test_one_within_another_leaves_it_its_sampling(write: Write) -> None:
    write("tracing.toml", TWO + "sampling.ratio = 0.000001\n")
    write("other.toml", TWO)
    with fake_backends() as outer:
        program()
        with fake_backends() as inner:
            install_from_config("other.toml")
            program_span()
            assert inner.flush()
            assert len(inner.spans("store")) == 1
        program_span()
        assert outer.flush()
        assert outer.spans("store") == []
        assert outer.health().backends["store"].counts.never_recorded == 2


def test_a_provider_of_the_programs_own_keeps_nothing_of_ours(write: Write) -> None:
    write("tracing.toml", TWO)
    own = TracerProvider(shutdown_on_exit=False)
    with fake_backends() as installed:
        trace.set_tracer_provider(own)
        program()
        assert installed.flush()
        assert len(installed.spans("store")) == 1
    assert sdk_internals.span_processors(own) == ()


def test_a_test_that_fails_leaves_no_more(write: Write) -> None:
    write("tracing.toml", TWO)
    before = trace.get_tracer_provider()
    with pytest.raises(ZeroDivisionError), fake_backends():  # noqa: PT012 - both belong to it
        program()
        raise ZeroDivisionError
    assert trace.get_tracer_provider() is before
    write("other.toml", ONE)
    with fake_backends() as installed:
        install_from_config("other.toml")
        assert list(installed.harness.backends) == ["company", "team"]


def test_a_server_of_ones_own_gets_a_backends_spans(
    write: Write, fanout_fakes: Installed, otlp_server: OtlpServer
) -> None:
    """A Collector, say: on its own path, whatever the vendor's is."""
    write("tracing.toml", ONE)
    fanout_fakes.endpoints["team"] = f"{otlp_server.endpoint}/v1/traces"
    program()
    assert fanout_fakes.flush()
    assert [request.path for request in otlp_server.requests] == ["/v1/traces"]
    assert len(fanout_fakes.spans("company")) == 1


def test_keep_all_is_for_files_that_sample(write: Write, fanout_fakes: Installed) -> None:
    write("tracing.toml", TWO + "sampling.ratio = 0.000001\n")
    fanout_fakes.keep_all = True
    program()
    assert fanout_fakes.flush()
    assert len(fanout_fakes.spans("store")) == 1


def test_installations_beside_the_global_one_are_swapped_too(write: Write, fanout_fakes: Installed) -> None:
    write("tracing.toml", TWO)
    beside = install_from_config(write("beside.toml", ONE), set_global=False)
    program()
    beside.provider.get_tracer("test").start_span("beside").end()
    assert all(harness.flush() for harness in fanout_fakes.harnesses)
    one, two = fanout_fakes.harnesses
    assert [span.name for span in one.spans("company")] == ["beside"]
    assert [span.name for span in two.spans("store")] == ["chat gpt-4o"]


def test_where_nothing_was_installed_the_test_is_told_why(
    write: Write, fanout_fakes: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AJOLO_FANOUT_CONFIG", "off")
    program()
    with pytest.raises(LookupError, match="AJOLO_FANOUT_CONFIG=off"):
        fanout_fakes.flush()


def test_a_wrong_file_is_the_programs_own_error(write: Write, fanout_fakes: Installed) -> None:
    write("tracing.toml", TWO + "sampling.ratoi = 1\n")
    with pytest.raises(ConfigError, match="ratoi"):
        program()


PROJECT = {
    "my_agent.py": """
from opentelemetry import trace

from ajolo_fanout import install_from_config

tracer = trace.get_tracer(__name__)


def main(question):
    install_from_config()
    with tracer.start_as_current_span("answer", attributes={"gen_ai.prompt": question}):
        return 42
""",
    "test_my_agent.py": """
import my_agent


def test_the_company_gets_no_prompt(fanout_fakes):
    assert my_agent.main("why?") == 42
    assert fanout_fakes.flush()
    [span] = fanout_fakes.spans("company")
    assert "gen_ai.prompt" not in span.attributes


def test_the_team_gets_it(fanout_fakes, monkeypatch):
    monkeypatch.setenv("AJOLO_FANOUT_CONFIG", "team.toml")
    my_agent.main("how?")
    assert fanout_fakes.flush()
    [span] = fanout_fakes.spans("team")
    assert span.attributes["gen_ai.prompt"] == "how?"
""",
}


def test_a_project_of_its_own_under_pytest(write: Write, tmp_path: Path) -> None:
    """As a user has it: a program, its two files, a test for each, in a process of their own."""
    company, team = ONE.split("[backends.team]")
    write("tracing.toml", company)
    write("team.toml", 'schema = 1\n[service]\nname = "team"\n[backends.team]' + team)
    for name, text in PROJECT.items():
        write(name, text)
    others = [f"-pno:{name}" for name in ("cacheprovider", "ddtrace", "hypothesispytest")]  # slow to load
    command = [sys.executable, "-m", "pytest", "-q", *others, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
