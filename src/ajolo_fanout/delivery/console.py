"""Prints each trace as a readable tree, for development: model, tokens, cost, durations, errors.

::

    trace 805874f2…  weather-app  3 spans  1.42 s
    └─ agent.invoke WeatherAgent                    1.42 s  $0.0031
       ├─ chat gpt-4o                               812 ms  gpt-4o  420 in, 35 out  $0.0016
       └─ execute_tool get_weather                   12 ms  ERROR ValueError: no such town

A batch may hold a part of a trace; a span whose parent is in another batch stands at the left, marked
with `…`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TextIO

from google.protobuf.message import DecodeError

from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.otlp.decode import DecodedSpan, decode_request
from ajolo_fanout.wording import duration_words, shortened

__all__ = ["ConsoleSender", "trace_lines"]

_NAME_WIDTH = 46
_LONGEST_TEXT = 120

# The first of these that a span carries; current names first, then those that dialects still write.
_MODEL = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.request.model")
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_COST = ("gen_ai.cost_usd", "ajolopy.cost_usd.total", "gen_ai.usage.cost", "llm.cost.total")

# Whatever moves a cursor, clears a screen or hides text: a span's words are not the terminal's commands.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


class ConsoleSender:
    """Writes to standard error or output, as it stands at the time (a test may have replaced it)."""

    def __init__(self, stream: Literal["stdout", "stderr"] = "stderr") -> None:
        self._stream = stream
        self._aborted = False

    def start(self) -> None:
        """See `Sender`: no thread."""

    def send(self, body: bytes, count: int, timeout: float) -> Outcome:  # noqa: ARG002 - as `Sender` has it
        """Print the spans of a request; see `Sender`."""
        if self._aborted:
            return Outcome("rejected", "shutdown", "stopped at the deadline of the shutdown")
        stream: TextIO | None = sys.stdout if self._stream == "stdout" else sys.stderr
        if stream is None:  # a program without a terminal (pythonw, a daemon)
            return Outcome("rejected", "closed", f"there is no {self._stream} in this process")
        try:
            text = "".join(f"{line}\n" for line in trace_lines(decode_request(body)))
            stream.write(_writable(text, stream))
            stream.flush()
        except (OSError, ValueError, DecodeError) as error:  # a closed pipe, a closed stream
            return Outcome("rejected", type(error).__name__, f"{self._stream} can't be written to: {error}")
        return Outcome("delivered", "written")

    def may_have_arrived(self, thread: int) -> bool:  # noqa: ARG002 - as `Sender` has it
        """See `Sender`: what is being printed, is."""
        return True

    def abort(self) -> None:
        """Print nothing any more."""
        self._aborted = True

    def forsake(self) -> None:
        """See `Sender`: no connection."""

    def close(self) -> None:
        """Nothing: the stream is the program's."""


def _writable(text: str, stream: TextIO) -> str:
    """`text` with `?` for what the stream's encoding doesn't know."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding, "replace")


def trace_lines(spans: Sequence[DecodedSpan]) -> Iterator[str]:
    """The lines of a tree per trace, in the order in which the traces are first met."""
    traces: dict[str, list[DecodedSpan]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    for trace_id, members in traces.items():
        yield from _trace(trace_id, members)


def _trace(trace_id: str, spans: list[DecodedSpan]) -> Iterator[str]:
    known = {span.span_id for span in spans}
    children: dict[str, list[DecodedSpan]] = {}
    tops: list[DecodedSpan] = []
    for span in sorted(spans, key=lambda span: (span.start_time, span.end_time)):
        # A span that is its own parent is nobody's child; longer circles are caught below.
        inside = span.parent_id in known and span.parent_id != span.span_id
        (children.setdefault(span.parent_id, []) if inside else tops).append(span)
    service = _text(spans[0].resource.get("service.name", "unknown_service"))
    first = min(span.start_time for span in spans)
    last = max(span.end_time for span in spans)
    number = "1 span" if len(spans) == 1 else f"{len(spans)} spans"
    yield f"trace {trace_id[:8]}…  {service}  {number}  {duration_words((last - first) / 1e9)}"
    printed: set[int] = set()
    # An explicit stack: a trace may be deeper than Python's recursion limit.
    stack = [(span, "", place == 0) for place, span in enumerate(reversed(tops))]
    while stack:
        span, indent, is_last = stack.pop()
        if id(span) in printed:
            continue
        printed.add(id(span))
        mark = "" if span.is_root or span.parent_id in known else "… "
        yield _line(indent + ("└─ " if is_last else "├─ ") + mark + _text(span.name), span)
        deeper = indent + ("   " if is_last else "│  ")
        below = children.get(span.span_id, [])
        stack += [(child, deeper, place == 0) for place, child in enumerate(reversed(below))]
    for span in spans:
        if id(span) not in printed:  # its ancestors go round in a circle
            yield _line(f"└─ … {_text(span.name)}", span)


def _line(head: str, span: DecodedSpan) -> str:
    parts = [head.ljust(_NAME_WIDTH), duration_words(span.duration).rjust(8)]
    model = _first(span.attributes, _MODEL, lambda value: isinstance(value, str))
    if model is not None:
        parts.append(_text(model))
    tokens = [
        f"{_text(value)} {name}"
        for keys, name in ((_INPUT, "in"), (_OUTPUT, "out"))
        if (value := _first(span.attributes, keys, _is_number)) is not None
    ]
    if tokens:
        parts.append(", ".join(tokens))
    cost = _first(span.attributes, _COST, _is_number)
    if cost is not None:
        parts.append(f"${cost:.6f}".rstrip("0").rstrip("."))
    if span.status is not None and span.status.code == "error":
        parts.append(f"ERROR {_text(span.status.message or _exception(span))}".rstrip())
    return "  ".join(parts)


def _exception(span: DecodedSpan) -> str:
    for event in reversed(span.events):
        if event.name == "exception":
            kind = event.attributes.get("exception.type", "")
            message = event.attributes.get("exception.message", "")
            return f"{kind}: {message}" if message else str(kind)
    return ""


def _first(attributes: Mapping[str, Any], keys: Sequence[str], fits: Callable[[Any], bool]) -> Any:
    return next((attributes[key] for key in keys if key in attributes and fits(attributes[key])), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """One line of at most 120 characters that a terminal takes for nothing but text."""
    return shortened(_CONTROLS.sub(" ", str(value)).strip(), _LONGEST_TEXT)
