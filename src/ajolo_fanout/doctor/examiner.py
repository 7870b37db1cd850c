"""All checks of one backend, one after another, until one says that the next makes no sense."""

from __future__ import annotations

import contextlib
import os
import time
import urllib.parse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - for annotations
from typing import TypeAlias

import attrs

from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.doctor import network, protocols
from ajolo_fanout.doctor.asking import Reply, Said, ask, clock, credentials
from ajolo_fanout.doctor.certificate import shake_hands
from ajolo_fanout.doctor.elsewhere import Elsewhere, intakes, sites
from ajolo_fanout.doctor.findings import Check, Diagnosis, Trouble, conclude
from ajolo_fanout.doctor.limits import STEP, Deadline, limited, side_by_side
from ajolo_fanout.doctor.local import check_console, check_folder, check_socket
from ajolo_fanout.doctor.reading import read_trial
from ajolo_fanout.doctor.trial import try_span
from ajolo_fanout.health.say import raised
from ajolo_fanout.plan.environment import is_disabled
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.profiles.endpoint import is_loopback
from ajolo_fanout.profiles.target import SelfTestRequest, Target
from ajolo_fanout.values import Mask, Secret
from ajolo_fanout.wording import printable

__all__ = ["Examiner", "Route", "Tell"]

Route: TypeAlias = Callable[[str], str]
"""Where a URL is really asked: itself, or what stands in for the vendor's host in a test."""

Tell: TypeAlias = Callable[[str, "Check | None"], None]
"""Is told of each check by its name: None when it begins, the check when it is done."""

_GLANCE = 2.5
"""Seconds for a look at what else a port may speak."""

_ENDED = frozenset({"cut-off", "busy", "tls-failed", "client-certificate"})
"""What a request comes to whose connection the server ends; gRPC calls all of it unavailable."""

_OF_AN_INTAKE = frozenset({"key-refused", "wrong-path", "not-otlp", "rejected"})
"""Refusals that another intake of the same vendor would mend; one that is busy is not the wrong one."""


