"""`OtelCollector` itself: how it is run, what it is told, what is left of it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import docker
import pytest
from testcontainers.core.config import testcontainers_config

from ajolo_fanout.testing import BasicAuth, BearerToken, CollectorUnavailable, OtelCollector, Tls, make_tls
from ajolo_fanout.testing.collector import DEFAULT_IMAGE
from ajolo_fanout.testing.collector_run import Ports

from .conftest import CHECKOUT, PROVIDE_ENGINE
from .support import PROTOCOLS, Write, at, fanned_out

NO_ENGINE = "unix:///nonexistent/docker.sock"
NO_IMAGE = "ajolo-fanout.invalid/nothing:1"

Start = Callable[..., OtelCollector]


def names(collector: OtelCollector) -> list[str]:
    return sorted(span.name for span in collector.spans)


def test_what_is_sent_to_it_is_read_back_over_both_protocols(
    otel_collector: OtelCollector, write: Write
) -> None:
    http, grpc = (at(otel_collector, protocol) for protocol in PROTOCOLS)
    fanout = fanned_out(write(f"[backends.a]\n{http}[backends.b]\n{grpc}"), "first", "second")
    assert [one.counts.delivered for one in fanout.health().backends.values()] == [2, 2]
    otel_collector.wait_for_spans(4)
    assert names(otel_collector) == ["first", "first", "second", "second"]
    otel_collector.stop()
    assert names(otel_collector) == ["first", "first", "second", "second"], "they stay after its end"
    assert "Everything is ready" in otel_collector.log


def test_two_at_once_get_each_its_own(start: Start, write: Write) -> None:
    one, other = start(), start()
    fanned_out(write(f"[backends.one]\n{at(one)}"), "for one")
    fanned_out(write(f"[backends.other]\n{at(other)}"), "for the other")
    one.wait_for_spans(1)
    other.wait_for_spans(1)
    assert (names(one), names(other)) == (["for one"], ["for the other"])


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (BearerToken("$ecr3t-${env:HOME}"), {"authorization": "Bearer $$ecr3t-$${env:HOME}"}),
        (BasicAuth("me", "pa$$word"), {"authorization": "Basic bWU6cGEkJHdvcmQ="}),
        (BearerToken("k3y", header="x-api-key", scheme=""), {"x-api-key": "k3y"}),
    ],
    ids=["bearer", "basic", "a key in a header of its own"],
)
def test_it_refuses_who_has_not_what_it_asks_for(
    auth: Any, headers: dict[str, str], start: Start, write: Write
) -> None:
    """The text is taken as it is, whatever the Collector's own language would make of it."""
    collector = start(auth=auth)
    parts = [
        f"[backends.{name}_{protocol[0]}]\n{at(collector, protocol, headers=given)}"
        for protocol in PROTOCOLS
        for name, given in (("right", headers), ("wrong", dict.fromkeys(headers, "nonsense")))
    ]
    counts = {
        name: one.counts for name, one in fanned_out(write("".join(parts)), "it").health().backends.items()
    }
    assert {name: (one.delivered, dict(one.lost)) for name, one in counts.items()} == {
        "right_h": (1, {}),
        "wrong_h": (0, {"rejected": 1}),
        "right_g": (1, {}),
        "wrong_g": (0, {"rejected": 1}),
    }
    collector.stop()
    assert names(collector) == ["it", "it"]
    assert "ecr3t" not in repr(auth)
    assert "pa$$word" not in repr(auth)


def test_over_tls_and_at_a_path_of_its_own(start: Start, write: Write, tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    collector = start(tls=tls, path="/api/otel")
    trusting = {"tls__ca_file": tls.ca_file, "headers": {}}
    http, grpc = (at(collector, protocol, **trusting) for protocol in PROTOCOLS)
    http = http.replace(collector.http_endpoint, f"{collector.http_endpoint}/api/otel")
    fanned_out(write(f"[backends.a]\n{http}[backends.b]\n{grpc}"), "it")
    assert collector.http_endpoint.startswith("https://127.0.0.1:")
    collector.wait_for_spans(2)


def test_its_configuration_can_be_laid_over(start: Start, write: Write) -> None:
    """In the Collector's own keys: here a processor that renames what comes."""
    rename = {"trace_statements": [{"context": "span", "statements": ['set(name, "renamed")']}]}
    pipelines = {"traces": {"processors": ["transform"]}}
    collector = start(config={"processors": {"transform": rename}, "service": {"pipelines": pipelines}})
    fanned_out(write(f"[backends.one]\n{at(collector)}"), "it")
    assert [span.name for span in collector.wait_for_spans(1)] == ["renamed"]


def test_a_configuration_that_it_refuses_is_told_in_its_own_words(start: Start) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)ended at its start.*no_such_processor"):
        start(config={"processors": {"no_such_processor": {}}})


