"""Makes three spans and ends in the way that its argument names: one function per way."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from support import folder, say

from ajolo_fanout import install_from_config


def make(count: int = 3, name: str = "span") -> None:
    tracer = trace.get_tracer("program")
    for number in range(count):
        with tracer.start_as_current_span(f"{name} {number}"):
            pass


def wait_for_a_signal() -> None:
    """Wait in short sleeps: a signal that comes just before a long one is handled only after that."""
    say("ready")
    while True:
        time.sleep(0.05)


told: list[int] = []
"""No event: its lock may be held by the main thread, which waits, just when the handler interrupts it there."""


def note_and_go_on(number: int, _frame: object) -> None:
    say("handler")
    told.append(number)


def wait_until_told() -> None:
    say("ready")
    while not told:
        time.sleep(0.01)


def returns() -> None:
    install_from_config()
    make()


def exits() -> None:
    install_from_config()
    make()
    sys.exit(3)


def raises() -> None:
    install_from_config()
    make()
    raise ValueError("unhandled")


def waits() -> None:
    install_from_config()
    make()
    wait_for_a_signal()


def handler_raises() -> None:
    """A program's own handler, there before us, ends it its own way."""

    def leave(_number: int, _frame: object) -> None:
        say("handler")
        make(1, "in the handler")
        raise SystemExit(7)

    signal.signal(signal.SIGTERM, leave)
    install_from_config()
    make()
    wait_for_a_signal()


def handler_there_before() -> None:
    """What uvicorn does when it was there first: drain, put the default back, raise the signal again."""
    signal.signal(signal.SIGTERM, note_and_go_on)
    install_from_config()
    make()
    wait_until_told()
    make(1, "in the drain")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
    make(1, "after the raise")


def handler_set_later() -> None:
    """What uvicorn does when it comes second: drain, put ours back, raise the signal again."""
    install_from_config()
    make()
    before = signal.signal(signal.SIGTERM, note_and_go_on)
    wait_until_told()
    make(1, "in the drain")
    signal.signal(signal.SIGTERM, before)
    signal.raise_signal(signal.SIGTERM)


def ignores() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    install_from_config()
    make()
    say("ready")
    sys.stdin.readline()


def installs_in_a_thread() -> None:
    thread = threading.Thread(target=install_from_config)
    thread.start()
    thread.join()
    say("disposition", int(signal.getsignal(signal.SIGTERM)))
    make()


def shuts_down() -> None:
    fanout = install_from_config()
    make()
    say("report", bool(fanout.shutdown()))
    say("disposition", int(signal.getsignal(signal.SIGTERM)))


def shuts_down_for_long() -> None:
    fanout = install_from_config()
    make()
    say("ready")
    fanout.shutdown(600)


def is_told_in_the_instant_before_a_wait() -> None:
    """As far as Python goes, a signal that another thread gets: it wakes the main thread from no wait either."""
    fanout = install_from_config()
    make()

    def tell() -> None:
        main = threading.main_thread().ident
        while not (fanout.stopped and sys._current_frames()[main].f_code.co_name == "wait"):
            time.sleep(0.01)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    threading.Thread(target=tell, daemon=True).start()
    fanout.shutdown(600)


def forks_in_a_shutdown() -> None:
    fanout = install_from_config()
    make()
    fanout.flush(0)
    threading.Thread(target=fanout.shutdown, daemon=True).start()
    while not fanout.stopped:
        time.sleep(0.01)
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        say("child ended")
        os._exit(0)
    here = fanout.health().backends["here"]
    say("state", here.state)
    say("seen", f"{here.counts.seen} queued {here.queued_spans}")


def forks_after_a_shutdown() -> None:
    """While other threads read the health, as a reader of metrics does: one of them holds what readers hold."""
    fanout = install_from_config()
    make()
    fanout.shutdown()
    make(1, "late")

    def read() -> None:
        while True:
            fanout.health()

    for _ in range(2):
        threading.Thread(target=read, daemon=True).start()
    for _ in range(60):
        pid = os.fork()
        if not pid:
            signal.alarm(20)  # one that waits for ever ends all the same, and is told by its status
            here = fanout.health().backends["here"]
            made = here.state == "stopped" and here.counts.seen == 0
            make(1, "after the fork")
            counts = fanout.health().backends["here"].counts
            os._exit(0 if made and counts.lost == {"shutdown": 1} else 1)
        say("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    sys.stdout.flush()
    os._exit(0)


def traces_in_an_exit_handler() -> None:
    install_from_config()
    make()
    atexit.register(make, 1, "last words")


def shuts_the_provider_down() -> None:
    fanout = install_from_config()
    make()
    trace.get_tracer_provider().shutdown()
    say("stopped", fanout.stopped)
    sys.stdout.flush()
    os._exit(0)


def several_side_by_side() -> None:
    """Two installations beside one another, each with a file of its own."""
    for name in ("one.toml", "two.toml"):
        fanout = install_from_config(folder() / name, set_global=False)
        fanout.provider.get_tracer("program").start_span(name).end()


def several_with_others() -> None:
    """Two dozen installations, each with somebody's processor that hangs; how long the exit takes."""
    began = 0.0

    def begin() -> None:
        nonlocal began
        began = time.monotonic()

    atexit.register(lambda: say("took", time.monotonic() - began))
    for _ in range(24):
        install_from_config(set_global=False).provider.add_span_processor(Hanging())
    atexit.register(begin)


class Hanging(SpanProcessor):
    """Somebody's processor that never comes back from its shutdown."""

    def shutdown(self) -> None:
        time.sleep(3600)


def others_on_our_provider() -> None:
    """Others put their processors on the provider that we built; nobody but us can shut them down."""
    install_from_config()
    provider = trace.get_tracer_provider()
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(), schedule_delay_millis=60_000))
    provider.add_span_processor(Hanging())
    make()


def line_of_the_test() -> str:
    """Waited for in short steps, as a signal is: one that comes just before a long read is handled after it."""
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        pass
    return sys.stdin.readline().strip()


def first_process() -> None:
    """Process 1 of a container, where a SIGTERM that nobody handles does nothing."""
    say("pid", os.getpid())
    install_from_config()
    make()
    say("ready")
    while line_of_the_test() != "end":
        make(1, "afterwards")
        say("made")


WAYS: dict[str, Callable[[], None]] = {
    way.__name__: way
    for way in (
        returns,
        exits,
        raises,
        waits,
        handler_raises,
        handler_there_before,
        handler_set_later,
        ignores,
        installs_in_a_thread,
        shuts_down,
        shuts_down_for_long,
        is_told_in_the_instant_before_a_wait,
        forks_in_a_shutdown,
        forks_after_a_shutdown,
        traces_in_an_exit_handler,
        shuts_the_provider_down,
        several_side_by_side,
        several_with_others,
        others_on_our_provider,
        first_process,
    )
}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
    WAYS[sys.argv[1]]()
