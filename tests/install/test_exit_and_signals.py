"""However a program ends, what it traced arrives; and it ends as it would have without us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.testing import OtlpServer
from ajolo_fanout.testing.collector_run import free_ports

THREE = ["span 0", "span 1", "span 2"]
FILE = Callable[..., Path]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(("way", "code"), [("returns", 0), ("exits", 3), ("raises", 1)])
def test_a_program_that_ends_by_itself_delivers(
    way: str, code: int, protocol: Any, run: Any, write_file: FILE, names: Any
) -> None:
    with OtlpServer(protocol) as server:
        config = write_file(server.endpoint, backend=f'protocol = "{protocol}"')
        program = run("ends.py", way, config=config)
        assert program.end() == code, program
        assert names(server) == THREE, program
        assert "Traceback" not in str(program) or way == "raises"


def test_sigterm_with_the_default_handler_delivers_and_ends_as_a_signal_does(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "waits", config=write_file(server.endpoint))
    program.wait_for("ready")
    program.send(signal.SIGTERM)
    assert program.end() == -signal.SIGTERM
    assert names(server) == THREE


def test_sigterm_ends_by_the_deadline_where_the_backend_hangs(run: Any, write_file: FILE) -> None:
    from ajolo_fanout.testing import Answer

    with OtlpServer(answer=Answer(hang=True)) as server:
        config = write_file(server.endpoint, '[shutdown]\ntimeout = "1s"', backend='timeout = "60s"')
        program = run("ends.py", "waits", config=config)
        program.wait_for("ready")
        program.send(signal.SIGTERM)
        assert program.end(timeout=1.0 + 20.0) == -signal.SIGTERM  # its batch has 30 s


def test_a_handler_that_raises_is_called_and_what_it_traces_is_delivered(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "handler_raises", config=write_file(server.endpoint))
    program.wait_for("ready")
    program.send(signal.SIGTERM)
    assert program.end() == 7
    assert names(server) == ["in the handler 0", *THREE]
    program.said("handler")


def test_a_handler_that_drains_and_raises_again_loses_nothing(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    """What uvicorn does when it was there first: its raise must not end the program before its exit."""
    program = run("ends.py", "handler_there_before", config=write_file(server.endpoint))
    program.wait_for("ready")
    program.send(signal.SIGTERM)
    assert program.end() == -signal.SIGTERM
    assert names(server) == sorted([*THREE, "in the drain 0", "after the raise 0"])


def test_a_handler_set_after_ours_that_puts_ours_back_and_raises_again_loses_nothing(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "handler_set_later", config=write_file(server.endpoint))
    program.wait_for("ready")
    program.send(signal.SIGTERM)
    assert program.end() == -signal.SIGTERM
    assert names(server) == sorted([*THREE, "in the drain 0"])


def test_ignored_stays_ignored(run: Any, write_file: FILE, server: OtlpServer, names: Any) -> None:
    program = run("ends.py", "ignores", config=write_file(server.endpoint))
    program.wait_for("ready")
    program.send(signal.SIGTERM)
    program.type("go on")
    assert program.end() == 0
    assert names(server) == THREE


def test_sigint_is_pythons_own_affair_and_delivers(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "waits", config=write_file(server.endpoint))
    program.wait_for("ready")
    program.send(signal.SIGINT)
    assert program.end() == -signal.SIGINT
    assert "KeyboardInterrupt" in program.err[-1]
    assert names(server) == THREE


def test_installed_off_the_main_thread_sets_no_handler_and_delivers_at_exit(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "installs_in_a_thread", config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.said("disposition") == str(int(signal.SIG_DFL))
    assert names(server) == THREE


def test_after_a_shutdown_by_hand_the_earlier_handler_is_back(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "shuts_down", config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.said("report") == "True"
    assert program.said("disposition") == str(int(signal.SIG_DFL))
    assert names(server) == THREE


def test_spans_of_an_exit_handler_registered_later_are_delivered(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "traces_in_an_exit_handler", config=write_file(server.endpoint))
    assert program.end() == 0
    assert names(server) == ["last words 0", *THREE]


def test_the_providers_own_shutdown_delivers(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "shuts_the_provider_down", config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert program.said("stopped") == "True"
    assert names(server) == THREE


def test_several_installations_end_side_by_side_within_one_timeout(run: Any, write_file: FILE) -> None:
    from ajolo_fanout.testing import Answer

    with OtlpServer(answer=Answer(hang=True)) as server:
        for name in ("one.toml", "two.toml"):
            write_file(server.endpoint, '[shutdown]\ntimeout = "5s"', name=name)
        program = run("ends.py", "several_side_by_side")
        first, *_ = server.wait_for_requests(1, 60)
        assert program.end() == 0, program
        assert time.monotonic() - first.at < 2 * 5.0, "one after the other"
        assert len(server.requests) == 2


def test_others_that_hang_on_several_installations_hold_the_exit_up_once(
    run: Any, write_file: FILE, server: OtlpServer
) -> None:
    program = run(
        "ends.py", "several_with_others", config=write_file(server.endpoint, '[shutdown]\ntimeout = "1s"')
    )
    assert program.end() == 0, program
    assert float(program.said("took")) < 1.0 + 0.25 + 24 * 0.25, "each got a moment of its own"


def test_at_exit_the_provider_that_we_built_is_shut_down_for_others_and_they_cannot_hold_it_up(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    program = run("ends.py", "others_on_our_provider", config=write_file(server.endpoint))
    assert program.end(timeout=30) == 0, program
    assert names(server) == THREE
    assert sum('"name": "span' in line for line in program.out) == 3, "the others' were delivered, too"


def test_the_first_process_of_a_container_goes_on_after_sigterm_as_it_would_without_us(
    run: Any, write_file: FILE, server: OtlpServer, names: Any
) -> None:
    """The kernel ignores a default SIGTERM there; tracing must not be dead while the program lives on."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody make a PID namespace: unshare --pid --fork true")
    program = run("ends.py", "first_process", config=write_file(server.endpoint), before=unshare)
    program.wait_for("ready")
    assert program.said("pid") == "1"
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    server.wait_for_spans(3, 60)
    program.type("more")
    program.wait_for("made")
    program.type("end")
    assert program.end() == 0, program
    assert names(server) == ["afterwards 0", *THREE]


