"""OTLP's JSON form: protobuf's JSON mapping, but ids in hexadecimal and enums as integers.

Specification: opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding". 64-bit integers are
strings, bytes other than ids Base64, field names lowerCamelCase; a reader ignores fields it doesn't know.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["OtlpJsonError", "from_json_text", "to_json_text"]

_IDS = ("traceId", "spanId", "parentSpanId")
_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"\bFailed to parse (\w+) field")


class OtlpJsonError(ValueError):
    """A text that is no OTLP JSON.

    Attributes:
        line: The 1-based line where that shows.
        reason: What is wrong; nothing of the text.
    """

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(f"line {line}: {reason}")


def to_json_text(message: ExportTraceServiceRequest) -> str:
    """`message` as one line of OTLP JSON, in ASCII, without a line's end."""
    from google.protobuf.json_format import MessageToDict

    content = MessageToDict(message, use_integers_for_enums=True)
    for holder in _holders_of_ids(content):
        for name in _IDS:
            if name in holder:
                holder[name] = base64.b64decode(holder[name]).hex()
    return json.dumps(content, separators=(",", ":"))


def from_json_text(text: str) -> Iterator[tuple[int, ExportTraceServiceRequest]]:
    """The requests in `text`, each with the line where it starts: one document or several after one another.

    Raises:
        OtlpJsonError: when a document is none; the message names the line where it starts, not its content.
    """
    place = _past_space(text, 0)
    while place < len(text):
        line = text.count("\n", 0, place) + 1
        try:
            content, end = json.JSONDecoder().raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise OtlpJsonError(error.lineno, f"not JSON: {error.msg}") from None
        except (ValueError, RecursionError):
            raise OtlpJsonError(line, "not JSON that can be read") from None
        yield line, _message(content, line)
        place = _past_space(text, end)


def _past_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _message(content: Any, line: int) -> ExportTraceServiceRequest:
    from google.protobuf.json_format import ParseDict, ParseError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    if not isinstance(content, dict):
        raise OtlpJsonError(line, "an OTLP JSON request is an object with resourceSpans")
    try:
        for holder in _holders_of_ids(content):
            for name in _IDS:
                if name in holder:
                    holder[name] = _encoded(holder[name], name, line)
        return ParseDict(content, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except ParseError as error:
        raise OtlpJsonError(line, f"no OTLP JSON request: {_where(str(error))}") from error
    except (TypeError, AttributeError) as error:
        reason = "resourceSpans, scopeSpans, spans and links are lists of objects"
        raise OtlpJsonError(line, f"no OTLP JSON request: {reason}") from error
    except RecursionError as error:
        raise OtlpJsonError(line, "no OTLP JSON request: nested too deeply") from error


def _encoded(identity: Any, name: str, line: int) -> str:
    """An id as protobuf's JSON has it."""
    try:
        return base64.b64encode(bytes.fromhex(identity)).decode()
    except (TypeError, ValueError):
        raise OtlpJsonError(line, f"no OTLP JSON request: {name} is no text of hexadecimal digits") from None


def _where(message: str) -> str:
    """The field that protobuf's parser names; what stands there is not repeated."""
    place = ".".join(_FIELD.findall(message))
    return f"{place} doesn't hold what it should" if place else "a field doesn't hold what it should"


def _holders_of_ids(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object that has ids, which are bytes to protobuf's JSON and hexadecimal to OTLP's."""
    for in_resource in content.get("resourceSpans") or ():
        for in_scope in in_resource.get("scopeSpans") or ():
            for span in in_scope.get("spans") or ():
                yield span
                yield from span.get("links") or ()
