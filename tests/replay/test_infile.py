"""`[[tests]]`: spans in, and what each backend is to get; every difference with the line that expects it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.config.document import Document, load
from ajolo_fanout.config.tests import GivenSpan
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.placeholders import resolve_with_placeholders
from ajolo_fanout.replay.given import given_spans
from ajolo_fanout.replay.infile import Judged, run_test
from ajolo_fanout.testing import fanout, recorded_spans

HEAD = """\
schema = 1
[service]
name = "x"
[backends.a]
type = "console"
select.exclude = [{ name = "GET *" }, { resource = { "service.name" = "web" } }]
select.orphans = "reparent"
sampling.ratio = 0.01
sampling.keep = [{ name = "slow", root = { min_duration = "30s" } }]
redaction.detect = ["email"]
[backends.b]
type = "console"
enabled = false
[[tests]]
name = "it"
"""
LINE = HEAD.count("\n") + 1

Opened = tuple[Plan, Document]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[str], Opened]:
    def opened(text: str) -> Opened:
        path = tmp_path / "tracing.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        document = load(path, "tracing.toml")
        return resolve_with_placeholders(document, {})[0], document

    return opened


@pytest.fixture
def run(opened: Callable[[str], Opened]) -> Callable[[str], Judged]:
    return lambda text: run_test(*opened(text), 0)


def _said(tested: Judged) -> list[str]:
    return [f"{one.place.line}:{one.place.key.split('.', 2)[-1]}: {one}" for one in tested.differences]


@pytest.mark.parametrize(
    "text",
    [
        'spans = [{ name = "n" }]\nexpect.a = [{}]',
        'spans = [{ name = "GET /" }, { name = "n" }]\nexpect.a = [{ fate = "filtered" }, { parent = "" }]',
        (
            'spans = [{ name = "n", attributes = { to = "me@example.com", n = 3 } }]\n'
            'expect.a = [{ attributes = { to = "[email]", n = ">= 3" }, absent = ["b*"], name = "n" }]'
        ),
        'spans = [{ name = "n", resource = { "service.name" = "web" } }]\nexpect.a = [{ fate = "filtered" }]',
        (
            'spans = [{ name = "n", trace_id = "ffffffffffffffffff00000000000001" }]\n'
            'expect.a = [{ fate = "sampled_out" }]'
        ),
        (
            'spans = [{ name = "n", trace_id = "ffffffffffffffffff00000000000001", duration = "31s" }]\n'
            'expect.a = [{ attributes = { "ajolo_fanout.kept_by" = "slow" } }]'
        ),
        # Children may stand before their parents, and end first all the same.
        (
            'spans = [{ name = "n", parent = "g" }, { name = "GET /", id = "g", parent = "r" }, '
            '{ name = "r", id = "00f067aa0ba902b7" , resource = {} }, { name = "r", id = "r" }]\n'
            'expect.a = [{ parent = "r" }, { fate = "filtered" }, {}, { parent = "" }]'
        ),
    ],
)
def test_what_is_as_expected_passes(run: Callable[[str], Judged], text: str) -> None:
    assert _said(run(text)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'spans = [{ name = "GET /" }]\nexpect.a = [{}]',
            [f"{LINE + 1}:a[0]: a, GET /: expected sent, got filtered by select.exclude[0] (tracing.toml:6)"],
        ),
        (
            'spans = [{ name = "n" }]\nexpect.a = [{ fate = "sampled_out" }]',
            [f"{LINE + 1}:a[0].fate: a, n: expected sampled out, got sent"],
        ),
        (
            'spans = [{ name = "n", trace_id = "ffffffffffffffffff00000000000001" }]\nexpect.a = [{}]',
            [f"{LINE + 1}:a[0]: a, n: expected sent, got sampled out by sampling.ratio (tracing.toml:8)"],
        ),
        (
            (
                'spans = [{ name = "n", attributes = { x = "a\\u001b[1m", y = [1, 2] } }]\n'
                'expect.a = [{ attributes = { x = "b", y = { equals = [1] }, "z.z" = 1 }, absent = ["?"] }]'
            ),
            [
                f'{LINE + 1}:a[0].attributes.x: a, n: expected x = "b", got "a\\u001b[1m"',
                f"{LINE + 1}:a[0].attributes.y: a, n: expected y = {{ equals = [1] }}, got [1, 2]",
                f'{LINE + 1}:a[0].attributes."z.z": a, n: expected z.z = 1, got nothing',
                f'{LINE + 1}:a[0].absent[0]: a, n: expected no ?, got x = "a\\u001b[1m"',
                f"{LINE + 1}:a[0].absent[0]: a, n: expected no ?, got y = [1, 2]",
            ],
        ),
        (
            (
                'spans = [{ name = "n", id = "n" }, { name = "m", parent = "n" }]\n'
                'expect.a = [{ parent = "n", name = "o*" }, { parent = "" }]'
            ),
            [
                f'{LINE + 1}:a[0].name: a, n: expected the name "o*", got "n"',
                f'{LINE + 1}:a[0].parent: a, n: expected the parent "n", got none',
                f'{LINE + 1}:a[1].parent: a, m: expected the parent none, got "n"',
            ],
        ),
        (
            'spans = [{ name = "n" }]\nexpect.b = [{}]',
            [f"{LINE + 1}:b: b: expected a backend, got none: it is off (enabled = false)"],
        ),
    ],
)
def test_what_is_not_as_expected_is_told_with_its_line(
    run: Callable[[str], Judged], text: str, said: list[str]
) -> None:
    assert _said(run(text)) == said


def test_a_step_that_fails_is_no_success(
    run: Callable[[str], Judged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_that_fails.py").write_text(
        "def change(draft):\n    raise LookupError('secret')\n", "utf-8"
    )
    text = 'spans = [{ name = "n" }]\nexpect.c = [{}]\n[backends.c]\ntype = "console"\n'
    [said] = _said(run(f'{text}processors = [{{ type = "mine_that_fails:change" }}]\n'))
    assert "expected sent, got lost: a step failed with LookupError at " in said
    assert "secret" not in said


def test_spans_may_come_from_a_file(opened: Callable[[str], Opened], tmp_path: Path) -> None:
    """As a `file` backend wrote them; they count in the order in which they ended."""
    source = tmp_path / "source.toml"
    source.write_text(
        'schema = 1\n[service]\nname = "x"\n[backends.f]\ntype = "file"\npath = "f.jsonl"\n', encoding="utf-8"
    )
    with fanout(source) as harness:
        harness.replay(recorded_spans("ok"))
        harness.flush()
        (tmp_path / "ok.jsonl").write_bytes(harness.files["f"].read_bytes())
    root = recorded_spans("ok")[-1].context.span_id
    text = 'spans_file = "ok.jsonl"\nexpect.a = [{}, {}, {}, {}]\n'
    [first, *_] = _said(run_test(*opened(text.replace("[{}", '[{ fate = "sent" }')), 0))
    assert "expected sent, got sampled out" in first
    kept = text.replace("[{}", f'[{{ parent = "{root:016X}" }}')
    plan, document = opened(f"{kept}[backends.all]\ntype = 'console'\n".replace("expect.a", "expect.all"))
    assert _said(run_test(plan, document, 0)) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "spans.jsonl: can't be read: No such file or directory"),
        ("{}\n{", "spans.jsonl:2: not JSON: Expecting property name enclosed in double quotes"),
        ("one span", "expected one table for each of the 1 spans of the file, got 2"),
    ],
)
def test_a_spans_file_that_cannot_be_used_is_an_error_of_the_file(
    opened: Callable[[str], Opened], tmp_path: Path, content: str | None, message: str
) -> None:
    if content == "one span":
        content = (
            '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c",'
            '"spanId":"00f067aa0ba902b7"}]}]}]}'
        )
    if content is not None:
        (tmp_path / "spans.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        run_test(*opened('spans_file = "spans.jsonl"\nexpect.a = [{}, {}]\n'), 0)
    [problem] = caught.value.problems
    assert problem.message == message
    assert problem.line == LINE + (content is not None and "resourceSpans" in content)


@given(
    st.lists(st.integers(-1, 10), min_size=1, max_size=12),
    st.lists(st.sampled_from([None, "00f067aa0ba902b7", "0000000000000001"]), min_size=12, max_size=12),
)
def test_children_end_before_their_parents_and_ids_are_unique(
    parents: list[int], ids: list[str | None]
) -> None:
    """Whatever tree is written, in whatever order."""
    taken: set[str] = set()
    tables = []
    for index, parent in enumerate(parents):
        own = ids[index]
        name = own if own is not None and own not in taken else f"s{index}"
        taken.add(name)
        above = tables[parent % index].id if index and parent >= 0 else None
        tables.append(GivenSpan(name="n", id=name, parent=above))
    tables.reverse()
    made = given_spans(tables)
    ended = {span.context.span_id: number for number, span in enumerate(made.ended)}
    assert len(ended) == len(tables)
    assert all(
        span.parent is None or ended[span.parent.span_id] > number for number, span in enumerate(made.ended)
    )
    assert [made.ids[span.context.span_id] for span in made.spans] == [table.id for table in tables]
