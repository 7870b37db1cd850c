"""Tables of the file become typed settings: strictly, and with every problem at once.

cattrs does the walking (unknown keys forbidden, all errors kept); what a single value may be is said in
`scalars` and `attributes`; ranges and choices stand on the fields themselves (`values.option`). What went
wrong comes back as `Problem`s (`report`), at the places that the caller knows: a value may stem from the
file, from a profile or from the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from ajolo_fanout.config import scalars
from ajolo_fanout.config.attributes import Attribute, read_attribute, read_attributes, read_headers
from ajolo_fanout.config.faults import Fault, Several, Unknowable, kind_of, wrong_type
from ajolo_fanout.config.places import KeyPath, Locate
from ajolo_fanout.config.report import CHOOSERS, WRONG, Report
from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.errors import Problem
from ajolo_fanout.values import Duration, Option, Secret, Size, key_of, option_of

__all__ = [
    "ReadSecret",
    "fields_of",
    "register",
    "register_choice",
    "register_hook",
    "structure",
    "structure_nested",
    "structure_value",
]

T = TypeVar("T")
ReadSecret = Callable[[Path], Secret]

_FACTORY: Any = type(attrs.Factory(dict))


@attrs.frozen
class _Surroundings:
    """What reading a value needs beside the value."""

    folder: Path
    from_file: ReadSecret


# cattrs' hooks take a value and a type only, and a converter for each folder would compile all code anew.
_surroundings: ContextVar[_Surroundings] = ContextVar("ajolo_fanout.config.surroundings")
_converter = Converter(detailed_validation=True, forbid_extra_keys=True)


@contextmanager
def _within(folder: Path, from_file: ReadSecret) -> Iterator[None]:
    """While values are read: where relative paths start, and what makes a secret of a file."""
    token = _surroundings.set(_Surroundings(folder, from_file))
    try:
        yield
    finally:
        _surroundings.reset(token)


def structure(
    cls: type[T],
    table: Mapping[str, Any],
    *,
    place: Locate,
    problems: list[Problem],
    folder: Path,
    from_file: ReadSecret = Secret.from_file,
    known: Collection[str] = (),
) -> T | None:
    """Make a `cls` of `table`.

    Args:
        cls: An attrs class whose fields are made by `values.option`.
        table: Plain TOML values, substituted: strings from `${…}` are `FromEnvironment`.
        place: Where a path below `table` stands (`()` is the table itself); asked only for what is wrong.
        problems: What is wrong is appended here.
        folder: Where relative paths start.
        from_file: Makes a secret of a file; give another where no file shall be read.
        known: Further keys that would be right in this table, for "did you mean".

    Returns:
        The settings, or None when anything was wrong.
    """
    report = Report(place, problems, cls, frozenset(known))
    with _within(folder, from_file):
        return report.run(lambda: _converter.structure(table, cls))


def structure_value(
    kind: Any,
    value: Any,
    *,
    place: Locate,
    problems: list[Problem],
    folder: Path,
    option: Option | None = None,
    from_file: ReadSecret = Secret.from_file,
) -> Any:
    """One value of type `kind` (`Secret`, `bool`, `Literal["us", "eu"]`…), read as `structure` reads a field.

    Returns:
        The value; None when it was wrong, and when it stands for an unset variable (which `substitute` has
        reported) where no text can stand.
    """

    def read() -> Any:
        if _unknown(value) and not _takes_text(kind, option):
            raise Unknowable
        return _read_field(value, kind, option)

    with _within(folder, from_file):
        return Report(place, problems, None, frozenset()).run(read)


def register(kind: type[T], read: Callable[[Any], T]) -> None:
    """Read values of the class `kind` by `read`, which returns the value or raises a `Fault`."""
    _converter.register_structure_hook(kind, lambda value, _: read(value))


def register_hook(is_kind: Callable[[Any], bool], read: Callable[[Any], Any]) -> None:
    """The same for kinds that are no classes: whatever `is_kind` says yes to."""
    _converter.register_structure_hook_func(is_kind, lambda value, _: read(value))


def structure_nested(value: Any, kind: Any) -> Any:
    """A part of what is being read, as `kind`: for readers that are registered."""
    return _converter.structure(value, kind)


def fields_of(cls: type) -> tuple[attrs.Attribute[Any], ...]:
    """The fields of `cls`, their types resolved; `Attribute` stands for the type of an attribute's value.

    OpenTelemetry's own `AttributeValue` is an alias that names itself, which `typing` can't resolve from
    outside its module.
    """
    return tuple(attrs.fields(attrs.resolve_types(cls, localns={"AttributeValue": Attribute})))


# How values are read.


def _settings_hook(cls: type) -> Callable[[Any, Any], Any]:
    """How a table becomes a `cls`: each field by its type and its option."""
    hooks: dict[str, Any] = {
        field.name: override(struct_hook=partial(_read_member, field), rename=key_of(field))
        for field in fields_of(cls)
    }
    read: Callable[[Any, Any], Any] = make_dict_structure_fn(
        cls, _converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **hooks
    )

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise wrong_type("a table", value, secret=True)
        return read(value, cls)

    return hook


def _read_member(field: attrs.Attribute[Any], value: Any, _: Any = None) -> Any:
    option = option_of(field)
    if _unknown(value) and not _takes_text(field.type, option):
        return _default(field)
    try:
        return _read_field(value, field.type, option)
    except Unknowable:  # an element of it is unset
        return _default(field)


def _read_field(value: Any, kind: Any, option: Option | None) -> Any:
    made = _converter.structure(value, kind)
    if option is not None:
        scalars.check_option(option, made, value)
    return made


def _default(field: attrs.Attribute[Any]) -> Any:
    """What stands in for an unset variable."""
    default: Any = field.default
    if default is attrs.NOTHING:
        raise Unknowable
    return default.factory() if isinstance(default, _FACTORY) else default


def _unknown(value: Any) -> bool:
    return isinstance(value, FromEnvironment) and not value.known


def _takes_text(kind: Any, option: Option | None) -> bool:
    """Whether any text would do, so that a placeholder can stand there."""
    if option is not None and option.choices:
        return False
    return not {str, Secret, Attribute, Any}.isdisjoint((kind, *get_args(kind)))


def _tuple_hook(kind: Any) -> Callable[[Any, Any], Any]:
    element = get_args(kind)[0]

    def hook(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise Fault(f"expected an array, got {kind_of(value)}; write [ … ] around it")
        return tuple(_read_each(enumerate(value), element).values())

    return hook


def _mapping_hook(kind: Any) -> Callable[[Any, Any], Any]:
    element = get_args(kind)[1]

    def hook(value: Any, _: Any) -> Mapping[str, Any]:
        if element is Attribute:
            return read_attributes(value)
        if element is Secret:
            return read_headers(value, _read_secret)
        if not isinstance(value, Mapping):
            raise wrong_type("a table", value, secret=True)
        return MappingProxyType(_read_each(value.items(), element))

    return hook


def _read_each(items: Iterable[tuple[Any, Any]], kind: Any) -> dict[Any, Any]:
    """Each item's value read as `kind`, by its key or index."""
    made: dict[Any, Any] = {}
    errors: list[tuple[KeyPath, Exception]] = []
    for part, item in items:
        try:
            made[part] = _converter.structure(item, kind)
        except WRONG as error:
            errors.append(((part,), error))
    if errors:
        raise Several(errors)
    return made


