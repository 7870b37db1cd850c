"""What an operator can mend (a key, a right, an address, a certificate) waits in the spool until somebody does."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tests.delivery.support import PROTOCOLS, backend, one_batch, rendition, rigged, spooled, with_files
from tests.delivery.test_spooling import MODES, on_disk

from ajolo_fanout.delivery import redelivery, spooling
from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.testing.collector_run import free_ports
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for
from ajolo_fanout.testing.tls import make_tls
from ajolo_fanout.values import Secret


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("http/protobuf", Answer(status=401)),
        ("http/protobuf", Answer(status=403)),
        ("http/protobuf", Answer(status=404)),
        ("grpc", Answer(status=401)),
        ("grpc", Answer(status=403)),
        ("grpc", Answer(status=404)),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_what_an_operator_can_mend_stays_in_the_spool(
    protocol: str, answer: Answer, mode: str, folder: Path
) -> None:
    [port] = free_ports(1)
    with (
        OtlpServer(protocol, port=port, answer=answer) as server,
        rigged(spooled(backend(server.endpoint, protocol), folder, mode)) as rig,
    ):
        rig.offer(10)
        assert rig.flush()
        wait_for(lambda: rig.counts.spooled == 10, 30, "the spool")
        assert rig.ledger.state == "failing"
        assert rig.counts.lost_total == 0
        assert rig.shutdown()
    assert on_disk(folder) == 10
    with (
        OtlpServer(protocol, port=port) as server,
        rigged(spooled(backend(server.endpoint, protocol), folder, mode)) as rig,
    ):
        # Put off for half a minute, so that other batches go first; another batch finds the backend mended.
        rig.offer(1)
        assert rig.flush()
        assert rig.counts.delivered == 1
        assert on_disk(folder) in (0, 10)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", MODES)
def test_a_certificate_that_can_t_be_verified_is_mended_too(
    protocol: str, mode: str, folder: Path, tmp_path: Path
) -> None:
    """One that has expired is an outage like any, until somebody renews it."""
    tls = make_tls(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    ca_file = tmp_path / "trusted.pem"
    shutil.copyfile(make_tls(other).ca_file, ca_file)
    with OtlpServer(protocol, tls=tls) as server:
        plan = with_files(spooled(backend(server.endpoint, protocol), folder, mode), ca_file=ca_file)
        with rigged(plan) as rig:
            rig.offer(10)
            wait_for(lambda: rig.counts.spooled == 10, 30, "the spool")
            assert rig.ledger.state == "failing"
            assert "ca_file" in rig.ledger.health().last_error
            shutil.copyfile(tls.ca_file, ca_file)
            rig.offer(1)
            wait_for(lambda: rig.counts.delivered + rig.counts.replayed > 0, 60, "the first that arrives")
            assert rig.counts.lost_total == 0


def test_a_shutdown_doesn_t_wait_for_what_is_put_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it comes, also in the middle of a look into the spool."""
    monkeypatch.setattr(redelivery, "_LOOK", 60.0)
    with OtlpServer(answer=Answer(status=403)) as server:
        for number in range(6):
            with rigged(spooled(backend(server.endpoint), tmp_path / str(number), "always")) as rig:
                rig.offer(10)
                assert rig.flush()
                started = time.monotonic()
                assert rig.shutdown(100)
                assert time.monotonic() - started < 15, "less than the pause between two looks"


def test_a_key_that_is_mended_in_its_file_is_used_for_what_was_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "_MEND", 1.0)  # all may have been tried with the old one by then
    key = tmp_path / "key"
    key.write_text("old")

    def answer(request: ReceivedRequest) -> Answer:
        return Answer(status=200 if request.headers["x-key"] == "new" else 403)

    with OtlpServer(answer=answer) as server:
        plan = spooled(backend(server.endpoint, headers={"x-key": Secret.from_file(key)}), folder)
        with rigged(plan) as rig:
            for _ in range(3):  # batches of their own
                rig.offer(4)
                assert rig.flush()
            assert rig.counts.spooled == 12
            key.write_text("new")
            server.wait_for_spans(12, 60)


def test_without_a_spool_the_same_is_lost() -> None:
    with OtlpServer(answer=Answer(status=403)) as server, rigged(backend(server.endpoint)) as rig:
        rig.offer(10)
        assert rig.flush()
        assert dict(rig.counts.lost) == {"rejected": 10}


def test_one_batch_that_is_always_refused_doesn_t_keep_the_others_back(folder: Path) -> None:
    """A firewall in front of the backend that dislikes a prompt answers 403 to that batch alone."""

    def answer(request: ReceivedRequest) -> Answer:
        return Answer(status=403 if b"DROP TABLE" in request.body else 200)

    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with rigged(spooled(backend(url), folder)) as rig:
        for number in range(9):
            rig.ledger.seen(2)
            names = ["DROP TABLE" if number == 4 else "harmless", "another"]
            rig.outlet.offer_all([rendition(name=name) for name in names])
            assert rig.flush()
        assert rig.shutdown()
    assert on_disk(folder) == 18
    with OtlpServer(port=port, answer=answer) as server, rigged(spooled(backend(url), folder)) as rig:
        server.wait_for_spans(16, 60)  # those that were joined to it, too
        wait_for(lambda: on_disk(folder) == 2, 30, "all but that one")
        rig.offer(5)
        assert rig.flush()
        assert rig.counts.delivered == 5


def test_what_is_refused_for_good_is_given_up_from_the_spool_too(folder: Path) -> None:
    script = [Answer(status=503), Answer(status=400, message="no such field")]
    with (
        OtlpServer(answer=script) as server,
        rigged(spooled(backend(server.endpoint, batch=one_batch(10)), folder)) as rig,
    ):
        rig.offer(10)
        wait_for(lambda: on_disk(folder) == 0 and len(server.requests) == 2, 30, "the second answer")
        counts = rig.counts
        assert (counts.spooled, counts.replayed, counts.lost_total) == (10, 0, 0), "its fate was written"
        assert "no such field" in rig.ledger.health().last_error
        [listing] = survey(folder).listings
        assert listing.fill.lost["rejected"].spans == 10
