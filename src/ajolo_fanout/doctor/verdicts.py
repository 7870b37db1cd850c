"""The verdicts on a backend, in the order in which one goes before another."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FINE", "OFF", "VERDICTS"]

FINE = "fine"
OFF = "off"

VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        OFF: "the file or an unset variable switches it off",
        "sdk-disabled": "OTEL_SDK_DISABLED=true: nothing is traced in this environment",
        "wrong-site": "the credentials are good at another site or region of the vendor",
        "wrong-intake": "the vendor takes spans at its other intake, and not at this one",
        "name-unknown": "the host's name, or the proxy's, can't be resolved here",
        "refused": "nothing listens at this address, or something on the way refuses",
        "proxy-refused": "the proxy that the environment names doesn't let this through",
        "wrong-scheme": "https:// where the server speaks plainly, or http:// where it wants TLS",
        "client-certificate": "the server asks for a client certificate, or for another one",
        "certificate-expired": "the server's certificate is no longer valid, or not yet",
        "certificate-untrusted": "nobody that is trusted here has signed the server's certificate",
        "certificate-wrong-host": "the server's certificate is for other names",
        "tls-failed": "no TLS connection comes about, for another reason",
        "wrong-protocol": "gRPC where the server speaks HTTP, or the other way round",
        "key-refused": "the credentials are not taken",
        "wrong-path": "the server is there, and takes no OTLP traces at this address",
        "not-otlp": "something else answers in the backend's place: a redirect, a page of HTML",
        "busy": "the backend says that it can't take spans now",
        "no-answer": "no answer in time",
        "cut-off": "the connection was closed before the answer",
        "clock-off": "this machine's clock and the server's differ by minutes",
        "step-failed": "a step of the pipeline failed: a processor, a rule",
        "not-writable": "the file, its folder or the stream can't be written",
        "rejected": "the span was refused, for the reason that is quoted",
        "unfinished": "the time was over before the last check",
        "doctor-failed": "a check itself failed: a mistake in ajolo-fanout, worth an issue",
        FINE: "a span arrived",
    }
)
"""Code -> what it means. Of several that fit a backend, the first is its verdict."""
