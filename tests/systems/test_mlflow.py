"""MLflow: what its users see of an agent's traces, read back through its API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from tests.systems.readback import RUNS, SPANS, ask, hexed, kind, parent, sent_through, total
from tests.systems.serving import serving
from tests.venvs import command

from ajolo_fanout import Fanout
from ajolo_fanout.testing import recorded_spans, wait_for
from ajolo_fanout.testing.collector_run import free_ports

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@attrs.frozen
class Tracking:
    """A server, and an experiment on it."""

    url: str
    experiment: str

    def trace(self, run: str) -> dict[str, Any]:
        """A recorded run as the server shows it."""
        trace_id = format(recorded_spans(run)[0].context.trace_id, "032x")
        status, answer = ask(f"{self.url}/api/3.0/mlflow/traces/get?trace_id=tr-{trace_id}")
        assert status == 200, answer
        return answer["trace"]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    program = command("mlflow", "mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    [port] = free_ports(1)
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", f"sqlite:///{folder}/store.db"]
    arguments += ["--artifacts-destination", str(folder / "artifacts")]
    url = f"http://127.0.0.1:{port}"
    with serving([program, *arguments], [port], folder / "log", limit=300):
        made: list[Any] = []

        def make() -> bool:
            status, answer = ask(f"{url}/api/2.0/mlflow/experiments/create", body={"name": "weather"})
            made.append(answer)
            return status == 200

        wait_for(make, 120, "an experiment")
        yield Tracking(url, made[-1]["experiment_id"])


@pytest.fixture(scope="module")
def sent(mlflow: Tracking, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fanout]:
    """The recorded traces, to the experiment and to none."""
    text = f"""
defaults.processors = [{{ type = "dialect", to = "openinference" }}]
[backends.mlflow]
type = "otlp"
endpoint = "{mlflow.url}"
headers = {{ x-mlflow-experiment-id = "{mlflow.experiment}" }}
[backends.nowhere]
type = "otlp"
endpoint = "{mlflow.url}"
"""
    with sent_through(tmp_path_factory.mktemp("file"), text) as fanout:
        yield fanout


def test_without_the_experiment_it_is_a_loss_with_its_status(sent: Fanout) -> None:
    health = sent.health().backends
    assert health["mlflow"].counts.delivered == len(SPANS), health["mlflow"]
    assert dict(health["nowhere"].counts.lost) == {"rejected": len(SPANS)}
    assert "422" in health["nowhere"].last_error
    assert "x-mlflow-experiment-id" in health["nowhere"].last_error


@pytest.mark.parametrize("run", RUNS)
def test_its_users_see_the_agents_tree(run: str, mlflow: Tracking, sent: Fanout) -> None:
    """Ids, parents, times, types and the state of the whole."""
    shown = {_id(span["span_id"]): span for span in mlflow.trace(run)["spans"]}
    recorded = recorded_spans(run)
    assert len(shown) == len(recorded)
    for span in recorded:
        there = shown[hexed(span.context.span_id)]
        assert there["name"] == span.name
        assert _id(there.get("parent_span_id", "")) == parent(span)
        assert int(there["start_time_unix_nano"]) == span.start_time
        assert int(there["end_time_unix_nano"]) == span.end_time
        attributes = {pair["key"]: pair["value"] for pair in there["attributes"]}
        assert attributes["mlflow.spanType"] == {"string_value": kind(span)}
        assert len(there.get("events", ())) == len(span.events)


@pytest.mark.parametrize("run", RUNS)
def test_its_users_see_tokens_and_costs(run: str, mlflow: Tracking, sent: Fanout) -> None:
    """MLflow adds up by itself: what it comes to is what the agent had counted."""
    metadata = mlflow.trace(run)["trace_info"]["trace_metadata"]
    chats = [span for span in recorded_spans(run) if span.name.startswith("chat ")]
    tokens = json.loads(metadata["mlflow.trace.tokenUsage"])
    assert tokens["input_tokens"] == total("gen_ai.usage.input_tokens", chats)
    assert tokens["output_tokens"] == total("gen_ai.usage.output_tokens", chats)
    cost = json.loads(metadata["mlflow.trace.cost"])
    assert cost["input_cost"] == pytest.approx(total("gen_ai.cost_usd.input", chats))
    assert cost["output_cost"] == pytest.approx(total("gen_ai.cost_usd.output", chats))


def _id(text: str) -> str:
    """An id as the server's protobuf JSON writes it, in hexadecimal."""
    return base64.b64decode(text).hex()
