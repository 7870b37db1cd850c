"""The span processor: one append at a span's end, and the handle behind flush and shutdown."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider

from ajolo_fanout.pipeline.inbox import Inbox
from ajolo_fanout.pipeline.processor import FanoutSpanProcessor


class Recorder:
    """A handle that keeps what it was asked."""

    def __init__(self, *, whole: bool = True) -> None:
        self.asked: list[tuple[str, float | None]] = []
        self._whole = whole

    def flush(self, timeout: float | None = None) -> object:
        self.asked.append(("flush", timeout))
        return self._whole

    def shutdown(self, timeout: float | None = None) -> object:
        self.asked.append(("shutdown", timeout))
        return self._whole


def test_a_span_is_in_the_inbox_when_it_ends_and_not_before() -> None:
    inbox, handle = Inbox(2), Recorder()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(FanoutSpanProcessor(inbox, handle))
    tracer = provider.get_tracer("t")
    for number in range(3):
        span = tracer.start_span(str(number))
        assert len(inbox) == min(number, 2)
        span.end()
    assert [span.name for span in inbox.take(9)[0]] == ["0", "1"]
    assert inbox.refused == 1


def test_the_providers_flush_and_shutdown_are_the_handles() -> None:
    handle = Recorder()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(FanoutSpanProcessor(Inbox(1), handle))
    assert provider.force_flush(250)
    provider.shutdown()
    name, timeout = handle.asked[0]
    assert name == "flush"
    assert timeout is not None
    assert 0 < timeout <= 0.25
    assert handle.asked[1:] == [("shutdown", None)]


def test_a_flush_that_left_something_says_so() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(FanoutSpanProcessor(Inbox(1), Recorder(whole=False)))
    assert provider.force_flush(10) is False
