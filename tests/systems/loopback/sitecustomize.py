"""Keeps gRPC servers of a child process on loopback: Phoenix binds `[::]` whatever its settings say.

On the PYTHONPATH of the server alone, so that its interpreter runs this before any code of the server.
"""

from __future__ import annotations

from typing import Any

from grpc import aio

_make = aio.server


def _on_loopback(*arguments: Any, **options: Any) -> Any:
    server: Any = _make(*arguments, **options)
    add = server.add_insecure_port
    server.add_insecure_port = lambda address: add(address.replace("[::]", "127.0.0.1"))
    return server


aio.server = _on_loopback
