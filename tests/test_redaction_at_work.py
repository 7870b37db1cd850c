"""Redaction behind real backends: what arrives, what is counted and why, what the others still get."""

from __future__ import annotations

from pathlib import Path

import pytest
import tests.own
from opentelemetry.trace import Status, StatusCode

from ajolo_fanout import ConfigError, keep
from ajolo_fanout.config.document import parse
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.testing import Harness, fanout

FILE = """
schema = 1
[service]
name = "counts"
[backends.strict]
type = "otlp"
endpoint = "http://strict.internal:4318"
[backends.strict.redaction]
content = "drop"
detect = ["email", "credit_card"]
patterns = { order = "ORD-[0-9]{4}" }
mask_ip = true
drop = ["secret"]
hash = ["user.id"]
hash_key = "${TRACE_HASH_KEY}"
mask = ["user.name"]
[backends.same]
type = "otlp"
endpoint = "http://same.internal:4318"
redaction = { content = "keep", allow = ["kept"] }
[backends.own]
type = "otlp"
endpoint = "http://own.internal:4318"
redaction.detect = ["email"]
processors = [{ type = "tests.own:stamp", text = "eve@example.com" }]
[backends.plain]
type = "otlp"
endpoint = "http://plain.internal:4318"
"""
SPANS = 5
ATTRIBUTES = {
    "gen_ai.prompt": "hello",
    "secret": "hunter2",
    "user.id": "u-1",
    "user.name": "Alice",
    "note": "to alice@example.com and bob@example.com about ORD-1234",
    "card": 4111111111111111,
    "peer": "192.0.2.17",
    "kept": "bob@example.com",
}


def trace(harness: Harness) -> None:
    tracer = harness.provider.get_tracer("tests")
    for _ in range(SPANS):
        with tracer.start_as_current_span("work", attributes=ATTRIBUTES) as span:
            span.set_status(Status(StatusCode.ERROR, "no mail to carol@example.com"))


def test_what_is_taken_out_is_counted_by_reason_at_each_backend(tmp_path: Path) -> None:
    """Drop, hash, mask, content, each detector and pattern, allow: each by itself, and their sum."""
    tests.own.release.set()
    path = tmp_path / "tracing.toml"
    path.write_text(FILE, encoding="utf-8")
    with fanout(path) as harness:
        trace(harness)
        assert harness.flush()
        counts = {name: one.counts for name, one in harness.health().backends.items()}
        arrived = {name: harness.spans(name) for name in counts}
        shown = harness.health().to_dict()["backends"]["strict"]["counts"]
    each = {
        "content": 1, "drop": 1, "hash": 1, "mask": 1, "email": 3, "order": 1, "credit_card": 1, "mask_ip": 1,
    }  # fmt: skip
    assert counts["strict"].redacted_by == {reason: n * SPANS for reason, n in each.items()}
    assert counts["strict"].redacted == sum(each.values()) * SPANS == shown["redacted"]
    assert shown["redacted_by"] == dict(counts["strict"].redacted_by)
    assert counts["same"].redacted_by == {"allow": (len(ATTRIBUTES) - 1) * SPANS}
    assert counts["own"].redacted_by == {"email": 4 * SPANS}, "on that backend's own thread, too"
    assert counts["plain"].redacted_by == {}
    assert all(len(spans) == SPANS for spans in arrived.values())
    assert {span.attributes["note"] for span in arrived["strict"]} == {"to [email] and [email] about [order]"}
    for span in arrived["plain"]:
        assert dict(span.attributes) == ATTRIBUTES
        assert span.status.message == "no mail to carol@example.com"


def test_a_value_that_a_rule_fails_on_is_counted_as_failed(tmp_path: Path) -> None:
    """It becomes `[redaction failed]`, and the span goes on without it."""
    path = tmp_path / "tracing.toml"
    half = r"redaction.patterns = { half = 'sum\C' }"  # one byte, which may be half a character
    path.write_text(
        f'schema = 1\n[service]\nname = "fails"\n[backends.b]\ntype = "otlp"\nendpoint = "http://b:4318"\n{half}\n',
        encoding="utf-8",
    )
    with fanout(path) as harness:
        tracer = harness.provider.get_tracer("tests")
        with tracer.start_as_current_span("work", attributes={"note": "the sumé", "kept": "the sum: 1"}):
            pass
        assert harness.flush()
        [span] = harness.spans("b")
        counts = harness.health().backends["b"].counts
    assert span.attributes["note"] == "[redaction failed]"
    assert span.attributes["kept"] == "the [half] 1"
    assert counts.redacted_by == {"failed": 1, "half": 1}
    assert counts.delivered == 1


def test_a_reason_to_keep_a_trace_is_looked_into_like_any_text(tmp_path: Path) -> None:
    """It comes from code and is put on behind the other steps; it can say anything all the same."""
    backend = (
        '[backends.{}]\ntype = "otlp"\nendpoint = "http://{}:4318"\n'
        'sampling = {{ ratio = 0.0, keep = [{{ name = "n", min_cost = 9.0 }}] }}\n'
    )
    path = tmp_path / "tracing.toml"
    path.write_text(
        'schema = 1\n[service]\nname = "kept"\n'
        + backend.format("strict", "strict") + 'redaction = { detect = ["email"], allow = [] }\n'
        + backend.format("plain", "plain")
        + backend.format("own", "own") + 'redaction.detect = ["email"]\n'
        + 'processors = [{ type = "tests.own:upper" }]\n',
        encoding="utf-8",
    )  # fmt: skip
    reason = "alice@example.com asked"
    with fanout(path) as harness:
        with harness.provider.get_tracer("tests").start_as_current_span("work"):
            assert keep(reason)
        assert harness.flush()
        names = ("strict", "plain", "own")
        kept = {name: harness.spans(name)[0].attributes["ajolo_fanout.kept_by"] for name in names}
        counts = {name: dict(one.counts.redacted_by) for name, one in harness.health().backends.items()}
    assert kept == {"strict": "[email] asked", "plain": reason, "own": "[email] asked"}
    assert counts == {"strict": {"email": 1}, "plain": {}, "own": {"email": 1}}


def test_patterns_that_are_too_large_together_are_an_error_of_the_file() -> None:
    """RE2 takes each of them; that the set of all can't be made is told before any span comes by."""
    patterns = "".join(f"p{n} = '\\pL{{1,200}}y{n}'\n" for n in range(40))
    head = 'schema = 1\n[service]\nname = "a"\n[backends.b]\ntype = "console"\n'
    text = f"{head}[backends.b.redaction.patterns]\n{patterns}"
    with pytest.raises(ConfigError) as caught:
        resolve(parse(text, "tracing.toml"), {})
    [problem] = [one for one in caught.value.problems if one.severity == "error"]
    assert (problem.code, problem.line, problem.key) == ("bad-pattern", 6, "backends.b.redaction.patterns")
    assert "too large together" in problem.message
