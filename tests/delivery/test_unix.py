"""A unix socket is an endpoint like any other, over gRPC: a file tells it, and spans go through it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from tests.delivery.sockets import listening_at
from tests.delivery.support import readable, rigged

from ajolo_fanout.config.batch import BatchSettings
from ajolo_fanout.config.document import parse
from ajolo_fanout.otlp.decode import decode_request
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing.server import wait_for
from ajolo_fanout.values import Duration


def resolved(path: Path, **settings: str) -> BackendPlan:
    """The backend that a file with this socket as its endpoint means."""
    more = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    text = (
        'schema = 1\n[service]\nname = "svc"\n[backends.agent]\ntype = "datadog_agent"\n'
        f'protocol = "grpc"\nendpoint = "unix://{path}"\n{more}'
    )
    [backend] = resolve(parse(text, "tracing.toml"), {}).backends
    batch = BatchSettings(schedule_delay=Duration(0.02))
    return attrs.evolve(backend, settings=attrs.evolve(backend.settings, batch=batch))


@pytest.mark.parametrize("exporter", ["own", "stock"])
def test_spans_go_through_a_unix_socket(
    tmp_path: Path, exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever proxy the environment names."""
    path = tmp_path / "agent.sock"
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    plan = resolved(path, exporter=exporter)
    with listening_at(path) as handler, rigged(plan) as rig:
        rig.ledger.seen()
        rig.outlet.offer_all([readable("by socket")])
        assert rig.flush(), rig.ledger.health()
        assert rig.counts.delivered + rig.counts.handed_over == 1
    [body] = handler.bodies
    if exporter == "stock":
        assert [span.name for span in decode_request(body)] == ["by socket"]


def test_a_socket_that_nobody_listens_on_is_a_retry_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "absent.sock"
    with rigged(resolved(path)) as rig:
        rig.offer(3)
        wait_for(lambda: rig.ledger.state == "retrying", 30, "the first try")
        assert not rig.flush(0.5)
        assert str(path) in rig.ledger.health().last_error
        assert rig.counts.lost_total == 0