@pytest.mark.parametrize("whose", ["ours", "theirs"])
@pytest.mark.parametrize("what", ["health", "flush", "log"])
def test_sigterm_in_the_middle_of_anything_delivers_at_once(
    what: str, whose: str, run: Any, write_file: FILE, server: OtlpServer
) -> None:
    """The interrupted main thread holds nothing that whoever delivers needs, nor does it wait for itself.

    Nor need anything be logged first: the main thread may hold the lock of the program's own logging.
    """
    program = run(
        "interrupted.py", what, whose, "10", config=write_file(server.endpoint, '[shutdown]\ntimeout = "20s"')
    )
    assert program.end(110) == 0, program
    children = [line.split()[1:] for line in program.out]
    assert {int(code) for code, _ in children} == {-signal.SIGTERM if whose == "ours" else 0}
    assert len(children) == 10
    assert max(float(took) for _, took in children) < 20, "one waited for its deadline"
    assert len(server.spans) == 3 * 10


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_sigterm_cuts_a_longer_shutdown_short_and_what_is_unsent_goes_to_the_spool(
    protocol: Any, run: Any, write_file: FILE, folder: Path
) -> None:
    from ajolo_fanout.testing import Answer

    [port] = free_ports(1)  # in the time between the two servers, nobody else gets it
    with OtlpServer(protocol, port=port, answer=Answer(hang=True)) as server:
        spool = f'[spool]\ndirectory = "{folder / "spool"}"'
        config = write_file(
            server.endpoint,
            f'[shutdown]\ntimeout = "5s"\n{spool}',
            backend=f'protocol = "{protocol}"\nspool = "on_failure"\ntimeout = "60s"',
        )
        program = run("ends.py", "shuts_down_for_long", config=config)
        program.wait_for("ready")
        server.wait_for_requests(1, 60)
        program.send(signal.SIGTERM)
        assert program.end(timeout=30) == -signal.SIGTERM, program
        server.release()
    with OtlpServer(protocol, port=port) as later:
        again = run("ends.py", "waits", config=config)
        later.wait_for_spans(3, 60)
        again.send(signal.SIGTERM)
        again.end()


def test_sigterm_in_the_instant_before_our_own_wait_is_handled_all_the_same(
    run: Any, write_file: FILE
) -> None:
    """A handler of Python's that came a moment too late for that would run when the ten minutes are over."""
    from ajolo_fanout.testing import Answer

    with OtlpServer(answer=Answer(hang=True)) as server:
        config = write_file(server.endpoint, '[shutdown]\ntimeout = "1s"', backend='timeout = "100s"')
        program = run("ends.py", "is_told_in_the_instant_before_a_wait", config=config)
        assert program.end(timeout=25) == -signal.SIGTERM, program  # its batch has 30 s


def test_a_child_that_is_forked_in_the_middle_of_a_shutdown_ends_at_once(run: Any, write_file: FILE) -> None:
    from ajolo_fanout.testing import Answer

    with OtlpServer(answer=Answer(hang=True)) as server:
        config = write_file(server.endpoint, '[shutdown]\ntimeout = "30s"', backend='timeout = "60s"')
        program = run("ends.py", "forks_in_a_shutdown", config=config)
        program.wait_for("child ended", timeout=20)  # it would wait out the thirty seconds
        assert program.said("state") == "stopped", program
        assert program.said("seen") == "0 queued 0", "what was under way is the parent's"


def test_children_that_are_forked_after_a_shutdown_may_ask_for_the_health(
    run: Any, write_file: FILE, server: OtlpServer
) -> None:
    """Whatever a thread of the parent held at that moment."""
    program = run("ends.py", "forks_after_a_shutdown", config=write_file(server.endpoint))
    assert program.end() == 0, program
    assert [line for line in program.out if line.startswith("child")] == ["child 0"] * 60, program


def test_sigterm_at_thirty_random_moments_of_a_busy_program_loses_no_span(
    run: Any, write_file: FILE, server: OtlpServer
) -> None:
    """The handler interrupts whatever the main thread does, our own code too, and needs none of its locks."""
    large = '[shutdown]\ntimeout = "20s"'
    queue = 'batch.max_queue_size = 60000\nbatch.max_queue_bytes = "1GiB"'
    program = run("busy.py", "30", config=write_file(server.endpoint, large, backend=queue))
    assert program.end(110) == 0, program
    children = [tuple(map(int, line.split()[1:])) for line in program.out]
    assert len(children) == 30
    assert {code for code, _ in children} == {-signal.SIGTERM}
    arrived = Counter(span.attributes["child"] for span in server.spans)
    for number, (_, ended) in enumerate(children):
        # The signal may come between a span's end and the program's count of it.
        assert arrived[number] in (ended, ended + 1), f"child {number}: {arrived[number]} of {ended} arrived"
    assert sum(ended for _, ended in children) > 1000, "the programs were not busy"
