"""The page of the file's grammar: every table and key, from the settings classes."""

from __future__ import annotations

from collections.abc import Iterator

from ajolo_fanout.config.backend import NOT_IN_DEFAULTS, BackendSettings
from ajolo_fanout.config.model import FileSettings
from ajolo_fanout.config.tests import ExpectedSpan, GivenEvent, GivenSpan, InFileTest
from ajolo_fanout.plan.environment import BATCH_VARIABLES, LIMIT_VARIABLES
from ajolo_fanout.profiles import catalog
from ajolo_fanout.profiles.model import USELESS_KEYS
from ajolo_fanout.reference.types import Row, bare, field_options, rows, table, toml
from ajolo_fanout.steps.keep import KeepRule
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors import PROCESSORS, OwnSettings
from ajolo_fanout.steps.processors.own import GROUP

__all__ = ["configuration"]

_INTRODUCTION = """\
# The file, key by key

`tracing.toml` is TOML. Names are snake_case. A duration is a string of one number and `ms`, `s`, `m`, `h` or
`d`; a size one of one number and `B`, `KiB`, `MiB` or `GiB`. An unknown key, a wrong type and a value out of
range are errors, and all errors are reported at once, each with its line.

**Which value wins**: the backend's own table, `[defaults]`, the [profile](backends.md) of its `type`, the
environment (below), built in. Tables merge key by key; every other value, arrays and `processors` included,
replaces.

**`${NAME}`** in a string is the value of an environment variable, `${NAME:-text}` the same with a default,
`$$` a dollar. An empty variable counts as unset, and an unset one without a default is an error, or switches
an `optional` backend off. A string that is exactly one `${…}` may stand for a boolean, a number, a duration
or a size. In `[[tests]]` nothing is replaced.

**A secret** is a string or `{ file = "…" }`, a path to a file that holds it (one final newline is dropped;
the file is read again when it changes). It is shown as `***` wherever anything is shown. Relative paths start
at the file's own folder.
"""

_OWN = {"resource", "defaults", "backends", "tests"}


def configuration() -> str:
    """The whole page, in Markdown."""
    return "\n".join(_page()).rstrip("\n") + "\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    yield from _top()
    yield from _backends()
    yield from _processors()
    yield from _matches()
    yield from _tests()
    yield from _environment()


def _top() -> Iterator[str]:
    yield "## On top"
    yield ""
    yield from table(row for row in rows(FileSettings) if "." not in row.key)
    for field, option in field_options(FileSettings):
        keys = list(rows_of(field.name))
        if field.name in _OWN or not keys:
            continue
        yield f"## `[{field.name}]`"
        yield ""
        yield option.help
        yield ""
        yield from table(iter(keys))


def rows_of(name: str) -> Iterator[Row]:
    """The keys of the top table called `name`, without its name in front."""
    for field, _ in field_options(FileSettings):
        kind = bare(field.type)
        if field.name == name and hasattr(kind, "__attrs_attrs__"):
            yield from rows(kind)


def _backends() -> Iterator[str]:
    yield "## `[backends.NAME]`"
    yield ""
    yield (
        "A name begins with a letter and holds `a-z`, `0-9`, `_` and `-`, 64 characters at most. These "
        "keys are common to "
        "all types; each [type](backends.md) has inputs of its own."
    )
    yield ""
    types = " or ".join(f"`{toml(name)}`" for name in catalog.names())
    kinds = Row("type", types, "required", "The kind of backend: which profile it has.", '"datadog"')
    found = list(rows(BackendSettings))
    yield from table(iter([kinds, *(row for row in found if "." not in row.key)]))
    for name in dict.fromkeys(row.key.partition(".")[0] for row in found if "." in row.key):
        helped = next(option.help for field, option in field_options(BackendSettings) if field.name == name)
        yield f"### `{name}`"
        yield ""
        yield helped
        yield ""
        yield from table(row for row in found if row.key.startswith(f"{name}."))
    yield "### `[defaults]`"
    yield ""
    listed = ", ".join(f"`{key}`" for key in sorted(NOT_IN_DEFAULTS))
    yield f"Takes every key of this section except {listed}."
    yield "What a backend's kind has no use for doesn't reach it from here:"
    yield ""
    for kind, keys in USELESS_KEYS.items():
        if keys:
            unused = ", ".join(f"`{key}`" for key in sorted(keys - NOT_IN_DEFAULTS))
            yield f"- `{kind}` has no use for {unused}."
    yield ""


