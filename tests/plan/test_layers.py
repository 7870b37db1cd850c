"""Tables merge key by key, all else replaces, and each value knows the layer that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.config.places import KeyPath, Place
from ajolo_fanout.plan.layers import Layer, Merged, merge
from ajolo_fanout.values import BUILT_IN, Origin

from .support import plan_of

KEYS = st.sampled_from("abc")
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
TABLES = st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=4)


def layer(number: int, table: Mapping[str, Any]) -> Layer:
    """A layer of a table, with a number to know it by."""
    origin = Origin("file", f"layer {number}")
    return Layer(table, lambda _: origin, lambda key: Place(f"layer {number}", key=str(key)))


def merged_of(tables: list[dict[str, Any]]) -> Merged:
    """The tables as layers, the strongest first."""
    return merge([layer(number, table) for number, table in enumerate(tables)])


def overlay(strong: Any, weak: Any) -> Any:
    """The same rule, written the other way round."""
    if not isinstance(strong, dict) or not isinstance(weak, dict):
        return strong
    return {
        **weak,
        **{key: overlay(value, weak[key]) if key in weak else value for key, value in strong.items()},
    }


def leaves(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every value that is no table."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif path:
        yield path


def at(table: Any, path: KeyPath) -> Any:
    """The value at a path, None where there is none."""
    for part in path:
        table = table.get(part) if isinstance(table, dict) else None
    return table


@given(TABLES)
def test_the_strongest_value_wins_table_by_table(tables: list[dict[str, Any]]) -> None:
    """Merging is overlaying one by one, from the weakest to the strongest."""
    expected: Any = {}
    for table in reversed(tables):
        expected = overlay(table, expected)
    assert merged_of(tables).table == expected


@given(TABLES)
def test_a_value_s_owner_is_the_layer_that_wrote_it(tables: list[dict[str, Any]]) -> None:
    """No stronger layer says anything of that key, and the owner says just this value."""
    merged = merged_of(tables)
    for path in leaves(merged.table):
        owner = int(merged.origin(path).source.split()[1])
        assert at(tables[owner], path) == at(merged.table, path)
        for stronger in tables[:owner]:
            assert at(stronger, path) is None


@given(TABLES)
def test_sources_are_never_changed(tables: list[dict[str, Any]]) -> None:
    """Layers are shared by all backends of a file."""
    before = repr(tables)
    merged_of(tables)
    assert repr(tables) == before


def test_a_written_table_says_nothing_of_its_other_keys() -> None:
    """`batch.a` in the file leaves `batch.b` built in; an array's element is the array's."""
    merged = merged_of([{"batch": {"a": 1}, "list": [{"x": 1}]}])
    assert merged.origin(("batch", "b")) == BUILT_IN
    assert merged.origin(("list", 0, "x")).source == "layer 0"
    assert merged.origin(("other",)) == BUILT_IN


BATCH = {"max_queue_size": (2001, 9000), "max_export_batch_size": (1, 2000), "schedule_delay": (1, 9000)}
VARIABLES = {
    "max_queue_size": "OTEL_BSP_MAX_QUEUE_SIZE",
    "max_export_batch_size": "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "schedule_delay": "OTEL_BSP_SCHEDULE_DELAY",
}
PROFILE = {"max_export_batch_size": 256}
BUILT_IN_VALUES = {"max_queue_size": 2048, "max_export_batch_size": 512, "schedule_delay": 5000}

WRITTEN = st.fixed_dictionaries(
    {
        key: st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("file", "defaults", "environment"), st.integers(low, high))
        )
        for key, (low, high) in BATCH.items()
    }
)


def toml(key: str, number: int) -> str:
    """A key of `batch` as the file has it."""
    return f"batch.{key} = " + (f'"{number}ms"' if key == "schedule_delay" else str(number))


@given(WRITTEN)
def test_precedence_with_origins(written: dict[str, dict[str, int]]) -> None:
    """The backend's own table, [defaults], the profile, the environment, built in: for every mix of them."""
    lines = ["[defaults]"]
    lines += [toml(key, said["defaults"]) for key, said in written.items() if "defaults" in said]
    lines += ["[backends.dd]", 'type = "datadog"', 'site = "eu"', 'api_key = "${KEY}"']
    lines += [toml(key, said["file"]) for key, said in written.items() if "file" in said]
    environ = {
        VARIABLES[key]: str(said["environment"]) for key, said in written.items() if "environment" in said
    }
    backend = plan_of("\n".join(lines), {"KEY": "k" * 32, **environ})["dd"]
    for key, said in written.items():
        known = {"profile": PROFILE[key]} if key in PROFILE else {}
        known = {**said, **known, "built in": BUILT_IN_VALUES[key]}
        kind = next(one for one in ("file", "defaults", "profile", "environment", "built in") if one in known)
        value = getattr(backend.settings.batch, key)
        origin = backend.origins[f"batch.{key}"]
        assert (origin.kind, round(value * 1000) if key == "schedule_delay" else value) == (kind, known[kind])
        if kind in ("file", "defaults"):
            assert origin.line is not None
            assert lines[origin.line - 2] == toml(key, known[kind])
