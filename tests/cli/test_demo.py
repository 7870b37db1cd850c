"""`ajolo-fanout demo`: what it shows, and that its verdict is earned."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import attrs
import pytest
from rich.console import Console

from ajolo_fanout.cli.demo import Got, Run, judge, run_example
from ajolo_fanout.cli.demo_view import Display, show

BACKENDS = ["datadog", "langfuse", "tempo", "honeycomb", "datadog_agent"]


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own, with nothing ambient but `environ`."""
    return subprocess.run(
        [sys.executable, "-m", "ajolo_fanout", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", **environ},
    )


def quiet_display() -> Display:
    return Display(Console(file=io.StringIO(), width=80), live=False)


@pytest.fixture(scope="module")
def run() -> Run:
    """One real run of the example against five fakes."""
    return run_example(quiet_display())


def row(output: str, backend: str) -> list[str]:
    """The cells of a backend's line in the table of arrivals."""
    [line] = [line for line in output.splitlines() if line.split()[:1] == [backend]]
    return line.split()


def test_the_command_ends_well_in_time_and_shows_what_arrived() -> None:
    """Exit 0 under 15 s, one row a backend, and the file's own numbers: a fifth here, everything there."""
    began = time.monotonic()
    done = command("demo", COLUMNS="80")
    assert time.monotonic() - began < 15
    assert (done.returncode, done.stderr) == (0, "")
    for backend in BACKENDS:
        assert row(done.stdout, backend)[-1] == "yes"
    _, spans, traces, sampled_out, redacted, _, _ = row(done.stdout, "langfuse")
    assert (spans, traces, sampled_out, redacted) == ("67", "14", "0", "0")
    _, spans, traces, sampled_out, redacted, _, _ = row(done.stdout, "datadog")
    assert int(spans) + int(sampled_out) == 67
    assert 0 < int(traces) < 13
    assert int(redacted) > 0
    assert "Every backend got exactly what the file says" in done.stdout


def test_one_span_stands_side_by_side(run: Run) -> None:
    """The content is gone where it is redacted, there elsewhere; what a backend adds stands in its column."""
    output = shown(run, 140)
    prompt = next(line for line in output.splitlines() if "gen_ai.prompt" in line)
    assert prompt.split()[-5:] == ["gone", "sent", "sent", "gone", "gone"]
    assert "You tell the weather" in prompt
    assert (
        next(line for line in output.splitlines() if "gen_ai.request.model" in line).split().count("sent")
        == 5
    )
    assert "deployment.region = eu-west-1" in output
    assert "agent.route = host" in output


def shown(run: Run, width: int) -> str:
    out = io.StringIO()
    show(run, judge(run), Console(file=out, width=width, highlight=False))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_line_is_wider_than_the_terminal(run: Run, width: int) -> None:
    lines = shown(run, width).splitlines()
    path = str(run.file)  # one piece, so that it can be copied
    assert all(len(line) <= width for line in lines if line != path)


def test_names_of_backends_are_whole_at_80_columns(run: Run) -> None:
    for backend in BACKENDS:
        assert row(shown(run, 80), backend)


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_a_terminal_there_is_no_escape_and_no_bar(environ: dict[str, str]) -> None:
    done = command("demo", **environ)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout


def test_it_works_where_output_is_ascii() -> None:
    done = command("demo", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert row(done.stdout, "tempo")[-1] == "yes"


def test_the_machines_own_environment_changes_nothing() -> None:
    """Switched-off SDKs, sites, foreign endpoints and proxies of this machine are not the demo's."""
    done = command(
        "demo",
        OTEL_SDK_DISABLED="true",
        OTEL_TRACES_SAMPLER="always_off",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        DD_SITE="nonsense",
        DD_API_KEY="a-real-key",
        http_proxy="http://127.0.0.1:9",
        grpc_proxy="http://127.0.0.1:9",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "a-real-key" not in done.stdout


def test_a_real_run_is_judged_good(run: Run) -> None:
    assert judge(run) == {backend: [] for backend in BACKENDS}


def with_arrived(run: Run, backend: str, change: object) -> Run:
    """The run, as it would be had `change` befallen what arrived at `backend`."""

    def changed(got: Got) -> Got:
        return attrs.evolve(got, arrived=change(got.arrived)) if got.backend.name == backend else got  # type: ignore[operator]

    return attrs.evolve(run, got=[changed(got) for got in run.got])


def lose_one(arrived: Sequence[object]) -> Sequence[object]:
    return arrived[1:]


def leak_a_prompt(arrived: Sequence[object]) -> Sequence[object]:
    first, *others = arrived
    leaking = attrs.evolve(first, attributes={**first.attributes, "gen_ai.prompt": "the secret recipe"})  # type: ignore[attr-defined,misc]
    return [leaking, *others]


@pytest.mark.parametrize(
    ("change", "told"), [(lose_one, "didn't arrive"), (leak_a_prompt, "gen_ai.prompt arrived")]
)
def test_a_lost_span_or_a_leaked_value_is_exit_1_and_said(
    run: Run, change: object, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real command on a run in which one backend's arrivals are not what they should be."""
    from ajolo_fanout.cli import demo as module

    spoilt = with_arrived(run, "datadog", change)
    monkeypatch.setattr(module, "run_example", lambda _: spoilt)
    with pytest.raises(SystemExit) as ended:
        module.demo.main([], prog_name="demo")
    output = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 1
    assert "datadog did not get what the file says" in output
    assert told in output
    assert "recipe" not in output
    assert "Every backend got exactly" not in output


def test_time_that_runs_out_is_no_success() -> None:
    """With no time to send, spans are missing, and the verdict says so."""
    assert any(judge(run_example(quiet_display(), limit=0.0)).values())


def test_a_terminal_gets_bars_and_colours() -> None:
    """On a terminal a bar moves for each backend; when it is done the bars are gone."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system="standard")
    display = Display(console, live=True)
    with display.progress({"datadog": 2, "tempo": 4}) as tell:
        tell({"datadog": 2, "tempo": 1})
    assert "datadog" in out.getvalue()
    assert "2/2" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_no_color_means_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard output for a terminal
    assert not Display.for_this_terminal().live


def test_help_documents_the_exit_codes() -> None:
    for arguments in (["--help"], ["demo", "--help"]):
        done = command(*arguments)
        assert done.returncode == 0
        assert "Exit codes:" in done.stdout


@pytest.mark.parametrize("arguments", [["nothing"], ["demo", "--nothing"], ["demo", "more"]])
def test_a_wrong_command_line_is_exit_2_without_a_traceback(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Usage:" in done.stderr
