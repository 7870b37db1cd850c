"""A file's own plan at work against fakes: what a test of one's own `tracing.toml` stands on.

::

    with fanout("tracing.toml") as harness:
        with harness.provider.get_tracer("test").start_as_current_span("chat gpt-4o"):
            ...
        harness.flush()
        [seen] = harness.spans("datadog")
"""

from __future__ import annotations

import os
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from ajolo_fanout.config.document import load
from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.fanout import Fanout
from ajolo_fanout.otlp.decode import from_json
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.replay.rerun import rerun
from ajolo_fanout.testing.fakes import FakeBackend

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

    from ajolo_fanout.health.report import Health, Report
    from ajolo_fanout.otlp.decode import DecodedSpan

__all__ = ["Harness", "Swapped", "fanout", "swap"]

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


@attrs.frozen(eq=False)
class Harness:
    """One file at work.

    Attributes:
        fanout: The handle, as `install_from_config()` would return it, but never global.
        backends: The fakes by backend name; without those that have an endpoint of the caller's, and without
            consoles and files.
        files: Where each backend of type `file` writes instead of the path in the file.
    """

    fanout: Fanout
    backends: Mapping[str, FakeBackend]
    files: Mapping[str, Path]

    @property
    def plan(self) -> Plan:
        """The file's plan, with the hosts replaced."""
        return self.fanout.plan

    @property
    def provider(self) -> TracerProvider:
        """The provider whose spans are fanned out."""
        return self.fanout.provider

    def flush(self, timeout: float | None = None) -> Report:
        """Send what has ended so far; afterwards `spans()` shows it. See `Fanout.flush()`."""
        return self.fanout.flush(timeout)

    def health(self) -> Health:
        """Each backend's state and counters now."""
        return self.fanout.health()

    def replay(self, spans: Iterable[ReadableSpan]) -> None:
        """Start and end recorded spans on this provider, with their own ids and times.

        The file's resource, sampling and limits apply as they would to the program that was recorded.

        Args:
            spans: In the order in which they ended, as `recorded_spans()` gives them.
        """
        rerun(self.provider, spans)

    def spans(self, backend: str) -> list[DecodedSpan]:
        """What a fake took, or what a backend of type `file` wrote, in the order of arrival.

        Raises:
            ValueError: when this harness doesn't see what `backend` gets; the message says why.
        """
        if backend in self.backends:
            return self.backends[backend].spans
        if backend in self.files:
            return _written(self.files[backend])
        if any(one.name == backend for one in self.plan.backends):
            raise ValueError(
                f"{backend} has no fake here: it writes to a console, or to an endpoint of yours"
            )
        off = next((one.why for one in self.plan.off if one.name == backend), None)
        known = ", ".join([*self.backends, *self.files])
        raise ValueError(f"{backend} is off: {off}" if off else f"no backend {backend!r}; there are {known}")


@contextmanager
def fanout(
    path: str | os.PathLike[str],
    endpoints: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    keep_all: bool = False,
) -> Iterator[Harness]:
    """Run a file's own plan, with each backend's host replaced; all of it stops on leaving.

    Sampling, processors, redaction, limits, encoding, batching and sending are the file's. Requests go to
    fakes on 127.0.0.1 that behave as each backend's vendor does, credentials included. The path of each URL
    stays, so that a wrong one is answered with 404. Unset variables and missing secret files are replaced by
    placeholders; a `file` backend writes to a temporary folder, and a spool lies in one. Nothing is made global.

    Args:
        path: The `tracing.toml`.
        endpoints: Scheme, host and port (`http://127.0.0.1:4318`) for backends that are to have no fake,
            by name; with a path where it isn't to be the file's (a Collector's `/v1/traces`).
        environ: What `${NAME}` is looked up in; by default the process's environment.
        keep_all: Every backend gets every trace whatever its `sampling.ratio`: for tests of what a backend
            sees, which would else depend on the trace ids that come up.

    Raises:
        ConfigError: when the file is wrong, with every problem in it.
        ValueError: when `endpoints` names a backend that isn't at work, or gives something else than a URL.
    """
    name = os.fspath(path)
    plan = resolve(load(Path(name), name), os.environ if environ is None else environ, allow_unset=True)
    with ExitStack() as stack:
        swapped = swap(plan, endpoints or {}, stack, keep_all=keep_all)
        handle = Fanout(swapped.plan)
        stack.callback(handle.shutdown)
        yield Harness(handle, swapped.backends, swapped.files)


