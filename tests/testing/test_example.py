"""`examples/tracing.toml`: complete, readable by every editor, and what its comments say is what holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tomli

from ajolo_fanout.config.document import parse
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.profiles.catalog import data_folder

EXAMPLE = data_folder("examples") / "tracing.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")


def plan_of(text: str) -> Plan:
    return resolve(parse(text, "tracing.toml"), {}, allow_unset=True)


def test_it_has_five_backends_in_five_shapes_and_no_warning() -> None:
    plan = plan_of(TEXT)
    assert [backend.target.profile.id for backend in plan.backends] == [
        "datadog",
        "langfuse",
        "tempo",
        "honeycomb",
        "datadog_agent",
    ]
    assert plan.warnings == ()
    assert plan.off == ()
    assert len({backend.target.url for backend in plan.backends}) == 5


def test_it_stays_within_toml_1_0() -> None:
    """No inline table over several lines, none with a trailing comma: editors' checkers don't know 1.1."""
    for line in TEXT.splitlines():
        code = line.partition("#")[0] if not line.lstrip().startswith("#") else ""
        assert code.count("{") == code.count("}"), line
        assert not re.search(r",\s*\}", code), line
    assert tomli.loads(TEXT)["schema"] == 1


def test_every_secret_comes_from_a_variable() -> None:
    for table in tomli.loads(TEXT)["backends"].values():
        for key, value in table.items():
            if key.endswith("key"):
                assert re.fullmatch(r"\$\{[A-Z_]+\}", value), key


def test_comments_are_prose_or_defaults() -> None:
    """`##` is prose, `#` a key that one could uncomment; nothing else."""
    for line in TEXT.splitlines():
        if line.startswith("#") and not line.startswith("##"):
            assert re.fullmatch(r"# [a-z_.]+ = .+", line), line


def test_uncommenting_every_default_changes_nothing() -> None:
    """What a commented line says is what holds without it."""
    uncommented = re.sub(r"^# (?=[a-z])", "", TEXT, flags=re.MULTILINE)
    assert uncommented != TEXT
    assert values(plan_of(uncommented)) == values(plan_of(TEXT))


def values(plan: Plan) -> Any:
    """A plan's values without their origins."""
    return [
        plan.resource,
        plan.limits,
        plan.shutdown,
        plan.ratio,
        [
            (one.name, one.settings, one.steps.sampling, one.steps.shape, one.target.url)
            for one in plan.backends
        ],
        [dict(one.target.resource) for one in plan.backends],
    ]


def test_the_file_is_shipped_beside_its_recordings() -> None:
    assert (Path(EXAMPLE).parent / "recorded" / "ok.json").is_file()