class Examiner:
    """Examines one backend."""

    def __init__(
        self, plan: Plan, backend: BackendPlan, seconds: float, *, find_site: bool, route: Route, tell: Tell
    ) -> None:
        """An examiner that has asked nothing yet.

        Args:
            plan: What the backend is one of.
            backend: The backend.
            seconds: How long all of it may take.
            find_site: Try refused credentials at the vendor's other sites.
            route: Where each URL is asked.
            tell: Is told of each check.
        """
        self.checks: list[Check] = []
        self._plan = plan
        self._written = backend
        self._backend = _routed(backend, route)
        self._deadline = Deadline(seconds)
        self._find_site = find_site
        self._route = route
        self._tell = tell
        self._secrets = tuple(secret for one in plan.backends for secret in _secrets(one.target))
        self._mask = Mask(self._secrets)
        self._said: Said | None = None

    def run(self) -> Diagnosis:
        """Ask everything; never raises."""
        try:
            self._ask_everything()
        except Exception as error:  # a mistake in here, outside of any check; told as what it is
            self.checks.append(_failed_itself("doctor", error))
        return self.diagnosis()

    def _ask_everything(self) -> None:
        kind, url = self._backend.target.kind, self._backend.target.url
        if kind == "console":
            if self._passes("stream", lambda: check_console(self._backend)):
                self._span(quiet=True)
        elif kind == "file":
            if self._passes("folder", lambda: limited(lambda: check_folder(self._backend), self._left())):
                self._span()
        elif url.startswith("unix:"):
            path = Path(self._backend.target.host)
            if self._passes("connect", lambda: check_socket(path, self._left())):
                self._span()
        else:
            self._over_the_network(url)

    def diagnosis(self) -> Diagnosis:
        """What the checks so far amount to."""
        target = self._written.target
        return conclude(self._written.name, target.profile.id, target.url, tuple(self.checks))

    # -- the network ---------------------------------------------------------------------------------------

    def _over_the_network(self, url: str) -> None:
        found: list[network.Way] = []
        if not self._passes("proxy", lambda: self._way(url, found), silent=True):
            return
        [way] = found
        if not self._reaches(way) or not self._is_secure(way):
            self.checks.append(Check("span", "skipped", "not sent, for the connection fails before"))
            return
        self._ask_the_server()
        if self._find_site and self._said is not None and self._said.verdict == "invalid":
            self._passes("site", self._site)
        self._send(way)

    def _way(self, url: str, found: list[network.Way]) -> Check:
        way = network.way_to(url, os.environ)
        found.append(way)
        if way.proxy is None:
            return Check("proxy", "skipped", "none")
        if way.proxy.credentials is not None:
            self._mask = Mask((*self._secrets, *_proxy_secrets(way.proxy.credentials)))
        return Check("proxy", "ok", f"{way.proxy.url}, as the environment says; the checks below go to it")

    def _reaches(self, way: network.Way) -> bool:
        """The checks `name` and `connect`."""
        host, port = way.first
        found: list[network.Address] = []

        def resolve() -> Check:
            found.extend(network.addresses(host, port, self._left()))
            if network.is_address(host):
                return Check("name", "skipped", "an address, not a name")
            return Check("name", "ok", f"{host} is {network.describe(found)}")

        def connect() -> Check:
            connection, address = network.connect(found, self._left())
            connection.close()
            return Check("connect", "ok", f"{address} port {port}")

        named = self._passes("name", resolve, silent=True)
        return named and self._passes("connect", lambda: self._hint(connect, way))

    def _hint(self, connect: Callable[[], Check], way: network.Way) -> Check:
        """`connect()`, with the next step where nothing listens."""
        try:
            return connect()
        except Trouble as trouble:
            if trouble.code != "refused" or trouble.next:
                raise
            if way.proxy is not None:
                advice = "is the proxy running? Or name the backend's host in NO_PROXY"
            else:
                open_elsewhere = network.other_port(*way.first, min(1.0, self._left()))
                advice = open_elsewhere or _start_it(self._backend.target)
            raise Trouble(trouble.code, trouble.said, advice) from None

    def _is_secure(self, way: network.Way) -> bool:
        """The check `tls`."""
        if not way.secure:
            return True
        if way.proxy is not None and way.proxy.url.startswith("https:"):
            self.checks.append(
                Check("tls", "skipped", "behind a proxy with TLS of its own; the span will tell")
            )
            return True
        target, settings = self._backend.target, self._backend.settings
        open_socket = partial(self._open, way)
        return self._passes("tls", lambda: shake_hands(open_socket, way.host, settings.tls, target.protocol))

    def _open(self, way: network.Way, most: float = STEP) -> Socket:
        seconds = self._left(most)
        if way.proxy is not None:
            return network.tunnel(way, seconds)
        connection, _ = network.connect(network.addresses(way.host, way.port, seconds), seconds)
        connection.settimeout(seconds)
        return connection

    # -- what the server says ------------------------------------------------------------------------------

    def _ask_the_server(self) -> None:
        """The checks `clock` and `credentials`; one answer serves both."""
        target = self._backend.target
        replies: list[Reply | str] = []

        def look_at_clock() -> Check:
            if target.self_test is None and target.protocol == "grpc":
                return Check("clock", "skipped", "not known: a gRPC server doesn't say the time")
            reply = self._self_test(target.self_test) if target.self_test else self._plain_request()
            replies.append(reply)
            return clock(reply)

        self._passes("clock", look_at_clock)
        if target.self_test is not None and replies:
            test = target.self_test
            self._passes("credentials", lambda: self._credentials(test, replies[0]))
        elif target.credentials:
            told = "there is no way to ask but by a span"
            self.checks.append(Check("credentials", "skipped", told))

    def _credentials(self, test: SelfTestRequest, reply: Reply | str) -> Check:
        self._said = said = credentials(test, reply, self._mask)
        if said.verdict == "valid":
            return Check("credentials", "ok", said.said)
        if said.verdict == "unclear":
            return Check("credentials", "warning", f"not known: {said.said}", said.next)
        advice = said.next or "check the credentials"
        if not self._find_site and sites(self._written):
            advice += "; --find-site asks the vendor's other sites"
        return Check("credentials", "failed", said.said, advice, "key-refused")

    def _self_test(self, test: SelfTestRequest) -> Reply | str:
        tls = self._backend.settings.tls
        return ask(test.method, self._route(test.url), test.headers, tls, self._share(), self._reading())

    def _plain_request(self) -> Reply | str:
        """What has no key in it, and is answered with a date, whatever else it is answered with."""
        tls, url = self._backend.settings.tls, self._backend.target.url
        return ask("GET", url, {}, tls, self._share(), self._reading())

    def _share(self) -> float:
        return min(self._deadline.share(), float(self._backend.settings.timeout))

    def _reading(self) -> Reading:
        return Reading((), self._mask, self._backend.target.profile.title)

    def _site(self) -> Check:
        """The check `site`: the credentials at the vendor's other sites."""
        others = sites(self._written)
        if not others:
            return Check("site", "skipped", "there is no other site to try: `endpoint` says where to send")
        calls = {one: partial(self._tried_at, one) for one in others}
        answers = side_by_side(calls, self._left())
        good = [one for one, said in answers.items() if said.verdict == "valid"]
        names = ", ".join(one.choice for one in others)
        if good:
            here = self._written.target.inputs[good[0].input]
            told = f"the credentials are valid on {good[0].choice.upper()}, this is {str(here).upper()}"
            return Check("site", "failed", told, f"set `{good[0].written}`", "wrong-site")
        unclear = [one.choice for one in others if one not in answers or answers[one].verdict == "unclear"]
        told = f"valid at none of {names}" + (
            f" ({', '.join(unclear)} gave no clear answer)" if unclear else ""
        )
        return Check("site", "warning", told, "the key is wrong or revoked: make a new one")

    def _tried_at(self, other: Elsewhere) -> Said:
        test = other.target.self_test
        assert test is not None, "sites() gives those that have one"
        return credentials(test, self._self_test(test), self._mask)

    # -- spans ---------------------------------------------------------------------------------------------

    def _send(self, way: network.Way) -> None:
        check = self._span(way=way)
        refused = check.code == "key-refused"
        if refused and self._find_site and not any(one.name == "site" for one in self.checks):
            self._passes("site", self._site)
        for other in intakes(self._written) if check.code != "sdk-disabled" else ():
            self._passes("intake", partial(self._intake, other, check))

    def _span(self, *, quiet: bool = False, way: network.Way | None = None) -> Check:
        """The checks `span` and `plan`; `stock` before them where a stock exporter sends."""
        backend = self._backend
        if backend.stock:
            self._passes("stock", lambda: self._trial(backend, name="stock"))
            backend = _sent_by_us(backend)
        self._passes("span", lambda: self._second_thoughts(self._trial(backend, quiet=quiet), way))
        return next(one for one in reversed(self.checks) if one.name == "span")

    def _trial(self, backend: BackendPlan, *, name: str = "span", quiet: bool = False) -> Check:
        if is_disabled(os.environ):
            said = "OTEL_SDK_DISABLED=true: no span is made in this environment"
            raise Trouble("sdk-disabled", said, "unset OTEL_SDK_DISABLED")
        seconds = self._left(max(STEP, float(backend.settings.timeout)))
        trial = try_span(self._plan, backend, seconds, quiet=quiet)
        if trial.planned and name == "span":
            told = f"a span of the program's like this one would be {trial.planned}; it was sent all the same"
            self.checks.append(Check("plan", "ok", told))
        return read_trial(backend, trial, self._mask, name=name, seconds=seconds)

    def _second_thoughts(self, check: Check, way: network.Way | None) -> Check:
        """What a failed check really means, once something else is known or asked."""
        if check.status != "failed" or way is None:
            return check
        if check.code == "key-refused" and self._said is not None and self._said.verdict == "valid":
            advice = f"the vendor's own check finds the key valid, so that it may lack a right; {check.next}"
            return attrs.evolve(check, next=advice)
        if way.secure and check.code in _ENDED:
            return self._listened_longer(check, way)
        if way.secure or check.code not in (*_ENDED, "rejected"):
            return check
        open_socket = partial(self._open, way, _GLANCE)
        with contextlib.suppress(Trouble, OSError):
            if protocols.speaks_tls(open_socket, way.host):
                return attrs.evolve(check, code="wrong-scheme", next="the server speaks TLS: write https://")
            if self._backend.target.protocol != "grpc" and protocols.speaks_http2(open_socket):
                advice = 'the server speaks gRPC on this port: write protocol = "grpc", or its HTTP port'
                return attrs.evolve(check, code="wrong-protocol", next=advice)
        return check

    def _listened_longer(self, check: Check, way: network.Way) -> Check:
        """A failed check, or what a server says some time after the handshake: which certificate it misses."""
        target, tls = self._backend.target, self._backend.settings.tls
        try:
            shake_hands(partial(self._open, way), way.host, tls, target.protocol, patience=_GLANCE)
        except Trouble as trouble:
            return Check.of_trouble(check.name, trouble)
        return check

    def _intake(self, other: Elsewhere, here: Check) -> Check:
        """The check `intake`: a span to the vendor's other intake."""
        target = attrs.evolve(other.target, url=self._route(other.target.url))
        backend = _sent_by_us(attrs.evolve(self._backend, target=target))
        there = self._trial(backend, name="intake")
        if there.status in ("ok", "warning"):
            if here.code in _OF_AN_INTAKE:
                told = f"`{other.written}` takes the span which this intake refuses"
                return Check("intake", "failed", told, f"set `{other.written}`", "wrong-intake")
            return Check("intake", "ok", f"`{other.written}` takes spans: {there.said}")
        if here.status == "failed":
            return Check("intake", "warning", f"`{other.written}` doesn't take it either: {there.said}")
        return Check("intake", "ok", f"`{other.written}` doesn't take spans: {there.said}")

    # -- else ----------------------------------------------------------------------------------------------

    def _passes(self, name: str, look: Callable[[], Check], *, silent: bool = False) -> bool:
        """Make one check, and keep it; whether the next makes sense."""
        self._tell(name, None)
        started = time.monotonic()
        try:
            self._deadline.left()
            check = look()
        except Trouble as trouble:
            check = Check.of_trouble(name, trouble)
        except TimeoutError as error:
            check = Check(name, "failed", str(error), "give it more time with --timeout", "no-answer")
        except Exception as error:  # a mistake in here: one check of one backend, and told as what it is
            check = _failed_itself(name, error)
        seconds = time.monotonic() - started
        check = attrs.evolve(
            check, said=self._clean(check.said), next=self._clean(check.next), seconds=seconds
        )
        if not (silent and check.status == "skipped"):
            self.checks.append(check)
            self._tell(name, check)
        return check.status != "failed"

    def _clean(self, text: str) -> str:
        """Without secrets, and without what a server's words or names could do to a terminal."""
        shown = printable(self._mask(text), " ")
        return self._mask(shown)  # what was taken out may have stood in the middle of a secret

    def _left(self, most: float = STEP) -> float:
        return self._deadline.left(most)


