"""Names and connections: to the backend, or to the proxy that the environment names for it."""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import socket
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from ajolo_fanout.delivery.proxy import proxy_for
from ajolo_fanout.doctor.findings import Trouble
from ajolo_fanout.doctor.limits import limited
from ajolo_fanout.values import Secret

__all__ = [
    "Proxy",
    "Way",
    "addresses",
    "connect",
    "describe",
    "is_address",
    "other_port",
    "read_proxy",
    "tunnel",
    "way_to",
]

Address: TypeAlias = tuple[Any, ...]
"""What `socket.getaddrinfo` gives for one address: family, type, protocol, name, address."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_OTLP_PORTS = {4317: ("gRPC", "grpc"), 4318: ("HTTP", "http/protobuf")}
_OTHER_PORT = {4317: 4318, 4318: 4317}


@attrs.frozen
class Proxy:
    """A proxy of the environment.

    Attributes:
        url: Without its credentials.
        host: Its host.
        port: Its port.
        credentials: `user:password`, where there are any.
    """

    url: str
    host: str
    port: int
    credentials: Secret | None = None


@attrs.frozen
class Way:
    """How a URL is reached.

    Attributes:
        host: The backend's host.
        port: Its port.
        secure: Whether it wants TLS.
        proxy: What is connected to in its place; None for the backend itself.
    """

    host: str
    port: int
    secure: bool
    proxy: Proxy | None = None

    @property
    def first(self) -> tuple[str, int]:
        """Host and port of what is connected to."""
        return (self.host, self.port) if self.proxy is None else (self.proxy.host, self.proxy.port)


def way_to(url: str, environ: Mapping[str, str]) -> Way:
    """The way to `url`, which has a host.

    Raises:
        Trouble: when the proxy in the environment is none that can be used.
    """
    parts = urllib.parse.urlsplit(url)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    proxy = proxy_for(url, environ)
    found = None if proxy is None else read_proxy(proxy)
    if proxy is not None and found is None:
        advice = "write http://host:port there, or name the backend's host in NO_PROXY"
        raise Trouble("proxy-refused", "the proxy that the environment names can't be used", advice)
    return Way(parts.hostname or "", port, parts.scheme == "https", found)


def read_proxy(text: str) -> Proxy | None:
    """The proxy that a URL names; None where it names none that can be used."""
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not port:
        return None
    credentials = None
    if parts.username is not None:
        user, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
        credentials = Secret(f"{user}:{password}")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Proxy(bare, parts.hostname, port, credentials)


def addresses(host: str, port: int, seconds: float) -> list[Address]:
    """What `host` resolves to.

    Raises:
        Trouble: when it doesn't.
    """
    try:
        return limited(lambda: list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)), seconds)
    except TimeoutError:
        advice = "this machine's name server doesn't answer; check its network and /etc/resolv.conf"
        raise Trouble(
            "no-answer", f"{host}: the name server gave no answer in {seconds:.0f} s", advice
        ) from None
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        advice = (
            "check how the host is written; where it is right, this machine can't resolve it (a private "
            "network, a container without DNS, or only a proxy leads outside: HTTPS_PROXY)"
        )
        raise Trouble("name-unknown", f"{host} can't be resolved: {said}", advice) from None


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, for which no name has to be resolved."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def describe(found: Iterable[Address]) -> str:
    """The addresses in words, the first few of them."""
    names = list(dict.fromkeys(str(one[4][0]) for one in found))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def connect(found: Sequence[Address], seconds: float) -> tuple[socket.socket, str]:
    """A connection to the first of some addresses that takes one, and that address.

    Raises:
        Trouble: when none does.
    """
    deadline = time.monotonic() + seconds
    failures: list[OSError] = []
    for number, (family, kind, protocol, _, address) in enumerate(found):
        share = (deadline - time.monotonic()) / (len(found) - number)
        if share <= 0:
            break
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here, for instance
            failures.append(error)
            continue
        try:
            connection.settimeout(share)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failures.append(error)
        else:
            return connection, str(address[0])
    raise _unconnected(failures, str(found[0][4][1]) if found else "", seconds)


def _unconnected(failures: Sequence[OSError], port: str, seconds: float) -> Trouble:
    if any(isinstance(error, ConnectionRefusedError) for error in failures):
        return Trouble("refused", f"the connection to port {port} was refused")
    if not failures or any(isinstance(error, TimeoutError) for error in failures):
        advice = "a firewall lets nothing through, or the address is another machine's; check `endpoint`"
        return Trouble("no-answer", f"port {port} gave no answer in {seconds:.0f} s", advice)
    error = failures[0]
    known = errno.errorcode.get(error.errno or 0, type(error).__name__)
    advice = "check `endpoint`, and this machine's routes"
    return Trouble("refused", f"port {port} can't be reached: {error.strerror or known}", advice)


def other_port(host: str, port: int, seconds: float) -> str:
    """What to write where a refused OTLP port's sibling is open; empty where it isn't."""
    sibling = _OTHER_PORT.get(port)
    if sibling is None:
        return ""
    with contextlib.suppress(Trouble):
        connect(addresses(host, sibling, seconds), seconds)[0].close()
        name, protocol = _OTLP_PORTS[sibling]
        return f'port {sibling}, OTLP over {name}, is open there: write that port and protocol = "{protocol}"'
    return ""


def tunnel(way: Way, seconds: float) -> socket.socket:
    """A connection to the backend through its proxy's CONNECT.

    Raises:
        Trouble: when the proxy doesn't make one.
    """
    assert way.proxy is not None
    headers = {}
    if way.proxy.credentials is not None:
        import urllib3

        headers = dict(urllib3.make_headers(proxy_basic_auth=way.proxy.credentials.reveal()))
    connection = http.client.HTTPConnection(way.proxy.host, way.proxy.port, timeout=seconds)
    connection.set_tunnel(way.host, way.port, headers)
    try:
        connection.connect()
    except TimeoutError:
        connection.close()
        raise Trouble("no-answer", f"the proxy gave no answer in {seconds:.0f} s", _ASK_PROXY) from None
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        said = str(error) or type(error).__name__
        raise Trouble(
            "proxy-refused", f"the proxy makes no connection to {way.host}: {said}", _ASK_PROXY
        ) from None
    made = connection.sock
    assert made is not None
    return made


_ASK_PROXY = (
    "have the proxy let it through, or name the backend's host in NO_PROXY where it can be reached directly"
)
