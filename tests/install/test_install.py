"""`install_from_config()`: what it builds, what it attaches to, what it refuses, and that it says so once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ajolo_fanout import ConfigError, InstallError, install_from_config, sdk_internals
from ajolo_fanout.testing import OtlpServer

pytestmark = pytest.mark.usefixtures("fresh_process")
FILE = Callable[..., Path]


@pytest.fixture
def second() -> Iterator[OtlpServer]:
    with OtlpServer() as running:
        yield running


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """What was logged so far, at a level and above."""
    caplog.set_level(logging.INFO, "ajolo_fanout")
    return lambda level=logging.INFO: [one.getMessage() for one in caplog.records if one.levelno >= level]


def span(name: str, provider: Any = None, **attributes: Any) -> None:
    tracer = (provider or trace.get_tracer_provider()).get_tracer("test")
    with tracer.start_as_current_span(name, attributes=attributes):
        pass


# -- building ----------------------------------------------------------------------------------------------


def test_a_plain_sdk_provider_is_built_and_made_global(write_file: FILE, server: OtlpServer) -> None:
    fanout = install_from_config(write_file(server.endpoint))
    assert trace.get_tracer_provider() is fanout.provider
    assert type(fanout.provider) is TracerProvider, "the very class: Ajolopy and others look for it"
    assert list(fanout.processors) == ["here"]
    span("one")
    assert fanout.flush()
    assert [one.name for one in server.spans] == ["one"]


def test_the_ambient_environment_does_not_get_into_the_provider(
    write_file: FILE, server: OtlpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ambient,team=a")
    fanout = install_from_config(write_file(server.endpoint))
    limits = sdk_internals.span_limits(fanout.provider)
    assert limits is not None
    assert (limits.max_span_attributes, limits.max_event_attributes, limits.max_link_attributes) == (
        2048,
    ) * 3
    assert (limits.max_events, limits.max_links) == (1024, 1024)
    assert (limits.max_attribute_length, limits.max_span_attribute_length) == (None, None)
    span("one")
    assert fanout.flush()
    [arrived] = server.spans
    assert arrived.resource["service.name"] == "program", "the file's"
    assert arrived.resource["team"] == "a", "the environment's, through the plan, where the file says nothing"
    assert arrived.resource["telemetry.sdk.language"] == "python"
    assert arrived.resource["service.instance.id"]


def test_the_files_limits_are_the_providers(write_file: FILE, server: OtlpServer) -> None:
    config = write_file(
        server.endpoint, "[limits]\nattribute_count_limit = 3\nattribute_value_length_limit = 4"
    )
    fanout = install_from_config(config)
    span("one", a="123456", b=1, c=2, d=3)
    fanout.flush()
    [arrived] = server.spans
    assert len(arrived.attributes) == 3
    assert all(len(text) <= 4 for text in arrived.attributes.values() if isinstance(text, str))


def test_a_span_of_two_thousand_attributes_is_whole(write_file: FILE, server: OtlpServer) -> None:
    fanout = install_from_config(write_file(server.endpoint))
    span("chat", **{f"message.{n}": n for n in range(2000)})
    fanout.flush()
    assert len(server.spans[0].attributes) == 2000


def test_without_set_global_any_number_stand_side_by_side(
    write_file: FILE, server: OtlpServer, second: OtlpServer
) -> None:
    one = install_from_config(write_file(server.endpoint, name="one.toml"), set_global=False)
    two = install_from_config(write_file(second.endpoint, name="two.toml"), set_global=False)
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    span("for one", one.provider)
    span("for two", two.provider)
    assert one.shutdown()
    assert two.flush()
    assert [[span.name for span in each.spans] for each in (server, second)] == [["for one"], ["for two"]]


# -- which file --------------------------------------------------------------------------------------------


def test_the_file_in_use_is_said_once(write_file: FILE, server: OtlpServer, log: Any) -> None:
    config = write_file(server.endpoint)
    install_from_config(config)
    install_from_config(config)
    assert len([line for line in log() if str(config) in line]) == 1


@pytest.mark.parametrize("named", ["argument", "variable", "working folder"])
def test_the_file_is_the_argument_else_the_variables_else_the_one_in_the_working_folder(
    named: str, write_file: FILE, server: OtlpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_file(server.endpoint, name="tracing.toml" if named == "working folder" else "other.toml")
    if named == "variable":
        monkeypatch.setenv("AJOLO_FANOUT_CONFIG", str(config))
    fanout = install_from_config(str(config) if named == "argument" else None)
    assert fanout.plan.path is not None
    assert fanout.plan.path.resolve() == config.resolve()


def test_the_same_file_again_gives_the_same_fanout(write_file: FILE, server: OtlpServer) -> None:
    config = write_file(server.endpoint)
    link = config.with_name("link.toml")
    link.symlink_to(config)
    fanout = install_from_config(config)
    assert install_from_config() is fanout
    assert install_from_config(link) is fanout


def test_another_file_is_an_error_that_says_so(write_file: FILE, server: OtlpServer) -> None:
    install_from_config(write_file(server.endpoint, name="one.toml"))
    with pytest.raises(
        InstallError, match=r"one\.toml is installed in this process already, and .*two\.toml is another file"
    ):
        install_from_config(write_file(server.endpoint, name="two.toml"))


def test_after_shutdown_a_new_call_attaches_to_our_own_earlier_provider(
    write_file: FILE, server: OtlpServer, second: OtlpServer, log: Any
) -> None:
    first = install_from_config(write_file(server.endpoint, name="one.toml"))
    tracer = trace.get_tracer("kept by the program")
    with tracer.start_as_current_span("first"):
        pass
    assert first.shutdown()
    again = install_from_config(
        write_file(
            second.endpoint, '[resource]\n"team" = "b"', name="two.toml", backend="sampling.ratio = 1.0"
        )
    )
    assert again is not first
    assert again.provider is first.provider is trace.get_tracer_provider()
    with tracer.start_as_current_span("second"):
        pass
    assert again.flush()
    assert [one.name for one in server.spans] == ["first"]
    assert [(one.name, one.resource["team"]) for one in second.spans] == [("second", "b")]
    assert log(logging.WARNING) == [], "our own provider is as the file wants it: nothing to warn of"
    processors = sdk_internals.span_processors(again.provider)
    assert processors is not None
    assert len(processors) == 1, "the stopped processor is gone"


def test_a_processor_that_came_between_two_installations_is_named(
    write_file: FILE, server: OtlpServer, log: Any
) -> None:
    """Nobody of ours was there to see it come. What has been named needn't be again."""
    file = write_file(server.endpoint)
    install_from_config(file).shutdown()
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    again = install_from_config(file)
    again.health()
    [line] = [one for one in log(logging.WARNING) if "another span processor" in one]
    assert "SimpleSpanProcessor" in line
    assert "InMemorySpanExporter" in line
    again.shutdown()
    install_from_config(file).health()
    assert [one for one in log(logging.WARNING) if "another span processor" in one] == [line], (
        "once is enough"
    )


