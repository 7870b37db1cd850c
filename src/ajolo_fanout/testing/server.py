"""An embedded OTLP server: real connections on loopback, everything kept, every answer scriptable.

::

    with OtlpServer() as server:
        …send to server.endpoint…
        [span] = server.wait_for_spans(1)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from ajolo_fanout.testing.answers import OK, PROTOBUF, Answer, Answers, ReceivedRequest

if TYPE_CHECKING:
    from typing_extensions import Self

    from ajolo_fanout.otlp.decode import DecodedSpan
    from ajolo_fanout.testing.grpc_front import GrpcFront
    from ajolo_fanout.testing.http_front import HttpFront
    from ajolo_fanout.testing.tls import Tls

__all__ = ["GRPC_METHOD", "Answer", "Answers", "OtlpServer", "ReceivedRequest", "wait_for"]

GRPC_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def wait_for(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Wait until `condition()` is true, looking every few milliseconds.

    Args:
        condition: Called in this thread.
        timeout: Seconds.
        what: What is waited for, for the error.

    Raises:
        TimeoutError: when it didn't come true in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what or condition}")
        time.sleep(0.005)


class OtlpServer:
    """A server for one protocol on 127.0.0.1, running from construction until `stop()`.

    Without a script it behaves as the OTLP specification says: 405 for another method than POST, 415 for
    anything but protobuf, 400 for a message that doesn't parse, else success. gRPC: UNIMPLEMENTED for another
    method than `Export`, INVALID_ARGUMENT for a message that doesn't parse. Any HTTP path is taken; metrics
    and logs are, too, and aren't among the spans.

    Attributes:
        answer: The script; may be replaced while the server runs.
        protocol: `"http/protobuf"` or `"grpc"`.
        port: The port it listens on.
        endpoint: `http://127.0.0.1:PORT`, or `https://…` with TLS; without a path.

    Raises:
        ValueError: for a protocol that is neither.
    """

    def __init__(
        self,
        protocol: Literal["http/protobuf", "grpc"] = "http/protobuf",
        *,
        answer: Answers = None,
        tls: Tls | None = None,
        port: int = 0,
    ) -> None:
        if protocol not in ("http/protobuf", "grpc"):
            raise ValueError(f'the protocol is "http/protobuf" or "grpc", not {protocol!r}')
        self.protocol: Literal["http/protobuf", "grpc"] = protocol
        self._changed = threading.Condition()
        self._requests: list[ReceivedRequest] = []
        self._spans: list[DecodedSpan] = []
        self._errors: list[BaseException] = []
        self._released = False
        self._stopped = False
        self._script: Iterator[Answer] = iter(())
        self.answer = answer
        self._front: HttpFront | GrpcFront
        if protocol == "grpc":
            from ajolo_fanout.testing.grpc_front import GrpcFront

            self._front = GrpcFront(self._exchange, tls, port)
        else:
            from ajolo_fanout.testing.http_front import HttpFront

            self._front = HttpFront(self._exchange, tls, port)
        self.port = self._front.port
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def answer(self) -> Answers:
        """The script."""
        return self._answer

    @answer.setter
    def answer(self, script: Answers) -> None:
        with self._changed:
            self._answer = script
            self._script = iter(script) if isinstance(script, Sequence) else iter(())

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request so far, answered or not, in the order of arrival."""
        with self._changed:
            return list(self._requests)

    @property
    def spans(self) -> list[DecodedSpan]:
        """The spans that were taken: those of requests answered with success.

        Of a partial success the last ones, as many as it rejected, are left out.
        """
        with self._changed:
            return list(self._spans)

    @property
    def refused(self) -> list[str]:
        """Why connections ended before a request was complete (TLS handshakes above all; HTTP only)."""
        return list(self._front.refused)

    def wait_for(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until `condition()` is true; it is looked at after every request, and now and then.

        Raises:
            TimeoutError: when it didn't come true in `timeout` seconds; says what had arrived.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                arrived = f"{len(self.requests)} requests and {len(self.spans)} spans"
                raise TimeoutError(f"waited {timeout:g} s in vain; {arrived} had arrived")
            with self._changed:
                self._changed.wait(min(left, 0.02))

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> list[ReceivedRequest]:
        """Wait until at least `count` requests have come, answered or not.

        Raises:
            TimeoutError: when they didn't in `timeout` seconds.
        """
        self.wait_for(lambda: len(self.requests) >= count, timeout)
        return self.requests

    def wait_for_spans(self, count: int, timeout: float = 10.0) -> list[DecodedSpan]:
        """Wait until at least `count` spans were taken.

        Raises:
            TimeoutError: when they weren't in `timeout` seconds.
        """
        self.wait_for(lambda: len(self.spans) >= count, timeout)
        return self.spans

    def release(self) -> None:
        """Give the answers that hang, and let none hang from now on."""
        with self._changed:
            self._released = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the requests and spans so far."""
        with self._changed:
            self._requests.clear()
            self._spans.clear()

    def stop(self) -> None:
        """Close everything, hanging requests included; may be called twice.

        Raises:
            BaseException: what a function given as `answer` raised, or what came of a scripted success for
                a message that doesn't parse. The client got a 500.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._front.stop()
        if self._errors:
            raise self._errors.pop(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._errors.clear()  # what is on its way out already says more
        self.stop()

    def usual_answer(self, request: ReceivedRequest) -> Answer:
        """What the OTLP specification says to answer, without a script."""
        if request.protocol == "grpc":
            if request.path != GRPC_METHOD:
                return Answer(status=404, message=f"unknown method {request.path}")
        elif request.method != "POST":
            return Answer(status=405, message=f"{request.method} not allowed", headers={"Allow": "POST"})
        elif request.headers.get("content-type", "").split(";")[0].strip() != PROTOBUF:
            return Answer(status=415, message=f"{PROTOBUF} wanted")
        from google.protobuf.message import DecodeError

        try:
            request.spans()
        except DecodeError as error:
            return Answer(status=400, code="INVALID_ARGUMENT", message=f"not an OTLP request: {error}")
        return OK

    def _exchange(self, request: ReceivedRequest) -> Answer | None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        try:
            answer = self._choose(request) or self.usual_answer(request)
            return self._take(request, answer)
        except BaseException as error:  # a thread's end: kept, and raised by stop()
            self._errors.append(error)
            return Answer(status=500, message=f"the embedded server failed: {error!r}")

    def _choose(self, request: ReceivedRequest) -> Answer | None:
        with self._changed:
            script = self._answer
            if script is None or isinstance(script, Answer):
                return script
            if isinstance(script, Sequence):
                return next(self._script, None)
        return script(request)

    def _take(self, request: ReceivedRequest, answer: Answer) -> Answer | None:
        """Wait as the answer says, count its spans, and say what to send (None: nothing)."""
        with self._changed:
            if answer.delay:
                self._changed.wait_for(lambda: self._stopped, answer.delay)
            if answer.hang:
                self._changed.wait_for(lambda: self._stopped or self._released)
            if self._stopped or answer.drop:
                return None
        if answer.success:
            spans = request.spans()
            taken = spans[: len(spans) - answer.rejected] if answer.rejected else spans
            with self._changed:
                self._spans.extend(taken)
                self._changed.notify_all()
        return answer