@attrs.frozen(eq=False)
class Swapped:
    """A plan whose spans stay on this machine.

    Attributes:
        plan: The file's, with the hosts replaced.
        backends: The fakes by backend name.
        files: Where each backend of type `file` writes.
    """

    plan: Plan
    backends: Mapping[str, FakeBackend]
    files: Mapping[str, Path]


def swap(plan: Plan, endpoints: Mapping[str, str], stack: ExitStack, *, keep_all: bool) -> Swapped:
    """Replace the host of each backend by a fake that `stack` stops, or by the caller's own.

    Raises:
        ValueError: when `endpoints` names a backend that isn't at work, or gives something else than a URL.
    """
    chosen = _checked(endpoints, plan)
    if keep_all:
        plan = attrs.evolve(plan, backends=tuple(map(_unsampled, plan.backends)), ratio=1.0)
    if plan.spool is not None:
        # Never the file's own: what waits there for the vendor would be delivered to a fake, and be gone.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ajolo-fanout-"))
        plan = _spooling_in(plan, attrs.evolve(plan.spool, directory=Path(folder) / "spool"))
    stack.enter_context(_loopback_without_proxy())
    fakes: dict[str, FakeBackend] = {}
    files: dict[str, Path] = {}
    backends: list[BackendPlan] = []
    for backend in plan.backends:
        if backend.target.kind == "file":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ajolo-fanout-"))
            files[backend.name] = Path(folder) / "spans.jsonl"
            backends.append(_writing_to(backend, files[backend.name]))
        elif backend.target.kind == "otlp" and backend.name in chosen:
            backends.append(_sending_to(backend, chosen[backend.name]))
        elif backend.target.kind == "otlp":
            fake = stack.enter_context(FakeBackend.of(backend.target))
            fakes[backend.name] = fake
            backends.append(_sending_to(backend, fake.endpoint))
        else:
            backends.append(backend)
    whole = attrs.evolve(plan, backends=tuple(backends))
    return Swapped(whole, MappingProxyType(fakes), MappingProxyType(files))


def _checked(endpoints: Mapping[str, str], plan: Plan) -> Mapping[str, str]:
    at_work = [backend.name for backend in plan.backends if backend.target.kind == "otlp"]
    for name, endpoint in endpoints.items():
        if name not in at_work:
            raise ValueError(f"no backend {name!r} that sends; there are {', '.join(at_work)}")
        parts = urllib.parse.urlsplit(endpoint)
        origin = parts.scheme in ("http", "https") and parts.hostname
        if not origin or parts.query or parts.fragment:
            raise ValueError(
                f"the endpoint of {name!r} is to be scheme, host and port, such as http://127.0.0.1:4318, with a "
                "path where it isn't to be the file's"
            )
    return endpoints


def _unsampled(backend: BackendPlan) -> BackendPlan:
    sampling = attrs.evolve(backend.steps.sampling, ratio=1.0)
    return attrs.evolve(backend, steps=attrs.evolve(backend.steps, sampling=sampling))


def _spooling_in(plan: Plan, spool: SpoolSettings) -> Plan:
    backends = tuple(
        one if one.spool is None else attrs.evolve(one, spool=attrs.evolve(one.spool, settings=spool))
        for one in plan.backends
    )
    return attrs.evolve(plan, backends=backends, spool=spool)


def _sending_to(backend: BackendPlan, endpoint: str) -> BackendPlan:
    """The same backend at another scheme, host and port, and at another path where one is given."""
    parts = urllib.parse.urlsplit(endpoint)
    there = urllib.parse.urlsplit(backend.target.url)
    path = there.path if parts.path in ("", "/") else parts.path
    url = there._replace(scheme=parts.scheme, netloc=parts.netloc, path=path).geturl()
    settings = backend.settings
    if parts.scheme == "http":
        settings = attrs.evolve(settings, tls=TlsSettings())  # its certificates need not be on this machine
    return attrs.evolve(backend, target=attrs.evolve(backend.target, url=url), settings=settings)


def _writing_to(backend: BackendPlan, file: Path) -> BackendPlan:
    return attrs.evolve(backend, target=attrs.evolve(backend.target, file=file, url=file.as_uri()))


def _written(file: Path) -> list[DecodedSpan]:
    if not file.exists():
        return []
    return from_json(file.read_text(encoding="utf-8"))


@contextmanager
def _loopback_without_proxy() -> Iterator[None]:
    """Where a proxy is set, keep requests to this machine from it: HTTP and gRPC both ask the environment."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXY_VARIABLES):
        yield
        return
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    bypass = ",".join(filter(None, [before["no_proxy"] or before["NO_PROXY"], "127.0.0.1", "localhost"]))
    os.environ.update(dict.fromkeys(before, bypass))
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