def test_a_new_installation_on_our_provider_samples_as_the_new_file_says(
    write_file: FILE, server: OtlpServer, second: OtlpServer
) -> None:
    nothing = write_file(server.endpoint, name="one.toml", backend="sampling.ratio = 0.0")
    first = install_from_config(nothing)
    tracer = trace.get_tracer("kept by the program")
    tracer.start_span("never recorded").end()
    assert first.health().backends["here"].counts.never_recorded == 1
    first.shutdown()
    again = install_from_config(write_file(second.endpoint, name="two.toml"))
    tracer.start_span("recorded").end()
    assert again.flush()
    assert [one.name for one in second.spans] == ["recorded"]
    assert again.health().backends["here"].counts.never_recorded == 0


# -- attaching ---------------------------------------------------------------------------------------------


@pytest.fixture
def theirs() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    """An SDK provider that was set before us, with its own way of sending."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        sampler=sampling.ParentBased(sampling.ALWAYS_ON),
        resource=Resource({"service.name": "theirs", "kept": "yes"}),
        span_limits=SpanLimits(max_span_attributes=64),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield provider, exporter
    provider.shutdown()


def test_attaches_to_the_sdk_provider_that_is_there_and_stops_only_its_own_part(
    theirs: tuple[TracerProvider, InMemorySpanExporter], write_file: FILE, server: OtlpServer
) -> None:
    provider, exporter = theirs
    early = provider.get_tracer("made before us")
    fanout = install_from_config(write_file(server.endpoint))
    assert fanout.provider is provider is trace.get_tracer_provider()
    early.start_span("both").end()
    assert fanout.shutdown()
    early.start_span("theirs alone").end()
    assert [one.name for one in server.spans] == ["both"]
    assert [one.name for one in exporter.get_finished_spans()] == ["both", "theirs alone"]


def test_attached_the_files_resource_is_laid_over_each_spans_and_theirs_stays_as_it_was(
    theirs: tuple[TracerProvider, InMemorySpanExporter], write_file: FILE, server: OtlpServer
) -> None:
    fanout = install_from_config(write_file(server.endpoint, '[resource]\n"team" = "agents"'))
    span("one")
    fanout.flush()
    resource = server.spans[0].resource
    assert (resource["service.name"], resource["team"], resource["kept"]) == ("program", "agents", "yes")
    assert dict(theirs[1].get_finished_spans()[0].resource.attributes)["service.name"] == "theirs"


def test_attaching_warns_once_of_what_cannot_apply_and_of_the_other_processors(
    theirs: tuple[TracerProvider, InMemorySpanExporter], write_file: FILE, server: OtlpServer, log: Any
) -> None:
    install_from_config(write_file(server.endpoint))
    [warning] = log(logging.WARNING)
    for part in ("sampler (ParentBased", "weight", "64 attributes", "[limits]"):
        assert part in warning
    assert "keep sending: SimpleSpanProcessor (opentelemetry.sdk.trace.export.in_memory" in warning


def test_a_file_without_a_service_name_does_not_rename_the_service_of_a_provider_it_attaches_to(
    theirs: tuple[TracerProvider, InMemorySpanExporter], folder: Path, server: OtlpServer
) -> None:
    config = folder / "unnamed.toml"
    config.write_text(f'schema = 1\n[backends.here]\ntype = "otlp"\nendpoint = "{server.endpoint}"\n')
    fanout = install_from_config(config)
    span("one")
    fanout.flush()
    assert server.spans[0].resource["service.name"] == "theirs"


def test_their_shutdown_delivers_and_stops_ours(
    theirs: tuple[TracerProvider, InMemorySpanExporter], write_file: FILE, server: OtlpServer
) -> None:
    fanout = install_from_config(write_file(server.endpoint))
    span("one")
    theirs[0].shutdown()
    assert [one.name for one in server.spans] == ["one"]
    assert fanout.stopped


class Foreign(trace.TracerProvider):
    """A provider that isn't the SDK's."""

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return trace.NoOpTracer()


def test_a_provider_that_is_not_the_sdks_is_refused_by_name(write_file: FILE, server: OtlpServer) -> None:
    trace.set_tracer_provider(Foreign())
    with pytest.raises(InstallError, match=r"Foreign, which is no opentelemetry\.sdk\.trace\.TracerProvider"):
        install_from_config(write_file(server.endpoint))
    assert install_from_config(write_file(server.endpoint), set_global=False).provider is not None


def test_a_provider_that_another_thread_sets_meanwhile_is_attached_to(
    write_file: FILE, server: OtlpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TracerProvider(shutdown_on_exit=False)
    real = trace.set_tracer_provider

    def too_late(provider: TracerProvider) -> None:
        real(other)
        assert provider is not other

    monkeypatch.setattr(trace, "set_tracer_provider", too_late)
    fanout = install_from_config(write_file(server.endpoint))
    assert fanout.provider is other is trace.get_tracer_provider()
    span("one")
    assert fanout.flush()
    assert [one.name for one in server.spans] == ["one"]


# -- inert -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", " TRUE "), ("AJOLO_FANOUT_CONFIG", "off")],
    ids=["disabled", "off"],
)
def test_disabled_it_is_inert_and_says_so_once(
    name: str, value: str, write_file: FILE, server: OtlpServer, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    write_file(server.endpoint)
    monkeypatch.setenv(name, value)
    threads = set(threading.enumerate())
    fanout = install_from_config()
    install_from_config()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider), "nothing was installed"
    assert not set(threading.enumerate()) - threads  # of which an earlier test's may be ending just now
    assert len([line for line in log() if name in line]) == 1
    assert type(fanout.provider) is TracerProvider
    span("one", fanout.provider)
    assert fanout.flush()
    assert dict(fanout.health().backends) == dict(fanout.processors) == {}
    assert fanout.plan.backends == ()
    assert fanout.shutdown()
    assert not server.requests


# -- mistakes ----------------------------------------------------------------------------------------------


def test_a_wrong_file_raises_with_every_problem(write_file: FILE, server: OtlpServer) -> None:
    config = write_file(server.endpoint, "[shutdwn]", backend="timeout = 3")
    with pytest.raises(ConfigError) as caught:
        install_from_config(config)
    assert len(caught.value.problems) >= 2
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_with_warn_the_backends_that_are_right_run(write_file: FILE, server: OtlpServer, log: Any) -> None:
    broken = '\n[backends.broken]\ntype = "otlp"\nendpoint = "no scheme"\n'
    fanout = install_from_config(write_file(server.endpoint, backend=broken), on_error="warn")
    assert list(fanout.processors) == ["here"]
    assert any("broken" in line for line in log(logging.WARNING))
    span("one")
    assert fanout.flush()
    assert [one.name for one in server.spans] == ["one"]


@pytest.mark.parametrize("content", [None, "schema = [", "schema = 1\n[backends]\n"])
def test_with_warn_a_useless_file_leaves_the_program_running_without_any(
    content: str | None, folder: Path, log: Any
) -> None:
    config = folder / "tracing.toml"
    if content is not None:
        config.write_text(content)
    fanout = install_from_config(config, on_error="warn")
    assert fanout.flush()
    assert dict(fanout.processors) == {}
    assert any("tracing.toml" in line for line in log(logging.ERROR))
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_on_error_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="on_error"):
        install_from_config(on_error="ignore")  # type: ignore[arg-type]


def test_a_warning_of_the_plan_is_logged_once(
    write_file: FILE, server: OtlpServer, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere.example:4318")
    for number in range(2):
        install_from_config(write_file(server.endpoint, name=f"{number}.toml"), set_global=False)
    assert len([line for line in log(logging.WARNING) if "OTEL_EXPORTER_OTLP_ENDPOINT" in line]) == 1
    assert not any("elsewhere" in line for line in log())
