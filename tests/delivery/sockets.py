"""A unix socket on which something takes whatever is called over gRPC, as an agent on the host does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc


class Everything(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc brings no types
    """Takes any call and keeps its message."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def service(self, handler_call_details: Any) -> Any:
        def handle(body: bytes, context: Any) -> bytes:
            self.bodies.append(body)
            return b""

        return grpc.unary_unary_rpc_method_handler(handle)


@contextmanager
def listening_at(path: Path) -> Iterator[Everything]:
    """A server on the socket `path`, until the end of the block."""
    handler, workers = Everything(), ThreadPoolExecutor(2)
    server = grpc.server(workers, handlers=[handler])
    server.add_insecure_port(f"unix://{path}")
    server.start()
    try:
        yield handler
    finally:
        server.stop(grace=None).wait()
        workers.shutdown()
