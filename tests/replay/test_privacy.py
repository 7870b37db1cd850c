"""What a backend's redaction takes out is in no output about it: whatever the span's fate, wherever it stood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ajolo_fanout.cli.main import cli

MARK = "SECRET4711"
TRACE = "0af7651916cd43dd8448eb211c80319c"
BACKEND = """
[backends.{name}]
type = "console"
redaction.content = "drop"
redaction.patterns = {{ mark = "SECRET[0-9]+" }}
redaction.drop = ["dropped"]
redaction.mask = ["masked"]
{more}
[[backends.{name}.processors]]
type = "copy"
attributes = {{ "dropped" = "copied", "gen_ai.prompt" = "copied_prompt" }}
[[backends.{name}.processors]]
type = "rename"
attributes = {{ "plain" = "renamed" }}
[[backends.{name}.processors]]
type = "split_json"
attribute = "json"
[[backends.{name}.processors]]
type = "mine_of_privacy:spread"
"""
OWN = """
def spread(draft):
    if draft.name.startswith("lost"):
        raise ValueError(draft.name)
    draft.name = draft.name + " again"
    draft.attributes["mine"] = dict(draft.attributes)
    draft.add_event("mine", {"all": str(dict(draft.attributes))})
    draft.resource["mine"] = draft.name
    draft.scope.name = draft.scope.name + draft.name
"""


def _values(text: str) -> list[dict[str, Any]]:
    keys = ("plain", "dropped", "masked", "gen_ai.prompt", f"name {MARK}", "json")
    values = [{"key": key, "value": {"stringValue": text}} for key in keys]
    values[-1]["value"]["stringValue"] = json.dumps({"a": text, MARK: {"b": text}})
    return values


def _span(number: int, name: str) -> dict[str, Any]:
    text = f"a {MARK} b"
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "name": f"{name} {MARK}",
        "startTimeUnixNano": str(10**18 + number),
        "endTimeUnixNano": str(10**18 + 10**6),
        "status": {"code": 2, "message": text},
        "attributes": _values(text),
        "events": [
            {"name": event, "timeUnixNano": "5", "attributes": _values(text)}
            for event in (f"e {MARK}", "gen_ai.content.prompt", f"f {MARK}")
        ],
        "links": [{"traceId": TRACE, "spanId": f"{1:016x}", "attributes": _values(text)}],
    }


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("mine_of_privacy.py").write_text(OWN, encoding="utf-8")
    more = {"sent": "", "filtered": 'select.exclude = ["roots"]', "sampled": "sampling.ratio = 0", "cut": ""}
    more["cut"] = "limits.attribute_value_length_limit = 12\nlimits.event_count_limit = 2"
    backends = "".join(BACKEND.format(name=name, more=text) for name, text in more.items())
    Path("tracing.toml").write_text(f'schema = 1\n[service]\nname = "x"\n{backends}', encoding="utf-8")
    spans = [_span(number, name) for number, name in enumerate(("one", "lost", "two"), 1)]
    scope = {"name": f"scope {MARK}", "version": MARK, "attributes": _values(MARK)}
    resource = {"attributes": _values(MARK)}
    text = json.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
    )
    Path("spans.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["preview"],
        ["preview", "--json"],
        ["preview", "--html", "page.html"],
        ["explain", "--name", "*"],
        ["explain", "--name", "*", "--json"],
        ["explain", "--name", "no such name"],
    ],
)
def test_no_output_shows_what_every_backend_redacts(arguments: list[str]) -> None:
    """In names, values, keys, events, links, statuses, scopes, before and after each processor."""
    ran = CliRunner().invoke(cli, [*arguments, "--spans", "spans.json"])
    assert ran.exit_code == (2 if "no such name" in arguments else 0), ran.output
    shown = Path("page.html").read_text(encoding="utf-8") if "--html" in arguments else ran.output
    assert "[mark]" in shown
    assert "SECRET" not in shown.replace("SECRET[0-9]+", "")