def _processors() -> Iterator[str]:
    yield "### `[[backends.NAME.processors]]`"
    yield ""
    yield "Changes to this backend's copy of each span, in the order they are written. `type` says which:"
    yield ""
    for name, cls in PROCESSORS.items():
        yield f'#### `type = "{name}"`'
        yield ""
        yield (cls.__doc__ or "").strip().splitlines()[0]
        yield ""
        yield from table(rows(cls))
    yield '#### `type = "package.module:Name"`'
    yield ""
    yield (
        "One of your own, or a name that an installed package registers in the entry-point group "
        f"`{GROUP}`. A class is made once with the table's other keys as keyword arguments, and called with "
        "each draft; a function is called with each draft and these keys. "
        "[How to write one](../how-to/write-a-processor.md)."
    )
    yield ""
    yield from table(rows(OwnSettings))


_MATCH = """\
The small table that says which spans are meant, the same one wherever spans are chosen. Its keys are and-ed.

A **condition** is what one value has to be. A string is a comparison when it is an operator and a number
(`">= 0.5"`), else a whole-string, case-sensitive glob of `*` and `?`. A number equals numbers (`1` is `1.0`,
`"1"` is not), a boolean itself. `{ equals = "a*b" }` is literal, `{ exists = true }` asks for presence, and
of a list any has to hold.

Where a list of matches is taken, an element is a match or the name of a preset: `"llm"` (spans of models,
agents and tools), `"errors"` or `"roots"` (local roots).
"""


def _matches() -> Iterator[str]:
    yield "## A match"
    yield ""
    yield _MATCH
    yield from table(rows(Match))
    yield "## A keep rule"
    yield ""
    yield (KeepRule.__doc__ or "").strip()
    yield ""
    yield from table(rows(KeepRule))


_TESTS = """\
Tests of the file itself: spans in, and what each backend is to get of them. `ajolo-fanout test` runs them, pytest
does where it is given the file ([how](../how-to/test-your-file.md)), and a program never looks at them.
"""


def _tests() -> Iterator[str]:
    yield "## `[[tests]]`"
    yield ""
    yield _TESTS
    yield from table(rows(InFileTest))
    for title, cls in (
        ("`spans`", GivenSpan),
        ("`events` of a span", GivenEvent),
        ("`expect.NAME`", ExpectedSpan),
    ):
        yield f"### {title}"
        yield ""
        yield from table(rows(cls))


def _environment() -> Iterator[str]:
    yield "## The environment"
    yield ""
    yield "These variables stand below what the file and the profiles say; an empty one counts as unset:"
    yield ""
    yield "| variable | what it sets |"
    yield "|---|---|"
    for variable, key in BATCH_VARIABLES.items():
        unit = ", in milliseconds" if key in ("schedule_delay", "export_timeout") else ""
        yield f"| `{variable}` | `batch.{key}` of every backend{unit} |"
    for key, variables in LIMIT_VARIABLES.items():
        for number, variable in enumerate(variables):
            weaker = f", where `{variables[0]}` is unset" if number else ""
            yield f"| `{variable}` | `limits.{key}` on top{weaker} |"
    yield "| `OTEL_SERVICE_NAME` | `service.name` |"
    yield "| `OTEL_RESOURCE_ATTRIBUTES` | resource attributes: `name=value,name=value`, percent-encoded |"
    yield "| `OTEL_SDK_DISABLED` | `true`: nothing is installed |"
    yield "| `AJOLO_FANOUT_CONFIG` | the path of the file; `off`: nothing is installed |"
    yield ""
    yield (
        "`OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_EXPORTER` and `OTEL_TRACES_SAMPLER` are ignored, with one "
        "warning that names "
        "those that are set: they would send one vendor's key to another."
    )
    yield ""
