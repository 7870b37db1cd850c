"""Serverless handlers: what a handler traced leaves before its environment is frozen.

Between two invocations such a process stands still, threads included, and may never wake up again. So each
invocation ends with a flush that ends by a deadline of its own; what is unsent then stays where it is, in
memory for the next invocation or in the spool, and is counted.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Protocol, TypeVar, cast

from ajolo_fanout.health.report import Report
from ajolo_fanout.health.say import Teller, raised

__all__ = ["Deadline", "Flushing", "invocation", "seconds"]

Handler = TypeVar("Handler", bound=Callable[..., Any])

Deadline = float | Callable[..., float] | None
"""Seconds that an invocation has from its start; or what says, called with the handler's arguments once it is
done, how many are left; or None for the file's `[shutdown] timeout` after the handler is done."""


class Flushing(Protocol):
    """What flushes at the end of an invocation. Nothing of it raises."""

    def flush(self, timeout: float | None = None) -> Report:
        """Send what has ended."""

    async def aflush(self, timeout: float | None = None) -> Report:
        """The same in an event loop."""

    def carried_over(self, report: Report) -> None:
        """Count what an invocation leaves to the next."""


class _End:
    """The end of one invocation."""

    def __init__(
        self, flushing: Flushing, deadline: Deadline, teller: Teller, arguments: tuple[Any, Any]
    ) -> None:
        self._flushing = flushing
        self._deadline = deadline
        self._teller = teller
        self._arguments = arguments
        self._started = time.monotonic()

    def flush(self) -> None:
        self._flushing.carried_over(self._flushing.flush(self._left()))

    async def aflush(self) -> None:
        self._flushing.carried_over(await self._flushing.aflush(self._left()))

    def _left(self) -> float | None:
        deadline = self._deadline
        if deadline is None:
            return None
        if callable(deadline):
            arguments, named = self._arguments
            try:
                return max(0.0, seconds(deadline(*arguments, **named)))
            except Exception as error:  # the program's own, but nothing about tracing may cost it its result
                message = f"the function for the deadline failed with {raised(error)}; {_INSTEAD}"
                self._teller.say("invocation", "deadline", message, unit="invocation")
                return None
        return max(0.0, self._started + deadline - time.monotonic())


def seconds(given: float) -> float:
    """`given` as a number of seconds.

    Raises:
        TypeError, ValueError: it is none.
    """
    number = float(given)
    if math.isnan(number):
        raise ValueError("expected a number of seconds, not NaN")
    return number


_INSTEAD = "[shutdown] timeout is taken"


def invocation(flushing: Flushing, deadline: Deadline, teller: Teller) -> Callable[[Handler], Handler]:
    """Make a decorator of handlers; see `Fanout.invocation()`. A deadline that is none is told to `teller`."""
    if deadline is not None and not callable(deadline):
        try:
            deadline = seconds(deadline)
        except Exception:  # said now, and not after a handler that has done its work
            kind = type(deadline).__name__
            what = "NaN" if kind == "float" else f"a {kind}"
            message = f"deadline is neither a number of seconds nor a function, but {what}; {_INSTEAD}"
            teller.say("invocation", "no deadline", message, unit="decorator")
            deadline = None
    begin = functools.partial(_End, flushing, deadline, teller)

    def decorate(handler: Handler) -> Handler:
        made = functools.wraps(handler)(_wrapper(handler, begin))
        return cast("Handler", made)

    return decorate


def _wrapper(handler: Callable[..., Any], begin: Callable[[tuple[Any, Any]], _End]) -> Callable[..., Any]:
    """A handler of the same kind: what calls it may look whether it is a coroutine function."""
    if inspect.isasyncgenfunction(handler):

        def beginning(*arguments: Any, **named: Any) -> _Stream:
            end = begin((arguments, named))
            return handler(*arguments, **named), end

        return _streaming(beginning)
    if inspect.iscoroutinefunction(handler):

        async def waiting(*arguments: Any, **named: Any) -> Any:
            end = begin((arguments, named))
            return await _awaited(handler(*arguments, **named), end)

        return waiting
    if inspect.isgeneratorfunction(handler):

        def generating(*arguments: Any, **named: Any) -> Generator[Any, Any, Any]:
            end = begin((arguments, named))
            return (yield from _generated(handler(*arguments, **named), end))

        return generating

    def plain(*arguments: Any, **named: Any) -> Any:
        return _called(handler, begin((arguments, named)), arguments, named)

    return plain


def _called(handler: Callable[..., Any], end: _End, arguments: Any, named: Any) -> Any:
    """Call a handler that isn't known to be of another kind: what it returns may still be the work to come."""
    later = False
    try:
        result = handler(*arguments, **named)
        later = True
        if inspect.isasyncgen(result):
            return _streaming(lambda: (result, end))()
        if inspect.isgenerator(result):
            return _generated(result, end)
        if inspect.isawaitable(result):
            return _awaited(result, end)
        later = False
        return result
    finally:
        if not later:
            end.flush()


async def _awaited(result: Awaitable[Any], end: _End) -> Any:
    try:
        return await result
    finally:
        await end.aflush()


_Stream = tuple[AsyncGenerator[Any, Any], _End]
"""What a streaming handler yields, and the end of its invocation."""


def _streaming(begin: Callable[..., _Stream]) -> Callable[..., AsyncGenerator[Any, Any]]:
    """An asynchronous `yield from`, which the language lacks, with the end of the invocation behind it."""

    async def streaming(*arguments: Any, **named: Any) -> AsyncGenerator[Any, Any]:
        items, end = begin(*arguments, **named)
        try:
            # Whoever stops reading early closes us; the handler is closed then, and its spans end before the flush.
            async with contextlib.aclosing(items):
                step = items.asend(None)
                while True:
                    try:
                        item = await step
                    except StopAsyncIteration:
                        return
                    try:
                        sent = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # the handler's to deal with
                        step = items.athrow(error)
                    else:
                        step = items.asend(sent)
        finally:
            await end.aflush()

    return streaming


def _generated(items: Generator[Any, Any, Any], end: _End) -> Generator[Any, Any, Any]:
    try:
        return (yield from items)
    finally:
        end.flush()
