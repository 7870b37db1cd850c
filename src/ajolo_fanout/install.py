"""`install_from_config()`: find the file, load it, plan, then build a provider or attach to the one there.

The one call of this package that raises, and only for what an operator can mend. OpenTelemetry lets the
global provider be set once per process and offers no way back, so a process has one installation: the
same file again gives the same `Fanout`, another file is an error, and after `shutdown()` a new call
attaches to the provider that we set earlier, whose tracers are all over the program by then.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import attrs
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ajolo_fanout import forks, process, sdk_internals, surroundings
from ajolo_fanout.config.document import load
from ajolo_fanout.config.find import VARIABLE, Found, Off, find
from ajolo_fanout.errors import ConfigError, InstallError
from ajolo_fanout.fanout import Fanout
from ajolo_fanout.plan.environment import is_disabled
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.provider import PlanSampler, silent_provider, span_limits

__all__ = ["Stage", "install", "install_from_config", "staged"]

_log = logging.getLogger("ajolo_fanout.install")

_HOW = {
    "argument": "named in the call",
    "environment": f"named by ${VARIABLE}",
    "folder": "found in the current folder",
}


@attrs.frozen(eq=False)
class Stage:
    """What a test puts between a file and what is made of it; see `ajolo_fanout.testing.fake_backends()`.

    Attributes:
        adapt: Makes the plan that is installed from the file's.
        provider: What is made global in place of a provider of its own. The program's tracers hold on to it
            from one test to the next.
        installed: Told of each installation.
    """

    adapt: Callable[[Plan], Plan]
    provider: TracerProvider
    installed: Callable[[Fanout], None]


@attrs.define
class _Installed:
    """What this process has installed; a fork's child inherits it, its `Fanout` started over."""

    fanout: Fanout | None = None
    path: Path | None = None
    provider: TracerProvider | None = None  # the one that we built and set, for good
    said: set[str] = attrs.field(factory=set)
    stage: Stage | None = None


@attrs.define
class _Turn:
    """One installation at a time."""

    lock: threading.Lock = attrs.field(factory=threading.Lock)
    greenlets: bool = attrs.field(factory=surroundings.threads_are_greenlets)


_installed = _Installed()
_turn = _Turn()


def _new_turn() -> None:
    global _turn  # noqa: PLW0603 - a lock that another thread held at a fork stays locked in the child for ever
    _turn = _Turn()


def _in_turn() -> threading.Lock:
    """The lock: one of gevent's where threads are greenlets, which would wait for another for ever."""
    if _turn.greenlets is not surroundings.threads_are_greenlets():
        _new_turn()
    return _turn.lock


forks.in_child(_new_turn)


@contextmanager
def staged(stage: Stage) -> Iterator[None]:
    """Within it, it is as if nothing had been installed in this process, and what is installed goes by `stage`."""
    global _installed  # noqa: PLW0603 - put back on leaving
    before = _installed
    _installed = _Installed(provider=stage.provider, stage=stage)
    try:
        yield
    finally:
        _installed = before


def install_from_config(
    path: str | os.PathLike[str] | None = None,
    *,
    set_global: bool = True,
    on_error: Literal["raise", "warn"] = "raise",
) -> Fanout:
    """Send everything that this program traces to the backends of its `tracing.toml`.

    Call it once, early, in the main thread (Python sets signal handlers nowhere else), before
    `AjolopyFactory.create()`. Children of multiprocessing's `spawn` and `forkserver` call it for themselves.

    Args:
        path: The file. Else `$AJOLO_FANOUT_CONFIG` (`off`: nothing is installed), else `./tracing.toml`.
        set_global: Set OpenTelemetry's global provider, or attach to the one that is set. With False a
            provider of its own is built, any number of which stand side by side.
        on_error: With `"warn"` a file with mistakes is logged, and the program runs with the backends that
            are right, or with none.

    Returns:
        The handle. The same file again gives the same one, until its `shutdown()`. With
        `OTEL_SDK_DISABLED=true`, or `off`, it is inert: it has no backend and does nothing.

    Raises:
        ConfigError: The file, a profile or the environment can't be used; every problem at once.
        InstallError: Another file is installed already, or the global provider takes no span processor.
        ValueError: `on_error` is neither of the two.
    """
    return install(path, os.environ, set_global=set_global, on_error=on_error)


