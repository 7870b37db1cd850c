"""Which proxy the environment names for a URL: the one thing that our requests take from around them."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping

from ajolo_fanout.profiles.endpoint import is_loopback

__all__ = ["proxy_for", "proxy_options"]


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, less `NO_PROXY`; None for none.

    As curl does it: the lower-case name wins; `HTTP_PROXY` doesn't count in a CGI script (`REQUEST_METHOD`),
    where a client could set it by a header `Proxy`; a proxy without a scheme is `http`. Unlike curl: what can
    only be this machine is never asked of another one, whatever `NO_PROXY` says.
    """
    parts = urllib.parse.urlsplit(url)
    if is_loopback((parts.hostname or "").rstrip(".")):
        return None
    if _bypassed(parts, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    names = [f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ:
        names = [name for name in names if name != "HTTP_PROXY"]
    proxy = next((environ[name] for name in names if environ.get(name)), None)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def proxy_options(url: str, environ: Mapping[str, str]) -> tuple[tuple[str, str | int], ...]:
    """The same for a gRPC channel, which would read other variables, and ask a proxy for loopback, too."""
    proxy = None if url.startswith("unix:") else proxy_for(url, environ)
    return (("grpc.enable_http_proxy", 0),) if proxy is None else (("grpc.http_proxy", proxy),)


def _bypassed(parts: urllib.parse.SplitResult, rules: str) -> bool:
    """Whether `NO_PROXY` names the host: `*`, a domain with all below it, `host:port`, a network."""
    host = (parts.hostname or "").lower().rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for entry in rules.split(","):
        rule = entry.strip().lower()
        if not rule:
            continue
        if rule == "*" or _in_network(host, rule):
            return True
        name, colon, number = rule.rpartition(":")
        if colon and number.isdecimal() and not name.endswith(":") and int(number) != port:
            continue
        domain = (name if colon and number.isdecimal() else rule).removeprefix("*").strip("[].")
        if domain and (host == domain or host.endswith(f".{domain}")):
            return True
    return False


def _in_network(host: str, rule: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
