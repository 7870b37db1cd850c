"""Telling without flooding: at most one log line a minute per backend and cause, with what was held back."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable

import attrs

__all__ = ["Teller", "raised"]


@attrs.define
class _Cause:
    """What is remembered of one (backend, cause)."""

    told_at: float
    level: int
    held: int = 0  # what `n` counts, not told yet
    unit: str = "span"
    message: str = ""  # the last message that was held back


class Teller:
    """Logs the first of its kind at once, and what follows at most once every `interval` seconds.

    The next line that may be told carries the count of what was held back since the one before; what is still
    held at the end is told by `tell_rest()`.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        interval: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A teller that has told nothing.

        Args:
            logger: Where the lines go.
            interval: Seconds between two lines of the same backend and cause.
            clock: A monotonic clock, in seconds.
        """
        self._logger = logger
        self._interval = interval
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything (in a forked child: the lock may have been held at the fork)."""
        self._lock = threading.RLock()  # a signal handler may have something to say in the middle of this
        self._causes: dict[tuple[str, str], _Cause] = {}
        self._once: set[str] = set()

    def say(
        self,
        backend: str,
        cause: str,
        message: str,
        *,
        n: int = 1,
        unit: str = "span",
        level: int = logging.WARNING,
    ) -> bool:
        """Log `message`, or hold it back and count it.

        Args:
            backend: The backend's name, which the line begins with.
            cause: A short stable name of what is the same kind of thing, such as `"rejected 403"`.
            message: The line, without secrets.
            n: How many it is about.
            unit: What `n` counts, in the singular; one cause always counts the same.
            level: The level of `logging`.

        Returns:
            Whether it was logged now.
        """
        with self._lock:
            now = self._clock()
            known = self._causes.get((backend, cause))
            if known is not None and now - known.told_at < self._interval:
                known.held += n
                known.message = message
                known.level = level
                return False
            held = known.held if known is not None else 0
            self._causes[backend, cause] = _Cause(told_at=now, level=level, unit=unit)
        more = f" ({_counted(held, f'more {unit}')} since the last such line)" if held else ""
        self._logger.log(level, "%s: %s%s", backend, message, more)
        return True

    def say_once(self, key: str, message: str, *, level: int = logging.WARNING) -> bool:
        """Log `message` unless something was said under `key` before; whether it was logged."""
        with self._lock:
            if key in self._once:
                return False
            self._once.add(key)
        self._logger.log(level, "%s", message)
        return True

    def tell_rest(self, backend: str | None = None, *, without: str | None = None) -> None:
        """Log what is held back, at the shutdown.

        Args:
            backend: About this one; None for all.
            without: Of causes that begin so, nothing.
        """
        with self._lock:
            asked = [key for key in self._causes if backend is None or key[0] == backend]
            rest = [(key, known) for key in asked if (known := self._causes[key]).held]
            for key, _ in rest:
                del self._causes[key]
        for (name, cause), known in rest:
            if without is None or not cause.startswith(without):
                more = f"({_counted(known.held, known.unit)} since the last such line)"
                self._logger.log(known.level, "%s: %s %s", name, known.message, more)


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def raised(error: object) -> str:
    """What was raised, and where. Its message may quote a span, which not every reader of logs may see."""
    if not isinstance(error, BaseException):
        return type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
