"""The settings classes: one source for checks, help and reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import tomli

from ajolo_fanout.config.backend import COMMON_KEYS, NOT_IN_DEFAULTS, RESERVED_KEYS, BackendSettings
from ajolo_fanout.config.batch import BatchSettings
from ajolo_fanout.config.convert import fields_of, structure
from ajolo_fanout.config.document import parse
from ajolo_fanout.config.limits import ProviderLimits
from ajolo_fanout.config.model import FileSettings
from ajolo_fanout.config.places import Place
from ajolo_fanout.config.report import keys_of
from ajolo_fanout.config.service import ServiceSettings
from ajolo_fanout.config.shutdown import ShutdownSettings
from ajolo_fanout.config.tls import TlsSettings
from ajolo_fanout.errors import Problem
from ajolo_fanout.steps.processors import PROCESSORS
from ajolo_fanout.values import Duration, Size, option_of

CLASSES = (
    FileSettings,
    BackendSettings,
    ServiceSettings,
    ShutdownSettings,
    ProviderLimits,
    BatchSettings,
    TlsSettings,
)


FIELDS = [
    pytest.param(cls, field, id=f"{cls.__name__}.{field.name}") for cls in CLASSES for field in fields_of(cls)
]


@pytest.mark.parametrize(("cls", "field"), FIELDS)
def test_every_key_is_explained_in_sentences(cls: type, field: attrs.Attribute[Any]) -> None:
    """The reference and the JSON Schema are made from these words."""
    option = option_of(field)
    assert option is not None
    assert option.help[0].isupper()
    assert option.help.endswith((".", "}."))
    assert len(option.help.split()) >= 4


@pytest.mark.parametrize(("cls", "field"), FIELDS)
def test_every_example_and_default_is_taken(cls: type, field: attrs.Attribute[Any], tmp_path: Path) -> None:
    """What the reference shows can be copied into a file."""
    option = option_of(field)
    assert option is not None
    if not option.example or "${" in option.example:
        return
    data = tomli.loads(f"{field.name} = {option.example}")
    if cls is FileSettings:
        data.setdefault("schema", 1)
    problems: list[Problem] = []
    made = structure(cls, data, place=lambda _: Place(), problems=problems, folder=tmp_path)
    assert problems == []
    assert made is not None


def test_the_built_in_values_are_the_documented_ones() -> None:
    """The batch knobs are the SDK's names with our defaults; its 128 attributes don't apply."""
    assert BatchSettings() == BatchSettings(2048, Size(64 * 1024**2), 512, Duration(5), Duration(30))
    assert ShutdownSettings().timeout == 5
    limits = ProviderLimits()
    assert (limits.attribute_count_limit, limits.event_count_limit, limits.link_count_limit) == (
        2048,
        1024,
        1024,
    )
    assert limits.attribute_value_length_limit is None
    backend = BackendSettings()
    assert (backend.protocol, backend.compression, backend.exporter) == ("http/protobuf", "none", "own")
    assert (backend.timeout, backend.enabled, backend.optional, backend.allow_plaintext) == (
        10,
        True,
        False,
        False,
    )


def test_the_names_that_belong_to_every_backend() -> None:
    """A profile's input can't bear one of them; `[defaults]` can set all but four."""
    assert keys_of(BackendSettings) < COMMON_KEYS
    assert COMMON_KEYS - keys_of(BackendSettings) == {"type"}
    assert RESERVED_KEYS < COMMON_KEYS
    assert NOT_IN_DEFAULTS < COMMON_KEYS
    assert keys_of(FileSettings) >= {
        "schema",
        "context",
        "sampling",
        "spool",
        "tests",
        "defaults",
        "backends",
    }


def test_a_processor_is_chosen_by_its_type(tmp_path: Path) -> None:
    """Each registered one can be written with what it requires alone, and becomes its own settings."""
    problems: list[Problem] = []
    required = {"split_json": {"attribute": "payload"}}
    table = {"processors": [{"type": name, **required.get(name, {})} for name in sorted(PROCESSORS)]}
    made = structure(BackendSettings, table, place=lambda _: Place(), problems=problems, folder=tmp_path)
    assert problems == []
    assert made is not None
    assert [type(processor) for processor in made.processors] == [
        PROCESSORS[name] for name in sorted(PROCESSORS)
    ]


def test_what_may_hold_secrets_is_not_in_the_settings_repr(tmp_path: Path) -> None:
    """Backends are raw tables with secrets in them, and tests hold whatever must not get anywhere."""
    text = 'schema = 1\n[defaults]\na = "hush"\n[backends.a]\nkey = "hush"\n[[tests]]\nname = "hush"\n'
    document = parse(text, "t.toml")
    problems: list[Problem] = []
    made = structure(FileSettings, document.data, place=document.place, problems=problems, folder=tmp_path)
    assert problems == []
    assert made is not None
    assert made.backends["a"]["key"] == "hush"
    assert made.tests[0].name == "hush"
    assert "hush" not in repr(made)
    assert "hush" not in str(made)