def _read_secret(value: Any) -> Secret:
    surroundings = _surroundings.get()
    return scalars.read_secret(value, surroundings.folder, surroundings.from_file)


def _read_path(value: Any) -> Path:
    return scalars.read_path(value, _surroundings.get().folder)


def _origin_is(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins


def register_choice(
    kind: Any,
    classes: Mapping[str, type],
    what: str,
    *,
    others: Callable[[Mapping[str, Any]], Any] | None = None,
) -> None:
    """Read values of type `kind` as tables whose `type` chooses among `classes`.

    Args:
        kind: The type that stands in the settings, such as a protocol.
        classes: The settings class for each `type`, not having a field of that name.
        what: What these tables are called in messages.
        others: Reads a table whose `type` is none of these; by default that is a mistake.
    """
    CHOOSERS.update(dict.fromkeys(classes.values(), frozenset({"type"})))

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Fault(f"{what} is a table with a type, got {kind_of(value)}")
        names = tuple(sorted(classes))
        if "type" not in value:
            listed = ", ".join(f'"{name}"' for name in names)
            raise Fault(f"{what} needs a type; there is {listed}", "missing-key", ("type",))
        if others is not None and value["type"] not in names:
            return others(value)
        try:
            chosen = scalars.read_choice(value["type"], names)
        except Fault as fault:
            raise fault.under("type") from None
        cls = classes[chosen]
        return _converter.structure({key: item for key, item in value.items() if key != "type"}, cls)

    _converter.register_structure_hook_func(lambda wanted: wanted is kind, hook)


def _register_all() -> None:
    """Hooks for every type that settings are made of; nothing is left to cattrs' lenient own."""
    readers: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
        (bool, scalars.read_boolean),
        (int, scalars.read_integer),
        (float, scalars.read_float),
        (str, scalars.read_text),
        (Duration, scalars.read_duration),
        (Size, scalars.read_size),
        (Secret, _read_secret),
        (Path, _read_path),
        (Attribute, read_attribute),
    )
    for kind, read in readers:
        register(kind, read)
    factory = _converter.register_structure_hook_factory
    factory(attrs.has, _settings_hook)
    factory(_origin_is(tuple), _tuple_hook)
    factory(_origin_is(Mapping), _mapping_hook)
    _converter.register_structure_hook_func(
        _origin_is(Literal), lambda value, kind: scalars.read_choice(value, get_args(kind))
    )


_register_all()
