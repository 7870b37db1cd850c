"""Write recorded spans as OTLP JSON, one file a run, for `examples/recorded/`.

The source is what a small span dump gives: ``{"runs": {NAME: {"spans": [{name, kind, trace_id, span_id,
parent_id, start, end, attributes, events, links, status, scope, resource}, ...]}}}``, ids in hexadecimal,
times in Unix nanoseconds, spans in the order in which they ended::

    python scripts/record_traces.py SOURCE.json examples/recorded
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
STATUSES = {"UNSET": 0, "OK": 1, "ERROR": 2}
# W3C's sampled flag, and OTLP's "it is known whether the parent is remote"; local ones leave bit 9 unset.
FLAGS = 0x101


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="the span dump")
    parser.add_argument("folder", type=Path, help="where NAME.json goes for each run; created when absent")
    arguments = parser.parse_args()
    runs = json.loads(arguments.source.read_text(encoding="utf-8"))["runs"]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        if any(span["links"] for span in run["spans"]):
            sys.exit(f"{name}: the source counts links without saying what they are")
        text = json.dumps(document(run["spans"]), ensure_ascii=False, indent=1)
        (arguments.folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(runs)} runs, {sum(len(run['spans']) for run in runs.values())} spans")


def document(spans: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The OTLP `TracesData` of some spans; neighbours of one resource and scope share the envelope."""
    resource_spans: list[dict[str, Any]] = []
    last: tuple[Any, Any] | None = None
    for span in spans:
        envelope = (span["resource"], span["scope"])
        if envelope != last:
            scope = {key: span["scope"][key] for key in ("name", "version") if span["scope"][key]}
            entry: dict[str, Any] = {
                "resource": {"attributes": key_values(span["resource"])},
                "scopeSpans": [{"scope": scope, "spans": []}],
            }
            if span["scope"]["schema_url"]:
                entry["scopeSpans"][0]["schemaUrl"] = span["scope"]["schema_url"]
            resource_spans.append(entry)
            last = envelope
        resource_spans[-1]["scopeSpans"][0]["spans"].append(otlp_span(span))
    return {"resourceSpans": resource_spans}


def otlp_span(span: Mapping[str, Any]) -> dict[str, Any]:
    """One span in OTLP's JSON form: 64-bit numbers as strings, ids in hexadecimal, absent for empty."""
    made: dict[str, Any] = {"traceId": span["trace_id"], "spanId": span["span_id"], "flags": FLAGS}
    if span["parent_id"]:
        made["parentSpanId"] = span["parent_id"]
    made |= {
        "name": span["name"],
        "kind": KINDS[span["kind"]],
        "startTimeUnixNano": str(span["start"]),
        "endTimeUnixNano": str(span["end"]),
        "attributes": key_values(span["attributes"]),
    }
    if span["events"]:
        made["events"] = [
            {
                "timeUnixNano": str(event["timestamp"]),
                "name": event["name"],
                "attributes": key_values(event["attributes"]),
            }
            for event in span["events"]
        ]
    status: dict[str, Any] = {}
    if span["status"]["description"]:
        status["message"] = span["status"]["description"]
    if code := STATUSES[span["status"]["code"]]:
        status["code"] = code
    if status:
        made["status"] = status
    return made


def key_values(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP's list of keys and typed values, in their order."""
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def any_value(value: Any) -> dict[str, Any]:
    """One typed value; a boolean is looked for first, because Python counts it among the integers."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": key_values(value)}}
    raise TypeError(f"OTLP has no value for {type(value).__name__}")


if __name__ == "__main__":
    main()