def install(
    path: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    *,
    set_global: bool,
    on_error: Literal["raise", "warn"],
) -> Fanout:
    """`install_from_config()`, which is the public name, in an environment that may not be the process's."""
    if on_error not in ("raise", "warn"):
        raise ValueError(f'on_error must be "raise" or "warn", got {on_error!r}')
    with _in_turn():
        if is_disabled(environ):
            _say_once(logging.WARNING, "OTEL_SDK_DISABLED=true: nothing is traced and nothing is installed")
            return _inert(set_global=set_global)
        try:
            return _install(path, environ, set_global=set_global, tolerant=on_error == "warn")
        except (ConfigError, InstallError) as error:
            if on_error == "raise":
                raise
            _log.error("nothing is sent to any backend: %s", error)
            return _inert(set_global=set_global)


def _install(
    path: str | os.PathLike[str] | None, environ: Mapping[str, str], *, set_global: bool, tolerant: bool
) -> Fanout:
    found = find(path, environ, Path.cwd())
    if isinstance(found, Off):
        _say_once(logging.INFO, f"nothing is installed: {found.why}")
        return _inert(set_global=set_global)
    if set_global and (present := _present(found)) is not None:
        process.guard(present)  # once more: a server may have put its own handlers in place meanwhile
        return present
    plan = _plan(found, environ, tolerant=tolerant)
    provider = _global_provider() if set_global else None
    if not plan.backends:
        _tell(plan, found)
        return Fanout.inert(plan, provider)
    if set_global and _installed.fanout is not None:
        _installed.fanout.detach()
    if set_global and provider is None:
        fanout = _set_global(plan)
    else:
        fanout = Fanout(plan) if provider is None else _attach(plan, provider)
    if set_global:
        _installed.fanout, _installed.path = fanout, found.path.resolve()
    process.guard(fanout)
    if _installed.stage is not None:
        _installed.stage.installed(fanout)
    _tell(plan, found)
    return fanout


def _plan(found: Found, environ: Mapping[str, str], *, tolerant: bool) -> Plan:
    stage = _installed.stage
    document = load(found.path, found.name, named_by=found.named_by)
    if stage is None:
        return resolve(document, environ, tolerant=tolerant)
    return stage.adapt(resolve(document, environ, tolerant=tolerant, allow_unset=True))


def _present(found: Found) -> Fanout | None:
    """The installation that is alive, if it came from the file that was found.

    Raises:
        InstallError: It came from another.
    """
    present = _installed.fanout
    if present is None or present.stopped:
        return None
    if found.path.resolve() == _installed.path:
        return present
    raise InstallError(
        f"{present.plan.file} is installed in this process already, and {found.name} is another file. "
        "A process has one installation: call shutdown() on the first, or pass set_global=False for another"
    )


def _inert(*, set_global: bool) -> Fanout:
    current = trace.get_tracer_provider() if set_global else None
    return Fanout.inert(provider=current if isinstance(current, TracerProvider) else silent_provider())


# -- the provider ------------------------------------------------------------------------------------------


def _global_provider() -> TracerProvider | None:
    """The SDK provider to attach to, or None where none is set.

    Raises:
        InstallError: What is set takes no span processor.
    """
    current = trace.get_tracer_provider()
    if isinstance(current, TracerProvider):
        return current
    if isinstance(current, trace.ProxyTracerProvider):
        return None
    kind = f"{type(current).__module__}.{type(current).__qualname__}"
    if kind.startswith("ddtrace."):
        raise InstallError(
            f"ddtrace has set its own global tracer provider ({kind}), which takes no span processor. It "
            "does so when DD_TRACE_OTEL_ENABLED=true or OTEL_SDK_DISABLED=false is set; here "
            f"{_ddtrace_switches()}. Unset them: ddtrace goes on tracing by itself, and what OpenTelemetry "
            "traces goes where the file says"
        )
    raise InstallError(
        f"the global tracer provider is a {kind}, which is no opentelemetry.sdk.trace.TracerProvider and "
        "takes no span processor. Install before the library that sets it, or pass set_global=False and hand "
        "fanout.provider to what should be traced"
    )


