"""What `check` warns of, where the corpus can't show it: what is *not* warned of, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ajolo_fanout.config.document import Document, parse
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.plan.advice import Surroundings, examine
from ajolo_fanout.plan.excerpt import excerpt, excerpt_of_text
from ajolo_fanout.plan.placeholders import resolve_with_placeholders
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.replay.recorded import recorded_spans

EXAMPLE = Path(__file__).parents[2] / "examples" / "tracing.toml"
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
HEAD = 'schema = 1\n[service]\nname = "a"\n'
OTLP = '[backends.one]\ntype = "otlp"\nendpoint = "http://localhost:4318"\n'


def document(text: str, folder: Path | None = None) -> Document:
    return parse(HEAD + text, "t.toml", None if folder is None else folder / "t.toml")


def codes(text: str, environ: Mapping[str, str] | None = None, **more: Any) -> list[str]:
    folder = more.pop("folder", None)
    found = examine(document(text, folder), Surroundings(environ or {}, spans=recorded_spans, **more))
    assert found.errors == ()
    return [one.code for one in found.warnings]


@pytest.mark.parametrize("value", ["", "false", "NO_CONTENT", "no_content"])
def test_prompts_that_are_not_captured_are_no_warning(value: str) -> None:
    assert codes(OTLP, {CAPTURE: value}) == []


@pytest.mark.parametrize(
    "value", ["true", "TRUE", "1", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT", "new_mode"]
)
def test_any_other_value_captures(value: str) -> None:
    """A mode of tomorrow counts as capturing, until somebody says otherwise."""
    assert "prompts-captured" in codes(OTLP, {CAPTURE: value})


@pytest.mark.parametrize(
    "redaction",
    [
        'redaction.content = "drop"',
        'redaction.content = "mask"',
        'redaction.content = "keep"',
        'redaction.drop = ["gen_ai.*"]',
        'redaction.mask = ["gen_ai.input.*", "gen_ai.output.*", "gen_ai.system_*"]',
        'redaction.allow = ["gen_ai.usage.*"]',
    ],
)
def test_a_backend_that_somebody_decided_about_is_no_warning(redaction: str) -> None:
    """Taken away by any rule, or kept on purpose, here or in [defaults]."""
    assert codes(OTLP + redaction, {CAPTURE: "SPAN_ONLY"}) == []
    assert codes(f"[defaults]\n{redaction}\n{OTLP}", {CAPTURE: "SPAN_ONLY"}) == []


@pytest.mark.parametrize("redaction", ['redaction.detect = ["email"]', 'redaction.drop = ["user.id"]'])
def test_redaction_of_something_else_is_none_of_prompts(redaction: str) -> None:
    assert codes(OTLP + redaction, {CAPTURE: "SPAN_ONLY"}) == ["prompts-captured"]


@pytest.mark.parametrize(
    ("importable", "environ", "warned"),
    [
        (True, {"DD_TRACE_OTEL_ENABLED": "true"}, True),
        (True, {"DD_TRACE_OTEL_ENABLED": "1"}, True),
        (True, {"OTEL_SDK_DISABLED": "false"}, True),
        (True, {"DD_TRACE_OTEL_ENABLED": "false"}, False),
        (True, {}, False),
        (False, {"DD_TRACE_OTEL_ENABLED": "true"}, False),
    ],
)
def test_ddtrace_is_a_warning_exactly_when_it_would_own_the_provider(
    importable: bool, environ: dict[str, str], warned: bool
) -> None:
    assert ("ddtrace-owns" in codes(OTLP, environ, ddtrace=importable)) is warned


DATADOG = '[backends.dd]\ntype = "datadog"\nsite = "eu"\napi_key = "${KEY}"\n'
KEY = {"KEY": "0123456789"}


def test_one_of_datadogs_two_ways_switched_off_is_no_warning() -> None:
    agent = '[backends.agent]\ntype = "datadog_agent"\n'
    assert codes(DATADOG + agent, KEY) == ["paid-twice"]
    assert codes(DATADOG + agent + "enabled = false\n", KEY) == []


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (DATADOG + "sampling.ratio = 0.5\n", True),
        (DATADOG + "sampling.ratio = 1.0\n", False),
        (DATADOG + "sampling.ratio = 0.5\ncompute_stats = false\n", False),
        ('[backends.agent]\ntype = "datadog_agent"\nsampling.ratio = 0.5\n', True),
        (OTLP + "sampling.ratio = 0.5\n", False),
    ],
)
def test_a_share_of_traces_is_a_warning_where_metrics_are_made_of_it(text: str, warned: bool) -> None:
    assert ("sampled-metrics" in codes(text, KEY)) is warned


@pytest.mark.parametrize(
    ("batch", "warned"),
    [
        ("", False),
        ("batch.max_export_batch_size = 960\n", False),
        ("batch.max_export_batch_size = 961\n", True),
        ('batch.max_export_batch_size = 961\nredaction.content = "drop"\n', False),
    ],
)
def test_only_a_chosen_batch_size_over_the_limit_is_a_warning(batch: str, warned: bool) -> None:
    """15 MiB are 960 spans of 16 KiB; without what was said, spans are smaller."""
    assert ("batch-over-limit" in codes(DATADOG + batch, KEY)) is warned


def test_the_environments_batch_size_counts_as_chosen() -> None:
    environ = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2000"}
    assert codes(OTLP, environ) == ["batch-over-limit"]


def test_the_stock_exporter_splits_nothing_whoever_chose_the_size() -> None:
    grpc = OTLP.replace("4318", "4317") + 'protocol = "grpc"\n'
    assert codes(grpc) == []
    assert codes(grpc + 'exporter = "stock"\n') == ["batch-over-limit"]


@pytest.mark.parametrize("name", ["user_id", "user.id", "session.id", "gen_ai.tool.call.id"])
def test_what_differs_from_span_to_span_is_no_resource(name: str) -> None:
    assert codes(f'{OTLP}[resource]\n"{name}" = "x"\n') == ["one-value-for-all"]
    setting = f'[[backends.one.processors]]\ntype = "set"\nresource = {{ "{name}" = "x" }}\n'
    assert codes(OTLP + setting) == ["one-value-for-all"]
    assert codes(OTLP + setting.replace("resource", "attributes")) == []


SPOOL = OTLP + 'spool = "on_failure"\n[spool]\ndirectory = "spool"\n'


def test_a_spool_folder_that_is_there_or_can_be_made_is_no_warning(tmp_path: Path) -> None:
    assert codes(SPOOL, folder=tmp_path) == []
    (tmp_path / "spool").mkdir()
    assert codes(SPOOL, folder=tmp_path) == []


def test_a_spool_folder_that_is_a_file_or_far_away_is_a_warning(tmp_path: Path) -> None:
    assert codes(SPOOL, folder=tmp_path / "nosuch") == ["spool-folder"]
    (tmp_path / "spool").write_text("")
    assert codes(SPOOL, folder=tmp_path) == ["spool-folder"]


def test_a_spool_folder_of_another_machine_is_not_looked_at(tmp_path: Path) -> None:
    assert codes(SPOOL, folder=tmp_path / "nosuch", allow_unset=True) == []


# Rules on recorded spans.


def test_a_rule_that_tells_spans_apart_is_no_warning() -> None:
    assert codes(OTLP + 'select.include = [{ name = "chat*" }, "llm"]\n') == []


def test_durations_are_not_held_against_recordings() -> None:
    """Recorded models answer at once: a rule for slow traces is none the worse for it."""
    rule = 'sampling.ratio = 0.5\nsampling.keep = [{ name = "slow", root = { min_duration = "30s" } }]\n'
    assert codes(OTLP + rule) == []
    for match in (
        '{ not = { max_duration = "1s" } }',
        '{ name = "*", min_duration = "1s" }',
        '{ any = [{ min_duration = "1s" }, { status = "error" }] }',
        '{ not = { name = "*", min_duration = "1s" } }',
    ):
        assert codes(OTLP + rule.replace('root = { min_duration = "30s" }', f"match = {match}")) == []
    none = 'match = { name = "nosuch", min_duration = "1s" }'
    assert codes(OTLP + rule.replace('root = { min_duration = "30s" }', none)) == ["matches-none"]


def test_recordings_are_read_once_and_only_for_rules() -> None:
    read: list[int] = []

    def spans() -> Sequence[Any]:
        read.append(1)
        return recorded_spans()

    examine(document(OTLP), Surroundings({}, spans=spans))
    assert read == []
    rules = 'select.include = [{ name = "chat*" }]\nselect.exclude = [{ name = "tool*" }]\n'
    examine(document(OTLP + rules), Surroundings({}, spans=spans))
    assert read == [1]


def test_no_more_recordings_are_read_than_tell_the_rules_spans_from_the_others() -> None:
    """Reading is what `check` takes most of its time for."""
    spans = recorded_spans()
    chat = next(index for index, span in enumerate(spans) if span.name.startswith("chat"))
    other = next(index for index, span in enumerate(spans) if not span.name.startswith("chat"))
    read = iter(spans)
    rule = 'select.include = [{ name = "chat*" }]\nselect.exclude = [{ name = "chat*" }]\n'
    assert examine(document(OTLP + rule), Surroundings({}, spans=lambda: read)).warnings == ()
    assert len(spans) - len(list(read)) == max(chat, other) + 1


def test_no_spans_are_no_evidence() -> None:
    rule = OTLP + 'select.include = [{ name = "nosuch" }]\n'
    assert examine(document(rule), Surroundings({}, spans=list)).warnings == ()


# Files with errors, placeholders, excerpts.


def test_right_backends_are_looked_at_beside_wrong_ones() -> None:
    """An error elsewhere hides no warning."""
    text = OTLP + "sampling.ratio = 5\n" + DATADOG.replace("${KEY}", "0123456789") + "sampling.ratio = 0.5\n"
    found = examine(document(text), Surroundings({}))
    assert [one.code for one in found.problems] == ["out-of-range", "literal-secret", "sampled-metrics"]
    assert found.plan is None


def test_placeholders_stand_only_for_what_is_absent() -> None:
    """Other errors are raised as ever, and only they."""
    broken = document(DATADOG + "sampling.ratio = 5\n")
    with pytest.raises(ConfigError) as caught:
        resolve_with_placeholders(broken, {})
    assert [one.code for one in caught.value.problems] == ["out-of-range"]


def test_with_everything_set_the_plan_is_the_plan() -> None:
    plan, warnings = resolve_with_placeholders(document(DATADOG), KEY)
    assert warnings == ()
    assert plan.to_dict() == resolve(document(DATADOG), KEY).to_dict()


def test_an_excerpt_masks_strings_and_follows_the_key() -> None:
    """The key's column is that of the line as it is shown, behind strings that are shown shorter."""
    text = 'headers = { x-long = "s3cret \\" [ # s3cret", x-lit = \'s3cret"\', x-bad = "s3cret" }  # s3cret'
    made = document(OTLP + text)
    place = made.place(("backends", "one", "headers", "x-bad"))
    found = excerpt(place.problem("m", "c"), made)
    assert found is not None
    assert found.text == 'headers = { x-long = "…", x-lit = "…", x-bad = "…" }'
    assert found.text[found.start :][: found.length] == "x-bad"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("api_key = s3cret", "api_key = …"),
        ("sampling.ratio = s3cret", "sampling.ratio = …"),
        ("[service", "…"),
        ("[service] s3cret", "[service]…"),
        ("[backends.s3cret]", "…"),
        ("c2vjcmv0=", "…"),
        ("s3cret", "…"),
        ("Authorization: Bearer s3cret", "…"),
        ("deadbeef.ratio = 1", "…"),
    ],
)
def test_of_a_line_that_does_not_parse_only_known_keys_are_shown(line: str, shown: str) -> None:
    problem = document(OTLP).place(("schema",)).problem("m", "syntax")
    found = excerpt_of_text(problem, line)
    assert found is not None
    assert found.text == shown
    assert 0 <= found.start <= len(found.text)
