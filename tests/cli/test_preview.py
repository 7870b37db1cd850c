"""`ajolo-fanout preview` and `explain`: what is printed, that it is private, and that it steers no terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ajolo_fanout.cli.main import cli
from ajolo_fanout.cli.output import Output
from ajolo_fanout.cli.preview_view import show
from ajolo_fanout.config.document import load
from ajolo_fanout.plan.placeholders import resolve_with_placeholders
from ajolo_fanout.replay.recording import recorded_agents
from ajolo_fanout.replay.replay import replay
from ajolo_fanout.testing import recorded_spans

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "tracing.toml")
TRACE = "0af7651916cd43dd8448eb211c80319c"
CONFIG = """schema = 1
[service]
name = "x"
[backends.a]
type = "console"
select.exclude = [{ name = "GET *" }]
select.orphans = "reparent"
redaction.content = "drop"
redaction.detect = ["email"]
processors = [{ type = "set", attributes = { team = "agents" } }, { type = "rename", attributes = { old = "new" } }]
[backends.b]
type = "console"
sampling.ratio = 0
[backends.c]
type = "console"
enabled = false
"""


def _span(number: int, name: str, parent: int = 0, **attributes: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "name": name,
        "startTimeUnixNano": str(10**18 + number),
        "endTimeUnixNano": str(10**18 + 10**6 - number),
        "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in attributes.items()],
    }
    return {**made, "parentSpanId": f"{parent:016x}"} if parent else made


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tracing.toml").write_text(CONFIG, encoding="utf-8")
    spans = [
        _span(1, "agent"),
        _span(2, "GET /x", 1),
        _span(
            3,
            "chat to me@example.com",
            2,
            note="write to you@example.com",
            old="1",
            **{"gen_ai.prompt": "hush"},
        ),
    ]
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "s"}, "spans": spans}]}]})
    Path("spans.jsonl").write_text(text, encoding="utf-8")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_a_preview_is_a_tree_with_differences() -> None:
    ran = _run("preview", "--spans", "spans.jsonl")
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == (
        "tracing.toml, 3 spans of spans.jsonl in 1 trace\n"
        "\n"
        "a: 2 of 3 spans sent, 2 changed, 3 values redacted\n"
        "│  1 filtered by select.exclude[0] (tracing.toml:6)\n"
        'every one: + team = "agents"  [processors[0] set]\n'.replace("every", "│  every")
        + "└─ 0af76519…\n"
        "   └─ agent  sent\n"
        "      └─ GET /x  filtered by select.exclude[0] (tracing.toml:6)\n"
        "         └─ chat to [email]  sent, hangs from 0000000000000001\n"
        '               + new = "1"  [processors[1] rename]\n'
        "               - old  [processors[1] rename]\n"
        "               x name: email by redaction.detect (tracing.toml:9)\n"
        "               x note: email by redaction.detect (tracing.toml:9)\n"
        "               x gen_ai.prompt: content by redaction.content (tracing.toml:8)\n"
        '               ~ parent = "0000000000000002" → "0000000000000001"\n'
        "\n"
        "b: 0 of 3 spans sent\n"
        "│  3 sampled out by sampling.ratio (tracing.toml:13)\n"
        "└─ 0af76519…\n"
        "   3 spans, sampled out by sampling.ratio (tracing.toml:13)\n"
        "\n"
        "c: off, enabled = false\n"
    )


def test_one_backend_alone() -> None:
    """What others keep out of their view is then nowhere in it."""
    ran = _run("preview", "--backend", "b", "--spans", "spans.jsonl")
    assert "\na: " not in ran.stdout
    assert "\nb: " in ran.stdout


def test_an_explanation_goes_step_by_step() -> None:
    ran = _run("explain", "--span", "0000000000000003", "--spans", "spans.jsonl")
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == (
        f"chat to [email], span 0000000000000003 of trace {TRACE}\n"
        "\n"
        "a: sent\n"
        "  select        none of select.exclude means it\n"
        "  sampling      all traces\n"
        "  orphans       hangs from 0000000000000001 by select.orphans (tracing.toml:7)\n"
        "  set           processors[0] (tracing.toml:10)\n"
        '                + team = "agents"\n'
        "  rename        processors[1] (tracing.toml:10)\n"
        '                + new = "1"\n'
        "                - old\n"
        "  redaction     x name: email by redaction.detect (tracing.toml:9)\n"
        "                x note: email by redaction.detect (tracing.toml:9)\n"
        "                x gen_ai.prompt: content by redaction.content (tracing.toml:8)\n"
        '  added         ~ parent = "0000000000000002" → "0000000000000001"\n'
        "\n"
        "b: sampled out by sampling.ratio (tracing.toml:13)\n"
        "  select        every span\n"
        "  sampling      left out by sampling.ratio = 0 (tracing.toml:13)\n"
        "                this trace is in from a ratio of 0.715 on\n"
        "\n"
        "c: off, enabled = false\n"
    )


def test_spans_that_fare_alike_are_told_once() -> None:
    ran = _run("explain", EXAMPLE, "--name", "execute_tool *")
    assert ran.exit_code == 0
    ids = set(re.findall(r"span ([0-9a-f]{16}) of trace", ran.stdout))
    tools = [span for span in recorded_spans() if span.name.startswith("execute_tool")]
    assert ids <= {f"{span.context.span_id:016x}" for span in tools}
    assert "spans that fare alike:" in ran.stdout
    assert 'kept by the rule "errors" (' in ran.stdout


def test_the_same_as_json_shows_nothing_that_is_redacted() -> None:
    explained = _run("explain", "--name", "*", "--spans", "spans.jsonl", "--json")
    previewed = _run("preview", "--spans", "spans.jsonl", "--backend", "a", "--json")
    made, shown = json.loads(explained.stdout), json.loads(previewed.stdout)
    assert [one["name"] for one in made] == ["chat to [email]", "GET /x", "agent"]
    first = made[0]["backends"]["a"]
    assert (first["fate"], first["new_parent"]) == ("sent", "0000000000000001")
    assert {one["reason"] for one in first["redactions"]} == {"content", "email"}
    assert [step["name"] for step in first["steps"]][:3] == ["select", "sampling", "orphans"]
    assert made[1]["backends"]["a"]["key"] == "select.exclude[0]"
    assert made[1]["backends"]["a"]["origin"] == "tracing.toml:6"
    assert [set(one["backends"]) for one in shown["spans"]] == [{"a"}] * 3
    for ran in (previewed, _run("preview", "--spans", "spans.jsonl", "--backend", "a")):
        assert not any(text in ran.output for text in ("hush", "you@example.com", "me@example.com"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["explain"], 2, "--span ID or --name GLOB"),
        (["explain", "--span", "1", "--name", "x"], 2, "one of the two"),
        (["explain", "--span", "77"], 2, "no span has the id 77 among the 67 recorded Ajolopy spans"),
        (
            ["explain", "--name", "chat gpt4"],
            2,
            "no name fits chat gpt4 among the 67 recorded Ajolopy spans;",
        ),
        (["explain", "--name", "x", "--spans", "no.jsonl"], 2, "no.jsonl: can't be read: No such file"),
        (["preview", "--spans", "tracing.toml"], 2, "tracing.toml:1: not JSON"),
        (["preview", "--backend", "aa"], 2, 'no backend aa; did you mean "a"?'),
        (["preview", "--backend", "c"], 2, "the backend c is off: enabled = false"),
        (["preview", "--html", "x.html", "--json"], 2, "two ways to print"),
        (["preview", "--html", "no/x.html"], 2, "can't be written: No such file or directory"),
        (["preview", "nowhere.toml"], 78, "there is no such file"),
        (["explain", "nowhere.toml", "--name", "x"], 78, "there is no such file"),
    ],
)
def test_mistakes_are_told_in_words(arguments: list[str], code: int, said: str) -> None:
    ran = _run(*arguments)
    assert ran.exit_code == code, ran.output
    assert said in " ".join(ran.stderr.split())


def test_what_is_unset_gets_a_placeholder_and_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own switch is about programs, not about this command."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    for command in (["preview"], ["explain", "--name", "agent.invoke *"]):
        ran = _run(command[0], EXAMPLE, *command[1:])
        assert ran.exit_code == 0
        assert "DD_API_KEY is unset or empty" in ran.stderr
        assert "datadog" in ran.stdout


def test_hostile_names_steer_no_terminal() -> None:
    text = (
        Path("spans.jsonl").read_text(encoding="utf-8").replace("GET /x", "\\u001b[31mGET\\u202e\\u0007 /x")
    )
    Path("spans.jsonl").write_text(text, encoding="utf-8")
    for command in (["preview"], ["explain", "--name", "*"]):
        ran = _run(*command, "--spans", "spans.jsonl")
        assert ran.exit_code == 0
        assert not re.search("[\x1b\x07\u202e]", ran.output)
        assert "\\u001b[31mGET" in ran.output


def test_a_page_wants_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    monkeypatch.delitem(__import__("sys").modules, "ajolo_fanout.replay.page", raising=False)
    ran = _run("preview", "--html", "x.html")
    assert ran.exit_code == 2
    assert "pip install 'ajolo-fanout[html]'" in ran.stderr


@pytest.mark.parametrize("width", [50, 80])
def test_nothing_is_wider_than_a_terminal(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Long lines go on under their beginning, inside the tree."""
    document = load(Path(EXAMPLE), "tracing.toml")
    plan, _ = resolve_with_placeholders(document, {})
    recorded = recorded_agents()
    show(replay(plan, recorded.spans), recorded, Output(width, terminal=True))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 100
    assert [line for line in lines if len(line) > width] == []


