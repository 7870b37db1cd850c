"""A program that installs its own file, in a test: its backends are fakes, and nothing of it stays.

::

    with fake_backends() as installed:
        my_program.main()  # calls install_from_config() itself
        installed.flush()
        [span] = installed.spans("datadog")
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ajolo_fanout import sdk_internals
from ajolo_fanout.install import Stage, staged
from ajolo_fanout.provider import PlanSampler, build_provider, empty_plan
from ajolo_fanout.testing.harness import Harness, Swapped, swap

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from ajolo_fanout.fanout import Fanout
    from ajolo_fanout.health.report import Health, Report
    from ajolo_fanout.otlp.decode import DecodedSpan
    from ajolo_fanout.plan.model import Plan

__all__ = ["Installed", "fake_backends"]


class Installed:
    """What the code under test has installed; its last installation, where there were several.

    Attributes:
        endpoints: For backends that are to have no fake, as `fanout()` takes them. Change it before the
            installation.
        keep_all: Whether every backend gets every trace whatever its `sampling.ratio`. Likewise.
        harnesses: Every installation so far, those with `set_global=False` included.
    """

    def __init__(self, endpoints: Mapping[str, str], *, keep_all: bool) -> None:
        self.endpoints = dict(endpoints)
        self.keep_all = keep_all
        self.harnesses: list[Harness] = []

    @property
    def harness(self) -> Harness:
        """The last installation: its handle, its plan, its fakes.

        Raises:
            LookupError: when there is none.
        """
        if not self.harnesses:
            raise LookupError(
                "nothing has been installed: the code under test hasn't called install_from_config() since this test "
                "began (at its import, say, which came before), or it was told to install nothing "
                "(AJOLO_FANOUT_CONFIG=off, OTEL_SDK_DISABLED=true, a file without backends)"
            )
        return self.harnesses[-1]

    def flush(self, timeout: float | None = None) -> Report:
        """Send what has ended so far; afterwards `spans()` shows it. See `Fanout.flush()`."""
        return self.harness.flush(timeout)

    def health(self) -> Health:
        """Each backend's state and counters now."""
        return self.harness.health()

    def spans(self, backend: str) -> list[DecodedSpan]:
        """What a backend got, in the order of arrival. See `Harness.spans()`."""
        return self.harness.spans(backend)


@contextmanager
def fake_backends(
    endpoints: Mapping[str, str] | None = None, *, keep_all: bool = False
) -> Iterator[Installed]:
    """Within it, whatever file `install_from_config()` finds, its spans go to fakes on this machine.

    The file is found as ever, and its plan is at work as in `fanout()`. On entering it is as if no global
    provider had ever been set; on leaving, what was installed stops, and the earlier provider is global
    again. Tracers that the program keeps, at module level or in an instrumentation, work in the next test.
    One within another, a test's in its class's, has its spans to itself; afterwards the outer goes on.

    Args:
        endpoints: Scheme, host and port for backends that are to have no fake, by name; see `fanout()`.
        keep_all: Every backend gets every trace whatever its `sampling.ratio`.

    Raises:
        RuntimeError: This version of OpenTelemetry keeps its global provider elsewhere than it did.
    """
    installed = Installed(endpoints or {}, keep_all=keep_all)
    provider = _provider()
    with ExitStack() as stack:
        swapped: list[Swapped] = []

        def adapt(plan: Plan) -> Plan:
            swapped.append(swap(plan, installed.endpoints, stack, keep_all=installed.keep_all))
            return swapped[-1].plan

        def note(handle: Fanout) -> None:
            stack.callback(handle.detach)
            stack.callback(handle.shutdown)  # called first
            installed.harnesses.append(Harness(handle, swapped[-1].backends, swapped[-1].files))

        stack.enter_context(_to_itself(provider))
        stack.enter_context(sdk_internals.no_global_provider())
        stack.enter_context(staged(Stage(adapt, provider, note)))
        yield installed


_kept: list[TracerProvider] = []
"""The provider of all tests of this process: an instrumentation takes its tracer from the first, and keeps it."""


def _provider() -> TracerProvider:
    if not _kept:
        _kept.append(build_provider(empty_plan()))  # each file's resource is laid over an empty one
    return _kept[0]


@contextmanager
def _to_itself(provider: TracerProvider) -> Iterator[None]:
    """Within it, nothing of an outer `fake_backends()` is on the provider; afterwards it is as it was before."""
    processors = sdk_internals.span_processors(provider) or ()
    limits = copy.copy(sdk_internals.span_limits(provider))
    sampler = provider.sampler
    assert isinstance(sampler, PlanSampler), "what build_provider() gives its providers"
    with sampler.adopting():
        _empty(provider)
        try:
            yield
        finally:
            _empty(provider)  # what the program has added; the next test's spans are none of its business
            for one in processors:
                provider.add_span_processor(one)
            if limits is not None:
                sdk_internals.set_span_limits(provider, limits)


def _empty(provider: TracerProvider) -> None:
    for one in sdk_internals.span_processors(provider) or ():
        sdk_internals.remove_span_processor(provider, one)
