"""A program that installs its own file, in a test: its backends are fakes, and nothing of it stays.

::

    with fake_backends() as installed:
        my_program.main()  # calls install_from_config() itself
        installed.flush()
        [span] = installed.spans("datadog")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ajolo_fanout import sdk_internals
from ajolo_fanout.install import Stage, staged
from ajolo_fanout.provider import build_provider, empty_plan
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
                "nothing has been installed: the code under test hasn't called install_from_config(), or it was "
                "told to install nothing (AJOLO_FANOUT_CONFIG=off, OTEL_SDK_DISABLED=true, a file without backends)"
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

        stack.callback(_empty, provider)
        stack.enter_context(sdk_internals.no_global_provider())
        stack.enter_context(staged(Stage(adapt, provider, note)))
        yield installed


_kept: list[TracerProvider] = []
"""The provider of all tests of this process: an instrumentation takes its tracer from the first, and keeps it."""


def _provider() -> TracerProvider:
    if not _kept:
        _kept.append(build_provider(empty_plan()))  # each file's resource is laid over an empty one
    return _kept[0]


def _empty(provider: TracerProvider) -> None:
    """Take off what the program has added; the next test's spans are none of its business."""
    for one in sdk_internals.span_processors(provider) or ():
        sdk_internals.remove_span_processor(provider, one)
