"""Faults at random, for long: memory stays flat, and the counts add up to the span.

The long mode takes ten minutes for each protocol.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import LONG
from tests.delivery.support import Rig, backend, rendition, rigged, spooled
from tests.delivery.test_spooling import adds_up

from ajolo_fanout.delivery.spool import survey
from ajolo_fanout.testing.server import Answer, OtlpServer, ReceivedRequest, wait_for

SECONDS = 600.0 if LONG else 4.0
RATE = 500
TIMEOUT = 1.0
SHARE = 0.12
"""Of requests that fail. More than a backing-off client makes up for would be an outage: what waits would grow."""
SMALL = 8
"""A request of so few spans isn't too large."""
PATIENCE = 120.0
"""Seconds for what follows when the faults are over; a few do, unless others use the machine."""
FAULTS: list[dict[str, Any]] = [
    {"status": 503},
    {"status": 503, "retry_after": 1},
    {"status": 429},
    {"drop": True},
    {"delay": 1.4},  # longer than the client waits: taken, and sent again
    {"status": 413, "message": "request body too large"},
    {"status": 403},
]


class Marks:
    """A set of small numbers that doesn't grow: the memory of this process is what the test looks at."""

    def __init__(self) -> None:
        self._marks = bytearray(int(SECONDS * RATE * 1.1) + 1000)

    def mark(self, numbers: set[int]) -> None:
        for number in numbers:
            self._marks[number] = 1

    def holds_any(self, numbers: set[int]) -> bool:
        return any(self._marks[number] for number in numbers)

    def __len__(self) -> int:
        return self._marks.count(1)

    def together(self, other: Marks) -> int:
        """How many are in either."""
        either = int.from_bytes(self._marks, "big") | int.from_bytes(other._marks, "big")
        return either.bit_count()


class Taker:
    """Answers at random, and marks which spans it took."""

    def __init__(self, seed: int) -> None:
        self.taken = Marks()
        self.refused = Marks()
        self.kind = True
        self._halved = Marks()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, request: ReceivedRequest) -> Answer:
        numbers = {int(span.name) for span in request.spans()}
        with self._lock:
            fault = {} if self.kind or self._chance.random() > SHARE else self._chance.choice(FAULTS)
            if fault.get("status") == 413 and len(numbers) <= SMALL:
                fault = {}  # by chance again and again, it would come to a span that no backend takes
            elif fault.get("status") == 413:
                self._halved.mark(numbers)
            elif fault.get("status") == 403 and self._halved.holds_any(numbers):
                fault = {}  # the other half would wait with it, and the test for both
            answer = Answer(**fault)
            if answer.success and not answer.drop:
                self.taken.mark(numbers)
            elif fault.get("status") == 403:
                self.refused.mark(numbers)
        return answer


def resident() -> int:
    """Bytes of memory of this process, servers included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.scaled
@pytest.mark.timeout(SECONDS + 6 * PATIENCE)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"] if LONG else ["http/protobuf"])
def test_a_soak_with_faults_at_random_loses_nothing_and_stays_flat(protocol: str, tmp_path: Path) -> None:
    takers = {mode: Taker(seed) for seed, mode in enumerate(("off", "on_failure", "always"))}
    servers = {mode: OtlpServer(protocol, answer=taker) for mode, taker in takers.items()}
    plans = []
    for mode, server in servers.items():
        # Room for what comes while a slow answer is awaited: this is about faults, not about a full queue.
        plan = backend(
            server.endpoint, protocol, name=mode, timeout=TIMEOUT, batch={"max_queue_size": 20 * RATE}
        )
        plans.append(plan if mode == "off" else spooled(plan, tmp_path / "spool", mode))
    try:
        with rigged(*plans) as rigs:
            offered, memory = _load(rigs, takers, servers)
            if LONG:
                _stayed_flat(memory)
            for taker in takers.values():
                taker.kind = True
            for rig, (mode, taker) in zip(rigs, takers.items(), strict=True):
                _ends_well(rig, mode, taker, offered, tmp_path / "spool")
    finally:
        for server in servers.values():
            server.stop()


def _load(rigs: list[Rig], takers: dict[str, Taker], servers: dict[str, OtlpServer]) -> tuple[int, list[int]]:
    """Offer at the rate, faults after the first; how many spans, and the memory at each second."""
    number, memory = 0, [resident()]
    started = time.monotonic()
    pause = threading.Event()
    while (passed := time.monotonic() - started) < SECONDS:
        while number < passed * RATE:
            number += 1
            for rig in rigs:
                rig.ledger.seen()
                rig.outlet.offer_all([rendition(100, name=str(number))])
        if number > RATE / 2:
            for taker in takers.values():
                taker.kind = False
        if passed > len(memory):
            memory.append(resident())
            for server in servers.values():
                server.clear()
        pause.wait(0.02)
    return number, memory


def _stayed_flat(memory: list[int]) -> None:
    third = len(memory) // 3
    second, last = statistics.mean(memory[third : 2 * third]), statistics.mean(memory[2 * third :])
    print(f"memory of the second and the last third: {second / 2**20:.1f} and {last / 2**20:.1f} MiB")
    assert last < second * 1.05, (second, last)


def _ends_well(rig: Rig, mode: str, taker: Taker, offered: int, folder: Path) -> None:
    assert adds_up(rig)
    assert rig.flush(PATIENCE), rig.ledger.health()
    assert rig.counts.seen == offered
    if mode == "off":
        lost = rig.counts.lost_total
        assert set(rig.counts.lost) <= {"rejected"}, "those of 403 only"
        assert lost <= len(taker.refused)
        assert rig.counts.delivered == offered - lost
        assert len(taker.taken) >= offered - lost
    else:
        assert rig.counts.lost_total == 0
        assert rig.counts.delivered + rig.counts.spooled == offered
        # What 403 refused is put off for a while; all else leaves the disk soon, and is counted as it does.
        wait_for(
            lambda: taker.taken.together(taker.refused) == offered, PATIENCE, f"all: {rig.ledger.health()}"
        )
        # What was taken by an answer that came too late goes once more.
        wait_for(lambda: _held(folder, mode) <= len(taker.refused), PATIENCE, "what was put off alone")
        wait_for(
            lambda: rig.counts.replayed + _held(folder, mode) == rig.counts.spooled,
            PATIENCE,
            f"each span replayed or on disk: {rig.counts}",
        )
    assert rig.counts.pending == 0
    assert adds_up(rig)


def _held(folder: Path, mode: str) -> int:
    """Spans that the spool of the backend `mode` holds."""
    return sum(one.fill.held.spans for one in survey(folder).listings if one.backend == mode)
