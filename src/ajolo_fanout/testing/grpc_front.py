"""The gRPC side of an embedded server: messages passed through as bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]

from ajolo_fanout.testing.answers import Answer, ReceivedRequest

if TYPE_CHECKING:
    from ajolo_fanout.testing.tls import Tls

__all__ = ["GrpcFront"]

# As many requests may hang at once; the rest wait in grpc's own queue.
_WORKERS = 16
_MAX_MESSAGE = 256 * 1024 * 1024

Exchange = Callable[[ReceivedRequest], "Answer | None"]


class GrpcFront:
    """Serves every unary method on loopback from construction until `stop()`.

    `exchange` gets every request and gives the answer, or None to end the call as a lost connection would.
    """

    def __init__(self, exchange: Exchange, tls: Tls | None, port: int = 0) -> None:
        self.refused: list[str] = []  # grpc tells nobody of a failed handshake
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="otlp-server-grpc")
        self._server = grpc.server(
            self._workers,
            handlers=[_EveryMethod(exchange)],
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_MESSAGE)],
        )
        address = f"127.0.0.1:{port}"
        if tls is None:
            self.port: int = self._server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials(
                [(tls.key_file.read_bytes(), tls.cert_file.read_bytes())],
                root_certificates=tls.ca_file.read_bytes() if tls.client_required else None,
                require_client_auth=tls.client_required,
            )
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    def stop(self) -> None:
        """Cancel every call and wait for every thread."""
        self._server.stop(grace=None).wait()
        self._workers.shutdown(wait=True)


class _EveryMethod(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc brings no types
    """Answers any method name, so that a wrong one is seen and not just refused."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def service(self, handler_call_details: Any) -> Any:
        """A handler for the method in `handler_call_details`, whatever it is."""
        path: str = handler_call_details.method
        headers = {
            name: text for name, text in handler_call_details.invocation_metadata if isinstance(text, str)
        }

        def handle(body: bytes, context: Any) -> bytes:
            answer = self._exchange(
                ReceivedRequest(
                    protocol="grpc",
                    method="POST",
                    path=path,
                    headers=headers,
                    body=body,
                    wire_size=len(body),
                    at=time.monotonic(),
                )
            )
            if answer is None:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
            assert answer is not None
            context.set_trailing_metadata(answer.grpc_metadata())
            if answer.grpc_code != "OK":
                context.abort(grpc.StatusCode[answer.grpc_code], answer.message)
            return answer.payload()

        return grpc.unary_unary_rpc_method_handler(handle)