def _ddtrace_switches() -> str:
    names = ("DD_TRACE_OTEL_ENABLED", "OTEL_SDK_DISABLED")
    shown = (f"={os.environ[name]}" if name in os.environ else " is unset" for name in names)
    return ", ".join(map("".join, zip(names, shown, strict=True)))


def _set_global(plan: Plan) -> Fanout:
    """Make a provider of ours the global one; where another thread has set one meanwhile, attach to that."""
    stage = _installed.stage
    if stage is None:
        fanout = Fanout(plan)
    else:
        sdk_internals.set_span_limits(stage.provider, span_limits(plan))
        fanout = _attach(plan, stage.provider)
    trace.set_tracer_provider(fanout.provider)
    if trace.get_tracer_provider() is fanout.provider:
        _installed.provider = fanout.provider
        return fanout
    fanout.shutdown(0)
    provider = _global_provider()
    assert provider is not None, "one was set, and not by us"
    return _attach(fanout.plan, provider)


def _attach(plan: Plan, provider: TracerProvider) -> Fanout:
    """Join a provider that is there already: somebody else's, or our own of an earlier installation."""
    ours = provider is _installed.provider
    if ours and isinstance(provider.sampler, PlanSampler):
        provider.sampler.adopt(plan)
    others = [sdk_internals.describe_processor(one) for one in sdk_internals.span_processors(provider) or ()]
    lost = _cannot_apply(plan, provider)
    fanout = Fanout(plan, provider=provider, ours=ours)
    if ours:
        if lost:
            _log.warning("installed again on the provider of the first installation; %s", "; ".join(lost))
        return fanout
    keep = f"Its other span processors keep sending: {', '.join(others)}"
    _log.warning(
        "attached to a tracer provider that was there already; %s. %s",
        "; ".join([*lost, "the file's resource is laid over each span's"]),
        keep if others else "It has no other span processor",
    )
    return fanout


def _cannot_apply(plan: Plan, provider: TracerProvider) -> list[str]:
    """What of the plan is decided when a span starts, and so can't be decided by us here."""
    lost = []
    sampler = provider.sampler
    if not isinstance(sampler, PlanSampler):
        lost.append(
            f"its own sampler ({sampler.get_description()}) decides what is recorded, each backend's ratio "
            "holds only among that, and no sampling weight is claimed"
        )
    theirs = sdk_internals.span_limits(provider)
    wanted = plan.limits
    if theirs is None:
        lost.append("its own limits stand in place of [limits]")
    elif (
        theirs.max_span_attributes,
        theirs.max_events,
        theirs.max_links,
        theirs.max_span_attribute_length,
    ) != (
        wanted.attribute_count_limit,
        wanted.event_count_limit,
        wanted.link_count_limit,
        wanted.attribute_value_length_limit,
    ):
        shown = (
            f"{theirs.max_span_attributes} attributes, {theirs.max_events} events, {theirs.max_links} links"
        )
        lost.append(f"its own limits ({shown} a span) stand in place of [limits]")
    return lost


# -- what is said ------------------------------------------------------------------------------------------


_WITHOUT_THREADS = (
    "uWSGI runs without threads here, so what delivers stands still between two requests: spans arrive late, or "
    "only when the worker ends. Start uWSGI with enable-threads = true"
)


def _tell(plan: Plan, found: Found) -> None:
    server = surroundings.uwsgi()
    if server is not None and plan.backends and not server.has_threads:
        _say_once(logging.WARNING, _WITHOUT_THREADS)
    names = ", ".join(backend.name for backend in plan.backends) or "no backend"
    _say_once(logging.INFO, f"using {found.path} ({_HOW[found.how]}): {names}")
    for off in plan.off:
        _say_once(logging.INFO, f"backend {off.name} is off: {off.why}")
    for problem in plan.warnings:
        _say_once(logging.WARNING, str(problem))


def _say_once(level: int, message: str) -> None:
    if message not in _installed.said:
        _installed.said.add(message)
        _log.log(level, "%s", message)