def test_waiting_in_vain_says_what_had_arrived_and_what_the_collector_said(
    otel_collector: OtelCollector,
) -> None:
    with pytest.raises(TimeoutError, match=r"(?s)0 spans had arrived.*Everything is ready"):
        otel_collector.wait_for_spans(1, timeout=0.1)


def test_restarted_it_has_its_ports_and_its_spans(start: Start, write: Write) -> None:
    collector = start()
    path = write(f"[backends.one]\n{at(collector)}")
    fanned_out(path, "before")
    before = collector.http_endpoint
    collector.restart()
    assert collector.http_endpoint == before
    fanned_out(path, "after")
    collector.wait_for_spans(2)
    assert names(collector) == ["after", "before"]


def test_waiting_for_one_that_does_not_run_says_so() -> None:
    with pytest.raises(TimeoutError, match="the Collector isn't running"):
        OtelCollector().wait_for_spans(1, timeout=0.1)


@pytest.mark.usefixtures("otel_collector")  # one can be started here
def test_one_that_nobody_stopped_ends_with_the_program() -> None:
    code = "from ajolo_fanout.testing import OtelCollector as C; c = C().start(); print(c.folder, c.http_endpoint)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    folder, endpoint = done.stdout.split()
    assert not Path(folder).exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))


@pytest.mark.usefixtures("otel_collector")  # one can be started here
def test_the_exit_of_a_forked_child_leaves_it_running() -> None:
    """Children of fork deliver when they end: to find that out is what a test may start it for."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["[]", "True"], done.stderr


FORKS = """
import os, sys
from ajolo_fanout.testing import OtelCollector
with OtelCollector() as collector:
    if not os.fork():
        sys.exit()  # through the end of the `with`, and atexit
    os.wait()
    print(collector.spans, collector.folder.exists())
"""


def test_one_that_cannot_be_set_up_leaves_no_folder_behind(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    absent = tmp_path / "absent.pem"
    with pytest.raises(FileNotFoundError):
        start(tls=Tls(absent, absent, absent, absent, absent))
    assert list(tmp_path.iterdir()) == []


def test_the_usual_image_is_of_the_version_that_is_built_here() -> None:
    """What is proven with the one holds for the other."""
    recipe = (CHECKOUT / "tests/collector/builder.yaml").read_text(encoding="utf-8")
    version = DEFAULT_IMAGE.rpartition(":")[2]
    assert f"\n  version: {version}\n" in recipe
    others = re.findall(
        r"(?:contrib|collector)/(?:receiver|exporter|processor|connector|extension)/.* v(.+)", recipe
    )
    assert set(others) == {version}


# -- in a container ---------------------------------------------------------------------------------------


def runs_in_container(collector: OtelCollector) -> None:
    """Skips where it runs as a process: without an engine, or with one that hasn't the image."""
    if collector.way != "container":
        pytest.skip(f"it runs as a process. This has it in a container: {PROVIDE_ENGINE}")


@pytest.fixture
def contained(start: Start) -> Iterator[tuple[OtelCollector, Any]]:
    """A Collector and its container, as Docker's own client has it."""
    collector = start()
    runs_in_container(collector)
    client = docker.from_env()
    folder = collector.folder.as_posix()
    [container] = [one for one in client.containers.list(ignore_removed=True) if folder in str(one.attrs)]
    yield collector, container
    collector.stop()
    client.close()


def test_a_container_is_open_to_this_machine_only_and_leaves_nothing_behind(
    contained: tuple[OtelCollector, Any],
) -> None:
    collector, container = contained
    published = [binding for some in container.ports.values() if some for binding in some]
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
    assert container.attrs["Config"]["User"].partition(":")[0] == "10001"
    collector.stop()
    with pytest.raises(docker.errors.NotFound):
        container.reload()
    assert not collector.folder.parent.exists()


def test_a_container_that_somebody_removes_is_told_and_leaves_nothing_behind(
    contained: tuple[OtelCollector, Any],
) -> None:
    collector, container = contained
    container.remove(force=True)
    with pytest.raises(TimeoutError, match=r"(?s)isn't running.*somebody else has removed"):
        collector.wait_for_spans(1, timeout=0.1)
    collector.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert not collector.folder.parent.exists()


