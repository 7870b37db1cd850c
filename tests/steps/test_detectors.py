"""The detectors: what they must catch, what they must leave alone, and in what time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.steps.samples import ALL, SECRETS

from ajolo_fanout.steps.redaction.detectors import DETECTORS, Detector
from ajolo_fanout.steps.redaction.patterns import Pattern
from ajolo_fanout.steps.redaction.scan import Scan, ScanError, Scanner, scanner

LOOK_ALIKES = (
    "550e8400-e29b-41d4-a716-446655440000",
    "12345678-1234-1234-1234-123456789012",
    "00000000-0000-0000-0000-000000000000",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00f067aa0ba902b7",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "chatcmpl-9XyZabcdefghijklmnop",
    "toolu_vrtx",
    "order 4500012345",
    "Order #10023-B",
    "invoice INV-2024-000123",
    "SKU 12-3456-78",
    "tracking 1Z999AA10123456784",
    "ISBN 978-3-16-148410-0",
    "version 10.15.7",
    "python 3.14.0rc2",
    "opentelemetry-sdk==1.45.2",
    "Chrome/120.0.0.0 Safari/537.36",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "$1,234.56",
    "EUR 12.345,67",
    "0.00123 USD",
    "1e-09",
    "3.14159265358979",
    "0.4111111111111111",
    "2024-11-23T10:15:30.123456Z",
    "2024-11-23 10:15:30+01:00",
    "1795450533879494520",
    "1795450533879",
    "10:15:30",
    "00:1a:2b:3c:4d:5e",
    "gpt-4o-2024-08-06",
    "claude-sonnet-4-20250514",
    "gen_ai.usage.input_tokens=1234567",
    "max_tokens: 4096",
    "finish_reason: stop",
    "127.0.0.1:8080",
    "http://localhost:4318/v1/traces",
    "s3://bucket/key=value/part-00001",
    "logo@2x.png",
    "@decorator",
    "std::vector<std::string>",
    "a[1:2:3]",
    "C:\\users\\new\\file.txt",
    "50.1109, 8.6821",
    "RGB(255, 255, 255)",
    "1920x1080",
    "the password is required",
    "the token was refreshed",
    "token: <your token>",
    "Authorization: Bearer ${TOKEN}",
    "sk-loading-spinner-large-primary",
    "-----BEGIN CERTIFICATE-----",
    "data:image/png;base64,iVBORw0KGgo=",
    "1 + 1 = 2; 100 - 7 = 93",
    "phase 2-3-4",
    "400 500 600",
    "room 12-34, floor 5",
    "(1) first (2) second (3) third",
)


def _cases(attribute: str) -> list[Any]:
    return [
        pytest.param(row, text, id=f"{row.name}-{number}")
        for row in DETECTORS.values()
        for number, text in enumerate(getattr(row, attribute))
    ]


@pytest.mark.parametrize(("row", "text"), _cases("examples"))
def test_what_must_be_caught(row: Detector, text: str) -> None:
    scan = scanner((row.name,)).scan(text)
    assert scan.found == (row.name,)
    assert row.replacement in scan.text
    assert ALL.scan(text).found


@pytest.mark.parametrize(("row", "text"), _cases("look_alikes"))
def test_what_a_detector_must_leave_alone(row: Detector, text: str) -> None:
    assert scanner((row.name,)).scan(text) == Scan(text)


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_what_no_detector_may_touch(text: str) -> None:
    assert ALL.scan(text) == Scan(text)
    for around in (f"({text})", f"see {text}, then", json.dumps({"id": text})):
        assert ALL.scan(around) == Scan(around)


def test_there_are_at_least_fifty_of_both() -> None:
    assert sum(len(row.examples) for row in DETECTORS.values()) >= 50
    assert sum(len(row.look_alikes) for row in DETECTORS.values()) >= 50
    assert len(LOOK_ALIKES) >= 50


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "around", ["{}", "see {}.", "({})", '"{}"', "<{}>", "x={};", "\n{}\n", "é {} 日", "\ud83d {}"]
)
def test_surroundings_hide_nothing(secret: str, around: str) -> None:
    assert secret not in ALL.scan(around.format(secret)).text


def test_what_surrounds_a_secret_is_left_as_it_was() -> None:
    scan = ALL.scan("\ud800 é alice@example.com, 日本 bob@example.com \U0001f600 and 203.0.113.7!")
    assert scan.text == "\ud800 é [email], 日本 [email] \U0001f600 and [ip]!"
    assert scan.found == ("email", "ip")


def test_clean_text_is_the_same_object() -> None:
    for text in ("", "nothing here", '{"a": ["b", 1, {"c": "d\\n\\u00e9"}]}', "\ud800"):
        assert ALL.scan(text).text is text


@pytest.mark.parametrize("text", [text for row in DETECTORS.values() for text in row.examples])
def test_a_second_scan_finds_nothing_more(text: str) -> None:
    once = ALL.scan(text)
    assert ALL.scan(once.text) == Scan(once.text)


def test_a_telling_name_gives_its_value_away() -> None:
    assert ALL.scan("k8sJ2hd82hsk", "http.request.header.x-api-key").text == "[api_key]"
    assert ALL.scan("correcthorse", "db.password").text == "[api_key]"
    assert ALL.scan('{"apiKey": "k8sJ2hd82", "max_tokens": "k8sJ2hd82"}').text == (
        '{"apiKey": "[api_key]", "max_tokens": "k8sJ2hd82"}'
    )
    for name, value in (
        ("gen_ai.usage.output_tokens", "a1b2c3d4"),
        ("api_key", "${KEY}"),
        ("password", "***"),
    ):
        assert ALL.scan(value, name) == Scan(value)


def test_only_the_chosen_detectors_find() -> None:
    text = "alice@example.com 203.0.113.7"
    assert scanner(("ip",)).scan(text) == Scan("alice@example.com [ip]", ("ip",))
    assert Scanner(()).scan(text) == Scan(text)


def test_a_pattern_of_the_users_own_works_as_a_built_in_one_does() -> None:
    own = Detector("ticket", "", (Pattern(r"(?:^|\s)(Ämt-\d{4})", "Ämt-"),))
    assert Scanner([own]).scan('{"a": "x \\u00c4mt-1234"}') == Scan('{"a": "x [ticket]"}', ("ticket",))


UNHINTED = {
    row.name: Scanner([attrs.evolve(row, patterns=tuple(attrs.evolve(one, hint="") for one in row.patterns))])
    for row in DETECTORS.values()
}
fragments = st.lists(
    st.one_of(
        st.sampled_from("aZ09+-=:@./ ()[]\"'\\%_ éÄ\xa0"),
        st.sampled_from(
            ["key", "token", "Bearer ", "password", "://", "eyJ", "http", "::", "4111", "+49", "555"]
        ),
        st.sampled_from([text for row in DETECTORS.values() for text in row.examples]),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=500)
@given(st.sampled_from(list(DETECTORS)), fragments)
def test_a_first_pass_over_hints_misses_nothing(name: str, text: str) -> None:
    """The set decides who looks: a hint that misses would switch its detector off."""
    assert scanner((name,)).scan(text) == UNHINTED[name].scan(text)


def test_a_detector_runs_alone_only_where_the_set_says_so() -> None:
    """On prose none does, and on a text with one secret hardly more than its own."""
    prose = (
        "You are a helpful assistant for the customers of a book shop. Answer briefly, and never guess. " * 30
    )
    assert ALL.asked(prose) == ()
    assert ALL.asked(f"{prose} alice@example.com") == ("email",)
    assert ALL.asked(f"{prose} GB82WEST12345698765432") == ("phone", "credit_card", "iban"), "in their order"
    for row in DETECTORS.values():
        for text in row.examples:
            assert row.name in ALL.asked(text) or "\\" in text


HOSTILE = {
    "a run of letters": "a",
    "a run of digits": "1",
    "digits and gaps": "4111 ",
    "at signs": "a@",
    "half addresses": "a@b.1.",
    "image names": "a@b.png ",
    "colons": "a:",
    "dots": "1.",
    "tokens": "eyJ",
    "tokens with dots": "eyJabcdefgh.",
    "assignments": "key=",
    "passwords": "password=a ",
    "urls": "a://b:",
    "begin lines": "-----BEGIN PRIVATE KEY-----",
    "quotes": '"',
    "escaped quotes": '\\"',
    "backslashes": "\\",
    "escapes": "\\u0041",
    "brackets": "[",
    "objects": '{"a":',
    "pluses": "+1 ",
    "bank": "DE89 ",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_no_faster_than_the_text(unit: str) -> None:
    """Eight times the text, some twelve times the time; a quadratic scan would take sixty-four."""

    def cost(size: int) -> float:
        text = (unit * size)[: size * 2]
        best = float("inf")
        for _ in range(5):
            started = time.thread_time()
            _scan_or_refuse(text)
            _scan_or_refuse("[" + text)
            best = min(best, time.thread_time() - started)
        return best

    small, large = cost(8_000), cost(64_000)
    assert large < 30 * small + 0.005


def _scan_or_refuse(text: str) -> None:
    with contextlib.suppress(ScanError):
        ALL.scan(text)


def test_importing_the_detectors_does_not_import_re2() -> None:
    script = "import sys, ajolo_fanout.steps.redaction.scan; print('re2' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
