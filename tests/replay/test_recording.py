"""Spans are read from what the `file` backend, a Collector, or a person wrote; mistakes are named by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import TraceFlags

from ajolo_fanout.replay.recording import SpansError, load_spans, recorded_agents
from ajolo_fanout.testing import fanout, recorded_spans

TRACE = "0af7651916cd43dd8448eb211c80319c"


def _span(span_id: int, end: int, parent: int = 0, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "traceId": TRACE,
        "spanId": f"{span_id:016x}",
        "name": f"span {span_id}",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": str(end),
        **more,
    }
    return {**made, "parentSpanId": f"{parent:016x}"} if parent else made


def _line(*spans: dict[str, Any]) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]})


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "spans.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_it_is_the_recorded_agents() -> None:
    found = recorded_agents()
    assert [span.context.span_id for span in found.spans] == [
        span.context.span_id for span in recorded_spans()
    ]
    assert len(found.labels) == 14
    assert "two_tools" in found.labels.values()


def test_what_the_file_backend_wrote_comes_back(tmp_path: Path) -> None:
    """Every span once, in the order in which they ended, whatever request it was in."""
    file = tmp_path / "tracing.toml"
    file.write_text(
        'schema = 1\n[service]\nname = "x"\n[backends.a]\ntype = "file"\npath = "a.jsonl"\n'
        "batch.max_export_batch_size = 2\n",
        encoding="utf-8",
    )
    with fanout(file) as harness:
        harness.replay(recorded_spans("nested_agents"))
        harness.flush()
        text = harness.files["a"].read_text(encoding="utf-8")
    assert text.count("\n") > 3
    found = load_spans(_file(tmp_path, text + text.splitlines()[0]))  # a request sent again after a time-out
    wanted = recorded_spans("nested_agents")
    assert [span.context.span_id for span in found.spans] == [span.context.span_id for span in wanted]
    assert [dict(span.attributes) for span in found.spans] == [dict(span.attributes) for span in wanted]


def test_a_document_over_many_lines_and_scopes_is_put_in_order(tmp_path: Path) -> None:
    """Children before parents where they ended at once: a request groups by scope."""
    text = json.dumps(
        json.loads(_line(_span(1, 9), _span(2, 9, 1), _span(3, 9, 2), _span(4, 5, 1))), indent=2
    )
    found = load_spans(_file(tmp_path, text))
    assert [span.context.span_id for span in found.spans] == [4, 3, 2, 1]
    assert found.title.endswith("spans.jsonl")


def test_ids_that_go_in_a_circle_end_all_the_same(tmp_path: Path) -> None:
    found = load_spans(_file(tmp_path, _line(_span(1, 9, 2), _span(2, 9, 1))))
    assert {span.context.span_id for span in found.spans} == {1, 2}


def test_a_recording_without_flags_counts_as_sampled(tmp_path: Path) -> None:
    """Exporters of older SDKs write none; what they exported had been sampled."""
    [span] = load_spans(_file(tmp_path, _line(_span(1, 9, 2)))).spans
    assert span.context.trace_flags == TraceFlags.SAMPLED
    [span] = load_spans(_file(tmp_path, _line(_span(1, 9, 2, flags=0x300)))).spans
    assert span.context.trace_flags == TraceFlags.DEFAULT
    assert span.parent is not None
    assert span.parent.is_remote


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": holds no spans; expected OTLP JSON with resourceSpans"),
        ("{}\n\n{}", ": holds no spans; expected OTLP JSON with resourceSpans"),
        (f"{_line(_span(1, 9))}\n{{oops", ":2: not JSON: "),
        (f"{_line(_span(1, 9))}\n[1]", ":2: an OTLP JSON request is an object with resourceSpans"),
        (
            f'{_line(_span(1, 9))}\n\n{{"resourceSpans": 7}}',
            ":3: no OTLP JSON request: resourceSpans, scopeSpans",
        ),
        (
            _line(_span(1, 9, name=7)),
            ":1: no OTLP JSON request: resourceSpans.scopeSpans.spans.name doesn't hold",
        ),
        (_line(_span(1, 9, spanId=7)), ":1: no OTLP JSON request: spanId is no text of hexadecimal digits"),
        (_line({"name": "x"}), ":1: a span here has no trace id of 32 and span id of 16 hexadecimal digits"),
        (_line(_span(1, 9, traceId="ab")), ":1: a span here has no trace id of 32"),
        (_line(_span(1, 9, traceId="0" * 32)), ":1: a span here has no trace id of 32"),
        (
            _line(_span(1, 9, traceId="zz" * 16)),
            ":1: no OTLP JSON request: traceId is no text of hexadecimal",
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(SpansError) as caught:
        load_spans(path, "spans.jsonl")
    assert str(caught.value).startswith(f"spans.jsonl{message}")
    assert "oops" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpansError, match=r"none\.json: can't be read: No such file"):
        load_spans(tmp_path / "none.json")
    with pytest.raises(SpansError, match="can't be read: Is a directory"):
        load_spans(tmp_path)
    (tmp_path / "odd.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SpansError, match=r"odd\.json: not UTF-8"):
        load_spans(tmp_path / "odd.json")