def _start_it(target: Target) -> str:
    """What to do where nobody listens; in the words of the profile where it is for this very host."""
    advice = "start what should listen there, with its OTLP receiver switched on; or correct `endpoint`"
    own = [urllib.parse.urlsplit(entry.url).hostname or "" for entry in target.profile.endpoints if entry.url]
    note = target.profile.known.note if any(map(is_loopback, own)) else ""
    return f"{advice}. {note}" if note else advice


def _failed_itself(name: str, error: Exception) -> Check:
    said = f"the check itself failed with {raised(error)}"
    return Check(name, "failed", said, "please open an issue with this line", "doctor-failed")


def _routed(backend: BackendPlan, route: Route) -> BackendPlan:
    if backend.target.kind != "otlp" or backend.target.url.startswith("unix:"):
        return backend
    return attrs.evolve(backend, target=attrs.evolve(backend.target, url=route(backend.target.url)))


def _sent_by_us(backend: BackendPlan) -> BackendPlan:
    """The backend with our own sender, which hears the answer, whoever sends otherwise."""
    return attrs.evolve(backend, settings=attrs.evolve(backend.settings, exporter="own"))


def _secrets(target: Target) -> Sequence[Secret]:
    return (*target.headers.values(), *(one for one in target.inputs.values() if isinstance(one, Secret)))


def _proxy_secrets(credentials: Secret) -> Sequence[Secret]:
    """Both halves, too: a proxy may say one of them."""
    return credentials, credentials.derive(lambda text: text.partition(":")[2])
