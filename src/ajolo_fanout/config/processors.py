"""`[[backends.NAME.processors]]`: the `type` of a table is built in, or leads to one of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from ajolo_fanout.config import scalars
from ajolo_fanout.config.convert import register_choice, structure_nested
from ajolo_fanout.config.faults import Fault, Several, Unknowable
from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.config.veil import veiled
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors import PROCESSORS
from ajolo_fanout.steps.processors.own import GROUP, OwnSettings

__all__ = ["Processor", "read_own"]

_OURS = frozenset(("type", "match"))


class Processor:
    """The type of one element of `processors`: a settings class of `PROCESSORS`, or `OwnSettings`."""


def read_own(table: Mapping[str, Any]) -> OwnSettings:
    """The settings of a processor whose `type` isn't built in. Nothing is imported yet.

    Raises:
        Fault: when no such processor can be.
        Several: when there is more against it.
        Unknowable: when `type` is an unset variable, which is reported already.
    """
    try:
        name = _read_type(table["type"])
    except Fault as fault:
        raise fault.under("type") from None
    options = {key: _plain(value) for key, value in table.items() if key not in _OURS}
    if "match" not in table:
        return OwnSettings(name, options)
    try:
        return OwnSettings(name, options, structure_nested(table["match"], Match))
    except Exception as error:  # cattrs' errors are of many kinds; whoever reports them knows them all
        raise Several([(("match",), error)]) from None


def _read_type(written: Any) -> str:
    if isinstance(written, FromEnvironment) and not written.known:
        raise Unknowable
    if not isinstance(written, str) or ":" not in written:
        names = tuple(sorted({*PROCESSORS, *entry_points(group=GROUP).names}))
        try:
            scalars.read_choice(written, names)
        except Fault as fault:
            if isinstance(written, FromEnvironment) or not isinstance(written, str) or "." not in written:
                raise
            module, _, name = written.rpartition(".")
            meant = scalars.spelled(veiled(f"{module}:{name}"))
            raise Fault(f'one of your own is written with a colon: "{meant}"', fault.code) from None
    return str.__str__(written)


def _plain(value: Any) -> Any:
    """`value` without any trace of where it came from: what a user's code gets."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


register_choice(Processor, PROCESSORS, "a processor", others=read_own)
