"""Arize Phoenix, with authentication on: what its users see of an agent's traces, read back through its APIs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.systems.readback import CHATS, RUNS, SPANS, ask, hexed, kind, parent, sent_through, total
from tests.systems.serving import serving
from tests.venvs import command

from ajolo_fanout import Fanout
from ajolo_fanout.testing import wait_for
from ajolo_fanout.testing.collector_run import free_ports

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

KEY = f"A1{secrets.token_hex(16)}"
HEADERS = {"Authorization": f"Bearer {KEY}"}
PROJECT = "weather"
TOTALS = """{ projects(first: 50) { edges { node {
  name traceCount recordCount tokenCountPrompt tokenCountCompletion tokenCountTotal
  costSummary { prompt { cost } completion { cost } }
} } } }"""


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it listens: on loopback only, its gRPC port included."""
    program = command("phoenix", "phoenix")
    folder = tmp_path_factory.mktemp("phoenix")
    port, grpc = free_ports(2)
    env = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ENABLE_AUTH": "true",
        "PHOENIX_SECRET": f"B2{secrets.token_hex(16)}",
        "PHOENIX_ADMIN_SECRET": KEY,
        "PYTHONPATH": str(Path(__file__).parent / "loopback"),
    }
    with serving([program, "serve"], [port, grpc], folder / "log", env=env, limit=300):
        assert beyond_loopback({port, grpc}) == set()
        wait_for(lambda: ask(f"http://127.0.0.1:{port}/v1/projects", headers=HEADERS)[0] == 200, 120)
        yield f"http://127.0.0.1:{port}"


def beyond_loopback(ports: set[int]) -> set[str]:
    """The addresses, in the kernel's own writing, at which somebody listens on these ports and shouldn't."""
    rows = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]
    ]
    listening = [row[1].rpartition(":")[::2] for row in rows if row[3] == "0A"]
    return {address for address, port in listening if int(port, 16) in ports and "0100007F" not in address}


@pytest.fixture(scope="module")
def sent(phoenix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fanout]:
    """The recorded traces, with the right key and with a wrong one."""
    text = """
[[defaults.processors]]
type = "dialect"
to = "openinference"
[[defaults.processors]]
type = "copy"
attributes = { "gen_ai.completion" = "output.value" }
"""
    for name, key in (("phoenix", KEY), ("wrong_key", "nonsense")):
        text += f"""
[backends.{name}]
type = "otlp"
endpoint = "{phoenix}"
headers = {{ Authorization = "Bearer {key}", x-project-name = "{PROJECT}" }}
"""
    with sent_through(tmp_path_factory.mktemp("file"), text) as fanout:
        yield fanout


def test_a_wrong_key_is_a_loss_with_its_status(sent: Fanout) -> None:
    health = sent.health().backends
    assert health["phoenix"].counts.delivered == len(SPANS), health["phoenix"]
    assert dict(health["wrong_key"].counts.lost) == {"rejected": len(SPANS)}
    assert "401" in health["wrong_key"].last_error
    assert KEY not in str(sent.health())


def test_its_users_see_the_agents_tree(phoenix: str, sent: Fanout) -> None:
    """Ids, parents, kinds, the model, the prompt and the failed tool."""

    def listed() -> list[dict[str, Any]]:
        status, answer = ask(f"{phoenix}/v1/projects/{PROJECT}/spans?limit=500", headers=HEADERS)
        return answer["data"] if status == 200 else []  # the first span makes the project

    wait_for(lambda: len(listed()) >= len(SPANS), 60)
    shown = {span["context"]["span_id"]: span for span in listed()}
    assert len(listed()) == len(shown) == len(SPANS), "those of the wrong key stayed out, nothing came twice"
    for span in SPANS:
        there = shown[hexed(span.context.span_id)]
        assert there["name"] == span.name
        assert (there["parent_id"] or "") == parent(span)
        assert there["span_kind"] == kind(span)
        assert there["status_code"] == span.status.status_code.name
        assert [one["name"] for one in there["events"]] == [one.name for one in span.events]
    for span in CHATS:
        attributes = shown[hexed(span.context.span_id)]["attributes"]
        assert attributes["llm.model_name"] == span.attributes["gen_ai.request.model"]
        if said := span.attributes.get("gen_ai.completion"):
            assert attributes["output.value"] == said
    assert any(span.attributes.get("gen_ai.completion") for span in CHATS), "an answer is among them"
    assert [span for span in shown.values() if span["status_code"] == "ERROR"], "a failed tool is among them"


def test_its_users_see_tokens_and_costs(phoenix: str, sent: Fanout) -> None:
    """Phoenix counts by itself, with prices of its own: what it comes to is what the agent had counted."""

    def project() -> dict[str, object]:
        answer = ask(f"{phoenix}/graphql", headers=HEADERS, body={"query": TOTALS})[1]
        nodes = [edge["node"] for edge in answer["data"]["projects"]["edges"]]
        return next((node for node in nodes if node["name"] == PROJECT), {})

    wait_for(lambda: (project().get("costSummary") or {}).get("prompt", {}).get("cost"), 60)
    shown = project()
    assert (shown["traceCount"], shown["recordCount"]) == (len(RUNS), len(SPANS))
    assert shown["tokenCountPrompt"] == total("gen_ai.usage.input_tokens")
    assert shown["tokenCountCompletion"] == total("gen_ai.usage.output_tokens")
    wait_for(
        lambda: project()["costSummary"]["prompt"]["cost"] == pytest.approx(total("gen_ai.cost_usd.input")),
        60,
    )
    assert project()["costSummary"]["completion"]["cost"] == pytest.approx(total("gen_ai.cost_usd.output"))