def test_a_recording_of_any_values_and_any_shape_is_shown() -> None:
    """Not-a-number, bytes, maps; 1,200 spans deep; a span that is its own parent."""
    spans: list[dict[str, Any]] = [_span(n, f"n{n}", n - 1) for n in range(1, 1201)]
    odd = _span(9, "odd", 9)
    odd["traceId"] = f"1{TRACE[1:]}"
    odd["attributes"] = [
        {"key": "nan", "value": {"doubleValue": "NaN"}},
        {"key": "bytes", "value": {"bytesValue": "AAEC"}},
        {"key": "empty"},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}},
    ]
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [*spans, odd]}]}]})
    Path("spans.jsonl").write_text(text, encoding="utf-8")
    for arguments in (["preview"], ["explain", "--name", "odd"], ["preview", "--html", "x.html"]):
        ran = _run(*arguments, "--spans", "spans.jsonl")
        assert ran.exit_code == 0, ran.output
    ran = _run("explain", "--name", "odd", "--spans", "spans.jsonl", "--json")
    json.loads(ran.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_file_whose_backends_are_all_off_says_so() -> None:
    Path("tracing.toml").write_text(
        'schema = 1\n[service]\nname = "x"\n[backends.c]\ntype = "console"\nenabled = false\n',
        encoding="utf-8",
    )
    for arguments in (["preview"], ["explain", "--name", "chat *"]):
        ran = _run(*arguments)
        assert (ran.exit_code, "c: off, enabled = false" in ran.stdout) == (0, True)
    assert _run("preview", "--html", "x.html").stdout == "x.html: 67 spans at no backend\n"


def test_what_the_limits_cut_is_shown_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK logs each text that it cuts, which at work tells an operator, and here would drown the answer."""
    Path("tracing.toml").write_text(f"{CONFIG}[limits]\nattribute_value_length_limit = 5\n", encoding="utf-8")
    ran = _run("preview", "--spans", "spans.jsonl", "--backend", "b", "--json")
    assert ran.exit_code == 0
    assert caplog.messages == []
    Path("tracing.toml").write_text(
        f"{CONFIG}limits.attribute_value_length_limit = 5\n".replace("enabled = false", ""), encoding="utf-8"
    )
    ran = _run("explain", "--span", "0000000000000003", "--spans", "spans.jsonl")
    assert '~ note = "write to you@example.com" → "write"' in ran.stdout
    assert caplog.messages == []
