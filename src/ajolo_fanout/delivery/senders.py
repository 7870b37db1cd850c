"""Which sender a backend's kind and protocol ask for. gRPC is imported only where it is used."""

from __future__ import annotations

from ajolo_fanout.delivery.answers import Reading
from ajolo_fanout.delivery.outcome import Sender
from ajolo_fanout.plan.model import BackendPlan

__all__ = ["make_sender"]


def make_sender(backend: BackendPlan) -> Sender:
    """The sender of `backend`; opens nothing yet."""
    target, settings = backend.target, backend.settings
    if target.kind == "console":
        from ajolo_fanout.delivery.console import ConsoleSender

        return ConsoleSender("stdout" if target.stream == "stdout" else "stderr")
    if target.kind == "file":
        from ajolo_fanout.delivery.file import FileSender

        assert target.file is not None, "a target of kind `file` has one"
        return FileSender(target.file, max_bytes=target.max_file_bytes, rotations=target.rotations)
    reading = Reading.of(target.answers, tuple(target.headers.values()), _words(backend))
    if target.protocol == "grpc":
        from ajolo_fanout.delivery.grpc import GrpcSender

        return GrpcSender(
            target.url,
            target.headers,
            reading,
            tls=settings.tls,
            compression=settings.compression,
            timeout=float(settings.timeout),
        )
    from ajolo_fanout.delivery.http import HttpSender

    return HttpSender(target.url, target.headers, reading, tls=settings.tls, compression=settings.compression)


def _words(backend: BackendPlan) -> str:
    return f"{backend.target.profile.title} ({backend.target.host})"