def test_an_image_that_somebody_named_is_not_passed_over(
    engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another Collector in its place would prove something else."""
    monkeypatch.setenv("AJOLO_COLLECTOR_IMAGE", NO_IMAGE)
    with pytest.raises(RuntimeError, match=NO_IMAGE) as caught:
        OtelCollector().start()
    assert not isinstance(caught.value, CollectorUnavailable)
    with pytest.raises(RuntimeError, match="Docker can't look for the image 'No Image'"):
        OtelCollector("No Image").start()


def test_where_the_usual_image_cannot_be_pulled_the_program_is_run(
    engine: None, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where there is no program either, that is said: nobody has named an image that would have to be there."""
    monkeypatch.setattr(testcontainers_config, "hub_image_name_prefix", "ajolo-fanout.invalid/")
    monkeypatch.delenv("AJOLO_COLLECTOR_IMAGE", raising=False)
    monkeypatch.setenv("AJOLO_COLLECTOR_BINARY", str(binary))
    with OtelCollector() as collector:
        assert collector.way == "process"
    monkeypatch.delenv("AJOLO_COLLECTOR_BINARY")
    with pytest.raises(CollectorUnavailable, match="can't be pulled"):
        OtelCollector().start()


@pytest.mark.parametrize("way", ["container", "process"])
def test_a_port_that_somebody_takes_in_the_last_moment_is_given_up(
    way: str, request: pytest.FixtureRequest, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = OtelCollector(binary=request.getfixturevalue("binary")) if way == "process" else start()
    if way == "container":
        runs_in_container(collector)
    collector.stop()
    free = Ports.free
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = attrs.evolve(free(), http=somebody.getsockname()[1])
        offers = iter([taken])
        monkeypatch.setattr(Ports, "free", lambda: next(offers, None) or free())
        with collector:
            assert list(offers) == []
            assert collector.way == way
            assert not collector.http_endpoint.endswith(f":{taken.http}")


# -- as a process -----------------------------------------------------------------------------------------


def test_where_no_engine_answers_the_same_runs_as_a_process(
    binary: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    monkeypatch.setenv("AJOLO_COLLECTOR_BINARY", str(binary))
    with OtelCollector() as collector:
        assert collector.way == "process"
        fanned_out(write(f"[backends.one]\n{at(collector, 'grpc')}"), "it")
        collector.restart()
        assert [span.name for span in collector.wait_for_spans(1)] == ["it"]
    assert not collector.folder.parent.exists()


def test_the_program_that_is_named_is_run_whatever_else_is_there(
    binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OtelCollector(binary=binary) as collector:
        assert collector.way == "process"
    monkeypatch.chdir(binary.parent)
    for relative in (f"./{binary.name}", Path(binary.name)):
        with OtelCollector(binary=relative) as collector:
            assert collector.way == "process"
    with pytest.raises(RuntimeError, match="can't be run: No such file"):
        OtelCollector(binary="/nonexistent/otelcol").start()
    with pytest.raises(ValueError, match="both can't be run"):
        OtelCollector("an-image", binary=binary)


# -- where there is neither -------------------------------------------------------------------------------


@pytest.fixture
def _nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    monkeypatch.delenv("AJOLO_COLLECTOR_BINARY", raising=False)


@pytest.mark.usefixtures("_nothing_there")
def test_without_engine_and_program_it_says_what_would_help() -> None:
    with pytest.raises(CollectorUnavailable, match=r"no Docker engine answers.*AJOLO_COLLECTOR_BINARY"):
        OtelCollector().start()
    with pytest.raises(CollectorUnavailable, match=r"an-image was asked for, and is run in a container only"):
        OtelCollector("an-image").start()


@pytest.mark.usefixtures("_nothing_there")
def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker.errors", None)
    with pytest.raises(
        CollectorUnavailable,
        match=r"package docker.errors isn't installed: pip install 'ajolo-fanout\[testing\]'",
    ):
        OtelCollector().start()


@pytest.mark.usefixtures("_nothing_there")
def test_the_fixture_skips_then_and_says_the_same(tmp_path: Path) -> None:
    code, said = pytest_on(
        "def test_it(otel_collector):\n    raise AssertionError('not reached')\n", tmp_path
    )
    assert code == 0, said
    assert "1 skipped" in said
    assert "AJOLO_COLLECTOR_BINARY" in said


@pytest.mark.usefixtures("otel_collector")  # one can be started here
def test_when_a_test_fails_the_collectors_log_is_shown(tmp_path: Path) -> None:
    code, said = pytest_on("def test_it(otel_collector):\n    raise AssertionError('it failed')\n", tmp_path)
    assert code == 1, said
    assert "it failed" in said
    assert "Everything is ready" in said


def pytest_on(text: str, folder: Path) -> tuple[int, str]:
    """The end and the output of a test run of somebody else's project."""
    file = folder / "test_it.py"
    file.write_text(text, encoding="utf-8")
    plugins = ["-p", "ajolo_fanout.testing.pytest_plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "-rs", *plugins, str(file)]
    env = {**os.environ, "COLUMNS": "1000", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others' take seconds
    done = subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout
