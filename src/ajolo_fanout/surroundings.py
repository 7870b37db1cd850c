"""What a program runs in that changes what threads, locks and signals are: gevent, uWSGI.

Nothing here imports either: a program that runs in one has imported it.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

__all__ = [
    "RealThreads",
    "in_main_thread",
    "prepare",
    "settled",
    "spawn",
    "threads_are_greenlets",
    "uwsgi",
]

_Answer = TypeVar("_Answer")


def threads_are_greenlets() -> bool:
    """Whether gevent has patched `threading`: what is started as a thread from then on is a greenlet."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def in_main_thread() -> bool:
    """Whether this is the process's first thread, or a greenlet in it.

    Only there Python sets signal handlers, and only there a greenlet lives as long as the process.
    """
    if threads_are_greenlets():
        return bool(sys.modules["gevent"].get_hub().main_hub)
    return threading.current_thread() is threading.main_thread()


def spawn(call: Callable[[], object]) -> None:
    """Have a greenlet make `call` when the program next waits.

    For signal handlers: they may interrupt the hub itself, which can't wait.
    """
    sys.modules["gevent"].spawn(call)


def settled() -> bool:
    """Whether threads and process stay what they are, up to the next fork that Python notices.

    gevent, once it is there, may make greenlets of threads at any moment. And uWSGI forks its workers from the
    process that has imported the program, without a word to Python.
    """
    server = uwsgi()
    if server is not None and not server.worker_id():
        return False
    return threads_are_greenlets() or "gevent" not in sys.modules


def prepare() -> None:
    """Start the real threads of gevent's that resolve names: where the interpreter ends, none can be started."""
    if threads_are_greenlets():
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            import_module("concurrent.futures.thread")  # which gevent's pool imports when it is too late
            sys.modules["gevent"].get_hub().threadpool.spawn(int)


class RealThreads:
    """Makes calls that block in C, which only real threads can wait for, where threads are greenlets.

    The hub is free meanwhile. Elsewhere, calls are simply made.
    """

    def __init__(self, most: int) -> None:
        """None yet.

        Args:
            most: Calls at a time.
        """
        self._most = most
        self._pool: Any = None
        self._pid = 0
        if threads_are_greenlets():
            self._ready().spawn(int)  # where the interpreter ends, no thread can be started

    def call(self, call: Callable[..., _Answer], *arguments: object, **named: object) -> _Answer:
        """What `call` returns; raises what it raises."""
        if not threads_are_greenlets():
            return call(*arguments, **named)
        within = contextvars.copy_context().run  # what we send is not traced there either
        answer: _Answer = self._ready().apply(within, (call, *arguments), named)
        return answer

    def _ready(self) -> Any:
        if self._pid != os.getpid():  # not the parent's threads
            self._pool, self._pid = import_module("gevent.threadpool").ThreadPool(self._most), os.getpid()
        return self._pool


def uwsgi() -> Any:
    """The module that uWSGI puts into its processes, else None."""
    return sys.modules.get("uwsgi")
