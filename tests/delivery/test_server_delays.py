"""A server that names a time is left alone by all: what is on disk, other processes, the next program."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from pathlib import Path

import pytest
from tests.delivery.support import PROTOCOLS, backend, one_batch, rigged, spooled
from tests.delivery.test_spooling import MODES, on_disk

from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.testing.server import Answer, OtlpServer, wait_for


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("http/protobuf", Answer(status=503, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"})),
        ("grpc", Answer(code="RESOURCE_EXHAUSTED", retry_after=2**38)),
    ],
)
def test_a_server_that_wants_to_be_left_alone_for_ages_ends_nothing(
    protocol: str, answer: Answer, folder: Path
) -> None:
    """What comes meanwhile is spooled, and a shutdown ends."""
    with (
        OtlpServer(protocol, answer=answer) as server,
        rigged(spooled(backend(server.endpoint, protocol), folder)) as rig,
    ):
        for number in range(1, 4):
            rig.offer(5)
            wait_for(lambda number=number: rig.counts.spooled == 5 * number, 30, "the spool")
        assert len(server.requests) == 1
        assert any(one.name == "ajolo_fanout-redelivery-one" for one in threading.enumerate())
        assert rig.shutdown()


def test_what_is_left_of_a_batch_waits_as_long_as_the_server_said(folder: Path) -> None:
    """For other processes, too: another outlet stands for one."""
    script = [Answer(status=413), Answer(), Answer(status=429, retry_after=60)]
    with OtlpServer(answer=script) as server:
        plan = spooled(backend(server.endpoint, batch=one_batch(6)), folder, "always")
        with rigged(plan) as rig:
            rig.offer(6)
            wait_for(lambda: rig.counts.spooled == 3, 30, "the rest in the spool")
            with rigged(plan) as other:
                wait_for(lambda: other.outlet.health().spool_spans == 3, 30, "its first look")
                assert other.shutdown()
        assert len(server.requests) == 3
        assert on_disk(folder) == 3


def test_a_server_s_delay_is_obeyed_across_the_spool(folder: Path) -> None:
    with (
        OtlpServer(answer=[Answer(status=429, retry_after=3)]) as server,
        rigged(spooled(backend(server.endpoint), folder)) as rig,
    ):
        rig.offer(5)
        wait_for(lambda: rig.counts.spooled == 5, 30, "the spool")
        for _ in range(3):
            rig.offer(5)
            assert rig.flush()
        server.wait_for_spans(20, 30)
        assert server.requests[1].at - server.requests[0].at >= 3
        assert len(server.requests) <= 3, "joined once it is back"


def test_a_server_s_delay_is_obeyed_by_other_processes_too(folder: Path) -> None:
    """Another outlet stands for one: it finds the batch, and that its time hasn't come."""
    with (
        OtlpServer(answer=[Answer(status=429, retry_after=60)]) as server,
        rigged(spooled(backend(server.endpoint), folder)) as rig,
    ):
        rig.offer(5)
        wait_for(lambda: rig.counts.spooled == 5, 30, "the spool")
        with rigged(spooled(backend(server.endpoint), folder)) as other:
            wait_for(lambda: other.outlet.health().spool_spans == 5, 30, "its first look")
            assert other.shutdown()
        assert len(server.requests) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", MODES)
def test_a_program_that_starts_again_keeps_to_a_server_s_delay(
    protocol: str, mode: str, folder: Path
) -> None:
    """Also with what had waited behind the batch that was told, and with what is new."""
    answer = Answer(status=429, code="RESOURCE_EXHAUSTED", retry_after=600)
    with OtlpServer(protocol, answer=answer) as server:
        plan = spooled(backend(server.endpoint, protocol), folder, mode)
        with rigged(plan) as rig:
            for number in range(1, 4):
                rig.offer(5)
                wait_for(lambda n=number: rig.counts.spooled == 5 * n, 30, "the spool")
            assert rig.shutdown()
        for run in range(3):
            with rigged(plan) as rig:
                wait_for(lambda: rig.ledger.state == "retrying", 30, "its first look")
                assert "leave the server alone" in rig.ledger.health().last_error
                rig.offer(5)
                assert rig.flush()
                assert rig.shutdown()
                assert rig.counts.spooled == 5
            assert on_disk(folder) == 20 + 5 * run
        assert len(server.requests) == 1


def test_what_a_joined_request_was_told_holds_in_other_processes(folder: Path) -> None:
    """Another outlet stands for one: four batches were in the request."""
    with OtlpServer(answer=Answer(status=503)) as server:
        plan = spooled(backend(server.endpoint), folder)
        with rigged(plan) as rig:
            for number in range(1, 6):
                rig.offer(5)
                wait_for(lambda n=number: rig.counts.spooled == 5 * n, 30, "a batch of its own on disk")
            server.answer = [Answer(), Answer(status=429, retry_after=600)]
            wait_for(lambda: "429" in rig.ledger.health().last_error, 60, "the second answer")
            assert rig.shutdown()
            left = on_disk(folder)
            assert 5 < left <= 20, "several in one request"
        with rigged(plan) as other:
            wait_for(lambda: other.ledger.state == "retrying", 30, "its first look")
            assert other.shutdown()
        assert on_disk(folder) == left


@pytest.mark.parametrize("answer", [Answer(status=503, retry_after=2), Answer(status=403)])
def test_what_was_put_off_by_a_clock_that_was_wrong_is_sent_all_the_same(
    answer: Answer, folder: Path
) -> None:
    """It was an hour ahead when the backend answered, and is right again when the program is started again."""
    with OtlpServer(answer=answer) as server:
        with rigged(spooled(backend(server.endpoint), folder, "always")) as rig:
            rig.offer(5)
            wait_for(lambda: rig.counts.spooled == 5, 30, "the spool")
        [listing] = survey(folder).listings
        with contextlib.closing(sqlite3.connect(listing.path, isolation_level=None)) as connection:
            connection.execute("UPDATE batches SET not_before = not_before + 3600 WHERE not_before > 0")
            for (value,) in connection.execute("SELECT value FROM about WHERE key = 'left_alone'").fetchall():
                said, seconds = json.loads(value)
                connection.execute(
                    "UPDATE about SET value = ? WHERE key = 'left_alone'",
                    (json.dumps([said + 3600, seconds]),),
                )
        server.answer = None
        with rigged(spooled(backend(server.endpoint), folder)) as rig:
            server.wait_for_spans(5, 30)
