"""One waiting thread per backend that flushes and shuts down: CPython 3.12 starts no thread at exit."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Job", "Stopper"]

_log = logging.getLogger("ajolo_fanout.delivery")


class Job:
    """One call that the stopper's thread makes."""

    def __init__(self, kind: str, call: Callable[[float], bool], deadline: float) -> None:
        self.kind = kind
        self.deadline = deadline  # of whoever waits longest
        self._call = call
        self._done = threading.Event()
        self._result = False

    def run(self) -> None:
        """Make the call."""
        try:
            self._result = self._call(self.deadline)
        except Exception:
            # Isolation: the thread must be there for the next call; whoever waits gets False.
            _log.exception("%s failed", self.kind)
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        """Whether the call was made."""
        return self._done.is_set()

    def wait(self, deadline: float) -> bool:
        """The call's result, waited for until `deadline` (a `time.monotonic()` value); else False."""
        left = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
        return self._done.wait(left) and self._result


class Stopper:
    """Runs jobs one after another on a thread that exists from the start."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.start()

    def start(self) -> None:
        """Begin without jobs, with a thread of this process (at construction, and again after a fork)."""
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._ended = False
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def ask(self, kind: str, call: Callable[[float], bool], deadline: float) -> Job:
        """Have `call(deadline)` made; joins a job of the same kind that hasn't begun yet."""
        with self._changed:
            for waiting in self._jobs:
                if waiting.kind == kind:
                    waiting.deadline = max(waiting.deadline, deadline)
                    return waiting
            job = Job(kind, call, deadline)
            self._jobs.append(job)
            self._changed.notify()
            return job

    def end(self) -> None:
        """Let the thread go once its jobs are done."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _work(self) -> None:
        changed = self._changed  # a forked child has another one, and another thread
        while True:
            with changed:
                while not self._jobs:
                    if self._ended:
                        return
                    changed.wait()
                job = self._jobs.popleft()
            job.run()
