"""What the tests of the spool run as processes of their own: `program.py COMMAND FOLDER …`."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from tests.delivery.spool.support import BACKEND, spool


class Log:
    """Lines that a SIGKILL can't take back."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, *words: object) -> None:
        os.write(self._descriptor, (json.dumps([time.monotonic(), *words]) + "\n").encode())


def hammer(folder: str, log_path: str, seconds: str, mode: str) -> None:
    """Put, lease, release and finish as fast as it goes."""
    log, mine, chance = Log(log_path), spool(Path(folder)), random.Random(os.getpid())
    log("ready", mine.problem())
    end, number = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        for _ in range(chance.randrange(4)):
            number += 1
            name = f"{os.getpid()}-{number}"
            body = name.encode() + b" " * chance.randrange(20_000)
            put = mine.put(body, 1, time.time(), hold=mode == "always" and chance.random() < 0.5)
            log("put" if put else "refused", name, put.message)
            if put.ticket is not None:
                log("take", name)
                finish(mine, log, put.ticket, name, chance)
        lease = mine.lease(chance.randrange(1, 4))
        if lease.message:
            log("refused", "lease", lease.message)
        names = [batch.body.split()[0].decode() for batch in lease.batches]
        for name in names:
            log("take", name)
        for batch, name in zip(lease.batches, names, strict=True):
            time.sleep(chance.random() / 200)
            finish(mine, log, batch.ticket, name, chance)


def finish(mine: Any, log: Log, ticket: Any, name: str, chance: random.Random) -> None:
    # Said before it is done: what is done without having been said would look lost.
    if chance.random() < 0.3:
        log("release", name)
        answer = mine.release(ticket)
    else:
        log("done", name)
        answer = mine.done(ticket)
    if not answer:
        log("refused", name, answer.message)


def drain(folder: str, log_path: str) -> None:
    """Lease and finish until nothing is left."""
    log, mine = Log(log_path), spool(Path(folder))
    while True:
        lease = mine.lease(10)
        for batch in lease.batches:
            name = batch.body.split()[0].decode()
            log("take", name)
            log("done", name)
            mine.done(batch.ticket)
        if not lease.batches:
            log("end", lease.message)
            return


def hold(folder: str, backend: str = BACKEND) -> None:
    """Lease one batch, say so, and wait to be ended."""
    mine = spool(Path(folder), backend=backend)
    print(json.dumps([batch.body.decode("latin-1") for batch in mine.lease().batches]), flush=True)
    signal.pause()


def hold_with_child(folder: str) -> None:
    """As `hold`, with a forked child that lives on and touches nothing."""
    mine = spool(Path(folder))
    leased = [batch.body.decode() for batch in mine.lease().batches]
    child = os.fork()
    if child == 0:
        signal.pause()
    print(json.dumps([leased, child]), flush=True)
    signal.pause()


def limited(folder: str, size: str) -> None:
    """Put until the file may not grow any more, then go on with the limit lifted."""
    mine = spool(Path(folder))
    problem = mine.problem()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), hard))
    answers = [mine.put(os.urandom(10_000), 1, time.time()) for _ in range(100)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = mine.put(b"after", 1, time.time()).message
    stored = sum(answer.stored for answer in answers)
    refused = [answer.message for answer in answers if not answer.stored]
    print(json.dumps([problem, stored, refused, after, mine.fill().held.batches]))


def unmade(folder: str) -> None:
    """Begin while no file may grow beyond a page, then go on with room."""
    mine, place = spool(Path(folder)), Path(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    problem = mine.problem()
    before = [path.name for path in place.glob("*.sqlite3")]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = mine.put(b"after", 1, time.time()).message
    print(json.dumps([problem, before, after, [path.name for path in place.glob("*.damaged-*")]]))


def brim(folder: str) -> None:
    """Finish what was delivered while no file may grow at all, then go on with room."""
    mine = spool(Path(folder))
    tickets = [mine.put(os.urandom(10_000), 1, time.time(), hold=True).ticket for _ in range(20)]
    mine.rest()  # or SQLite's log would have room enough
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    refused = [mine.done(ticket).message for ticket in tickets if ticket is not None]
    leased = [batch.body.decode() for batch in mine.lease(99).batches]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = mine.put(b"after", 1, time.time()).message
    mine.close()
    left = spool(Path(folder)).lease(99).batches
    print(json.dumps([refused, leased, after, [batch.body.decode() for batch in left]]))


def puts(folder: str, user: str) -> None:
    """One put, one lease, as `user`: their messages and the reason."""
    if os.geteuid() == 0:  # now that everything is imported, which that user may not be able to read
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    mine = spool(Path(folder))
    put, lease = mine.put(b"one", 1, time.time()), mine.lease()
    print(json.dumps([mine.problem(), put.message, put.reason, lease.message, len(lease.batches)]))


def forks(folder: str, how: str) -> None:
    """Fork with an open spool; both sides go on. `hidden`: behind the back of Python's hooks."""
    warnings.simplefilter("ignore", DeprecationWarning)
    mine = spool(Path(folder))
    held = mine.put(b"of the parent", 1, time.time(), hold=True).ticket
    assert held is not None
    mine.put(b"waiting", 1, time.time())
    receive, send = os.pipe()
    child = _fork_hidden() if how == "hidden" else os.fork()
    if child == 0:
        answer = mine.done(held)
        said: dict[str, Any] = {"done": [answer.ok, answer.message]}
        put = mine.put(b"of the child", 1, time.time())
        said["put"] = [put.stored, put.message]
        said["leased"] = [batch.body.decode() for batch in mine.lease(9).batches]
        os.write(send, json.dumps(said).encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = json.loads(os.read(receive, 100_000))
    said["parent_put"] = mine.put(b"of the parent, later", 1, time.time()).message
    said["parent_done"] = mine.done(held).ok
    said["parent_leased"] = sorted(batch.body.decode() for batch in mine.lease(9).batches)
    print(json.dumps(said))


def forks_at_work(folder: str, count: str) -> None:
    """Fork again and again while threads of ours are in the middle of it; the children work as well."""
    warnings.simplefilter("ignore", DeprecationWarning)
    mine, going, problems = spool(Path(folder)), threading.Event(), list[str]()

    def work(number: int) -> None:
        turn = 0
        while not going.is_set():
            turn += 1
            put = mine.put(f"{number}-{turn}".encode(), 1, time.time())
            problems.extend([put.message] * bool(put.message))
            for batch in mine.lease(2).batches:
                answer = mine.release(batch.ticket)
                problems.extend([answer.message] * bool(answer.message))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    slowest, codes = 0.0, []
    for number in range(int(count)):
        before = time.monotonic()
        child = os.fork()
        if child == 0:
            stored = all(mine.put(f"child {number}-{turn}".encode(), 1, time.time()) for turn in range(5))
            os._exit(0 if stored and mine.lease().batches else 1)
        slowest = max(slowest, time.monotonic() - before)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    going.set()
    for thread in threads:
        thread.join()
    names = [batch.body.decode() for batch in mine.lease(10**6).batches]
    print(json.dumps([codes, slowest, problems, len(names), sum(name.startswith("child") for name in names)]))


def _fork_hidden() -> int:
    import ctypes

    return int(ctypes.PyDLL(None).fork())


if __name__ == "__main__":
    commands = (hammer, drain, hold, hold_with_child, limited, unmade, brim, puts, forks, forks_at_work)
    {one.__name__: one for one in commands}[sys.argv[1]](*sys.argv[2:])
