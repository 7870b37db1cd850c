"""What a program says from code about where it is: `context()`, `only()`, `exclude()`, `keep()`.

All of it travels in OpenTelemetry's context, so it follows a request through coroutines and instrumented
threads; nothing of it is added to outgoing headers. The names are public as `ajolo_fanout.context` and so on.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Token
from types import MappingProxyType
from typing import Any, Protocol

import attrs
from opentelemetry.context import Context, attach, create_key, detach, get_value, set_value
from opentelemetry.trace import Span, get_current_span
from opentelemetry.util.types import AttributeValue

__all__ = [
    "ANYWHERE",
    "Keeper",
    "Routing",
    "attributes_in",
    "context",
    "dismiss",
    "enlist",
    "exclude",
    "keep",
    "only",
    "routing_in",
    "routing_used",
]

_ATTRIBUTES = create_key("ajolo_fanout.attributes")
_ROUTING = create_key("ajolo_fanout.routing")
_NONE: Mapping[str, AttributeValue] = MappingProxyType({})


@attrs.frozen
class Routing:
    """Where code says that a trace goes.

    Attributes:
        only: The backends that may get it; None for all.
        exclude: Those that may not.
    """

    only: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    def allows(self, backend: str) -> bool:
        """Whether `backend` may get it."""
        return backend not in self.exclude and (self.only is None or backend in self.only)

    def within(self, outer: Routing) -> Routing:
        """Both together: what either forbids is forbidden."""
        if self == outer:
            return outer
        only = (
            self.only if outer.only is None else outer.only if self.only is None else self.only & outer.only
        )
        return Routing(only, self.exclude | outer.exclude)

    @property
    def names(self) -> frozenset[str]:
        """Every backend that is named."""
        return self.exclude | (self.only or frozenset())


ANYWHERE = Routing()
"""Nothing was said."""

_used = False


def routing_used() -> bool:
    """Whether this process ever said where a trace goes; until then nobody has to look."""
    return _used


@contextmanager
def context(**attributes: AttributeValue) -> Iterator[None]:
    """Give every span that starts inside these attributes, as far as `[context] attributes` names them.

    ::

        with ajolo_fanout.context(**{"session.id": session, "user.id": user}):
            agent.run(question)

    Nothing is added to outgoing headers. Contexts nest; the inner one wins. Coroutines and tasks that are
    started inside have it, and threads that OpenTelemetry's context is carried to. A generator that yields
    inside shares it with its caller until it goes on, as it does everything in Python's contextvars.

    Args:
        **attributes: Names and values. A name that the file doesn't list is put on nothing.
    """
    outer = get_value(_ATTRIBUTES)
    whole = {**outer, **attributes} if isinstance(outer, Mapping) else attributes
    token = attach(set_value(_ATTRIBUTES, MappingProxyType(whole)))
    try:
        yield
    finally:
        _leave(token)


def only(*backends: str) -> Any:
    """Send what starts inside to these backends only.

    A context manager. Nested in another, both hold. A backend that is named still selects and samples.

    Args:
        *backends: Names from the file. None at all: inside, nothing is sent anywhere.
    """
    return _routed(Routing(only=frozenset(backends)))


def exclude(*backends: str) -> Any:
    """Keep what starts inside from these backends.

    A context manager. Nested in another, both hold.

    Args:
        *backends: Names from the file.
    """
    return _routed(Routing(exclude=frozenset(backends)))


@contextmanager
def _routed(routing: Routing) -> Iterator[None]:
    global _used  # noqa: PLW0603 - so that programs that never say so pay nothing at a span's start
    _used = True
    token = attach(set_value(_ROUTING, routing.within(routing_in(None))))
    try:
        yield
    finally:
        _leave(token)


def _leave(token: Any) -> None:
    """Take back what `attach()` did.

    An async generator that isn't read to its end is closed by another task, where nothing was attached and
    nothing is to be taken back; the SDK's own `detach` would log that as an error of the program's.
    """
    if not isinstance(token, Token):  # another context implementation than the usual one
        detach(token)
        return
    with suppress(ValueError):
        token.var.reset(token)


def attributes_in(where: Context) -> Mapping[str, AttributeValue]:
    """What `context()` says there."""
    found = get_value(_ATTRIBUTES, where)
    return found if isinstance(found, Mapping) else _NONE


def routing_in(where: Context | None) -> Routing:
    """What `only()` and `exclude()` say there; None is the current context."""
    found = get_value(_ROUTING, where)
    return found if isinstance(found, Routing) else ANYWHERE


class Keeper(Protocol):
    """What may keep a trace; each installation has one."""

    def keep(self, span: Span, reason: str) -> bool | None:
        """Keep the trace of `span`; whether that took effect, or None where the span isn't its own."""


_keepers: dict[int, weakref.ref[Keeper]] = {}
"""Those of this process that are at work. Every touch is one step in the interpreter, so it needs no lock."""


def enlist(keeper: Keeper) -> None:
    """Ask `keeper`, too, when a trace is to be kept."""
    _keepers[id(keeper)] = weakref.ref(keeper)


def dismiss(keeper: Keeper) -> None:
    """Ask it no more."""
    _keepers.pop(id(keeper), None)


def keep(reason: str) -> bool:
    """Keep the trace of the current span at every backend that has `sampling.keep` rules.

    Whatever their rules say, they get this trace, and its root bears `reason` as `ajolo_fanout.kept_by`.

    Args:
        reason: A few words; the same ones for the same kind of trace.

    Returns:
        Whether it took effect at a backend: False where the trace isn't recorded, where no backend has such
        rules or may get it (`only()`, `exclude()`), where all of them respect that it wasn't sampled upstream,
        or where it was decided against already.
    """
    span = get_current_span()
    if not span.is_recording():
        return False
    for ref in list(_keepers.values()):
        one = ref()
        answer = None if one is None else one.keep(span, reason)
        if answer is not None:
            return answer
    return False
