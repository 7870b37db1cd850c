"""The console and the file: for people, and readable by nobody else."""

from __future__ import annotations

import io
import os
import resource
import stat
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from tests.delivery.support import local, rigged

from ajolo_fanout.delivery.console import ConsoleSender, trace_lines
from ajolo_fanout.delivery.file import FileSender
from ajolo_fanout.otlp.decode import DecodedEvent, DecodedSpan, DecodedStatus, from_json

MS = 1_000_000


def test_of_a_line_that_finds_no_room_no_half_stays(tmp_path: Path) -> None:
    """What is written once there is room again can be read."""
    path = tmp_path / "spans.jsonl"
    sender = FileSender(path)
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="x" * 8000, trace_id=b"t" * 16)
    small = ExportTraceServiceRequest()
    small.resource_spans.add().scope_spans.add().spans.add(name="small", trace_id=b"t" * 16)
    assert sender.send(small.SerializeToString(), 1, 1).kind == "delivered"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        outcome = sender.send(request.SerializeToString(), 1, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.kind == "rejected"
    assert sender.send(small.SerializeToString(), 1, 1).kind == "delivered"
    assert [one.name for one in from_json(path.read_text())] == ["small", "small"]


def span(
    name: str, ident: str, parent: str = "", start: int = 0, end: int = 10, **more: object
) -> DecodedSpan:
    return DecodedSpan(
        name=name,
        trace_id="ab" * 16,
        span_id=ident,
        parent_id=parent,
        start_time=start * MS,
        end_time=end * MS,
        resource={"service.name": "weather-app"},
        **more,  # type: ignore[arg-type]
    )


def test_a_trace_is_a_tree_with_model_tokens_cost_duration_and_errors() -> None:
    chat = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 420,
        "gen_ai.usage.output_tokens": 35,
        "gen_ai.cost_usd": 0.0016,
    }
    spans = [
        span("chat gpt-4o", "2", "1", 1, 813, attributes=chat),
        span(
            "execute_tool weather",
            "3",
            "1",
            820,
            832,
            status=DecodedStatus("error"),
            events=(
                DecodedEvent(
                    "exception", 0, {"exception.type": "ValueError", "exception.message": "no town"}
                ),
            ),
        ),
        span("agent.invoke Weather", "1", "", 0, 1420, attributes={"ajolopy.cost_usd.total": 0.0031}),
    ]
    lines = list(trace_lines(spans))
    assert lines[0] == "trace abababab…  weather-app  3 spans  1.42 s"
    assert lines[1].split() == ["└─", "agent.invoke", "Weather", "1.42", "s", "$0.0031"]
    assert lines[2].startswith("   ├─ chat gpt-4o ")
    assert lines[2].split()[-8:] == ["812", "ms", "gpt-4o", "420", "in,", "35", "out", "$0.0016"]
    assert lines[3].startswith("   └─ execute_tool weather ")
    assert lines[3].endswith("12 ms  ERROR ValueError: no town")


def test_a_part_of_a_trace_is_printed_too_and_circles_end() -> None:
    spans = [span("child", "2", "not here"), span("x", "8", "9"), span("y", "9", "8"), span("me", "5", "5")]
    text = "\n".join(trace_lines(spans))
    assert "… child" in text
    assert all(text.count(name) == 1 for name in ("child", " x ", " y ", " me "))


def test_a_trace_deeper_than_the_stack_is_printed() -> None:
    deep = [span(f"s{n}", str(n), str(n - 1) if n else "") for n in range(3000)]
    assert len(list(trace_lines(deep))) == 3001


def test_a_span_s_words_are_no_commands_to_the_terminal() -> None:
    text = "\n".join(trace_lines([span("a\x1b[2Jb\nc\u202ed", "1", status=DecodedStatus("error", "x\x07y"))]))
    assert len(text.splitlines()) == 2
    assert text.replace("\n", "").isprintable()


def test_the_console_goes_to_the_stream_that_the_file_names(capsys: pytest.CaptureFixture[str]) -> None:
    for stream in ("stdout", "stderr"):
        with rigged(local("console", stream=stream)) as rig:
            rig.offer(2)
            assert rig.flush()
            assert rig.counts.delivered == 2
        printed = capsys.readouterr()
        assert getattr(printed, {"stdout": "out", "stderr": "err"}[stream]).count("trace ") == 2
        assert getattr(printed, {"stdout": "err", "stderr": "out"}[stream]) == ""


def test_a_stream_that_knows_no_unicode_or_is_closed_is_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stderr", stream)
    sender = ConsoleSender()
    assert sender.send(body(), 1, 1).kind == "delivered"
    assert b"?? hello" in raw.getvalue()
    stream.close()
    assert sender.send(body(), 1, 1).kind == "rejected"
    monkeypatch.setattr(sys, "stderr", None)
    assert sender.send(body(), 1, 1).kind == "rejected"


def body(name: str = "hello") -> bytes:
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans.add(name=name, trace_id=b"t" * 16)
    made.status.code = Status.STATUS_CODE_OK
    return request.SerializeToString()


def test_lines_are_otlp_json_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    old = os.umask(0)
    try:
        with rigged(local("file", file=path)) as rig:
            rig.offer(5)
            assert rig.flush()
            assert rig.counts.delivered == 5
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(from_json(path.read_text())) == 5


def test_a_file_that_was_there_with_a_wider_mode_is_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.touch(mode=0o644)
    assert FileSender(path).send(body(), 1, 1).kind == "delivered"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_is_rotated_by_size_and_old_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    sender = FileSender(path, max_bytes=400, rotations=2)
    names = [f"span-{n:02}" for n in range(20)]
    for name in names:
        assert sender.send(body(name), 1, 1).kind == "delivered"
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["t.jsonl", "t.jsonl.1", "t.jsonl.2"]
    assert all(file.stat().st_size <= 400 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    kept = [one.name for file in reversed(files) for one in from_json(file.read_text())]
    assert kept == names[-len(kept) :]


def test_without_rotations_the_file_begins_anew(tmp_path: Path) -> None:
    sender = FileSender(tmp_path / "t.jsonl", max_bytes=200, rotations=0)
    for n in range(9):
        sender.send(body(f"span-{n}"), 1, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]
    assert from_json((tmp_path / "t.jsonl").read_text())[-1].name == "span-8"


def test_a_missing_folder_is_an_outcome_that_says_so(tmp_path: Path) -> None:
    with rigged(local("file", file=tmp_path / "absent" / "t.jsonl")) as rig:
        rig.offer(1)
        assert rig.flush()
        assert dict(rig.counts.lost) == {"rejected": 1}
        assert "doesn't exist" in rig.ledger.health().last_error


def test_a_link_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        outcome = FileSender(tmp_path / name).send(body(), 1, 1)
        assert outcome.kind == "rejected", name
        assert name in outcome.message
    assert elsewhere.read_text() == ""


def test_nothing_is_written_after_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, console = FileSender(tmp_path / "t.jsonl"), ConsoleSender()
    for sender in (file, console):
        sender.abort()
        assert sender.send(body(), 1, 1).kind == "rejected"
    assert not (tmp_path / "t.jsonl").exists()
    assert capsys.readouterr().err == ""
