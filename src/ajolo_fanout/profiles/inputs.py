"""What a user wrote for a profile's inputs, as typed and checked values."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import attrs

from ajolo_fanout.config.faults import near
from ajolo_fanout.config.substitution import FromEnvironment
from ajolo_fanout.profiles.finding import Finding, shown
from ajolo_fanout.profiles.model import Input, Profile
from ajolo_fanout.values import Secret, Size, option

__all__ = ["fill", "inputs_class", "placeholder", "values_of"]

_TYPES: Mapping[str, type] = {
    "text": str,
    "choice": str,
    "boolean": bool,
    "integer": int,
    "size": Size,
    "path": Path,
}


def inputs_class(profile: Profile) -> type:
    """An attrs class with one option for each input, for `config.convert.structure`.

    Every field may be None, which is what stands for an input that isn't written; `values_of()` makes a
    mapping of the others. What is required, and which texts are allowed, `resolve_target()` says: it
    depends on `endpoint`, which the class doesn't know.
    """
    fields = {}
    for one in profile.inputs:
        wanted: Any = Secret if one.secret else _TYPES[one.kind]
        declared = option(one.help, default=None, minimum=one.minimum, example=one.example)
        fields[one.name] = attrs.field(default=None, type=wanted | None, metadata=declared.metadata)
    name = "".join(part.capitalize() for part in profile.id.split("_")) + "Inputs"
    return attrs.make_class(name, fields, frozen=True, slots=True, kw_only=True)


def values_of(inputs: Any) -> dict[str, Any]:
    """The inputs that were written, out of an instance of an `inputs_class()`."""
    fields = attrs.fields(type(inputs))
    return {field.name: value for field in fields if (value := getattr(inputs, field.name)) is not None}


def placeholder(one: Input) -> Any:
    """A value that stands for an input nobody can fill in here, of the right type and allowed."""
    if one.secret:
        return Secret("placeholder")
    if one.kind == "choice":
        return one.default if one.default is not None else next(iter(one.choices))
    if one.default is not None:
        return _typed(one, one.default)
    samples = {"boolean": True, "integer": one.minimum or 1, "size": Size(one.minimum or 1)}
    return samples.get(one.kind) or _typed(one, one.example or "placeholder")


def fill(
    profile: Profile,
    written: Mapping[str, Any],
    *,
    located: bool,
    inferred: Mapping[str, str],
    unset: Collection[str],
) -> tuple[dict[str, Any], list[Finding]]:
    """The value of every input that has one: written, read off the endpoint, or its default.

    Args:
        profile: Whose inputs they are.
        written: What the user wrote, typed; nothing for what isn't written.
        located: Whether there is an `endpoint`, which makes inputs of the URL unnecessary and wrong.
        inferred: Choices that an endpoint of the vendor's own shows (`{"site": "eu"}`).
        unset: Inputs that stand on placeholders, whose texts are not looked at.

    Returns:
        Typed values by name, choices by their own name, and what is wrong.
    """
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    location = profile.location()
    for one in profile.inputs:
        value = written.get(one.name)
        if value is not None and located and one.name in location:
            findings.append(Finding((one.name,), _beside_endpoint(one), code="endpoint-and-region"))
        elif value is not None:
            unknown = one.name in unset or (isinstance(value, FromEnvironment) and not value.known)
            accepted, finding = _accept(one, value, checked=not unknown)
            if finding is not None:
                findings.append(finding)
            else:
                values[one.name] = accepted
        elif one.name in inferred:
            values[one.name] = inferred[one.name]
        elif one.required and not (located and one.name in location):
            findings.append(Finding((), _missing(profile, one), code="missing-input"))
    for one in profile.inputs:
        if one.name not in values and one.name not in written:
            default = _default(one, values)
            if default is not None and not (located and one.name in location):
                values[one.name] = default
    findings += _belonging(profile, values, unset)
    return values, findings


def _beside_endpoint(one: Input) -> str:
    return f"`endpoint` already says where to send; write `endpoint` or `{one.name}`, not both"


def _missing(profile: Profile, one: Input) -> str:
    allowed = f": one of {', '.join(one.choices)}" if one.choices else ""
    variable = "${" + one.env + "}"
    example = (
        f'; for example {one.name} = "{variable if one.env else one.example}"'
        if one.env or one.example
        else ""
    )
    otherwise = ", or an `endpoint`" if one.name in profile.location() else ""
    return f"{profile.id} needs `{one.name}`{allowed}{otherwise}{example}"


def _accept(one: Input, value: Any, *, checked: bool) -> tuple[Any, Finding | None]:
    if isinstance(value, Secret):
        return value, _bad(one, _text_trouble(value.reveal()) if checked else None)
    if not isinstance(value, str):
        return value, None
    if one.kind == "choice":
        return _choose(one, value) if checked else (placeholder(one), None)
    trouble = _text_trouble(value) if checked else None
    if trouble is None and checked and one.pattern is not None and not re.fullmatch(one.pattern, value):
        example = f', such as "{one.example}"' if one.example else ""
        trouble = f"{shown(value)} can't be right: {one.help[0].lower()}{one.help[1:].rstrip('.')}{example}"
    return str(value), _bad(one, trouble)


def _bad(one: Input, trouble: str | None) -> Finding | None:
    return None if trouble is None else Finding((one.name,), trouble, code="bad-value")


def _choose(one: Input, value: str) -> tuple[Any, Finding | None]:
    if value in one.choices:
        return value, None
    by_value = {filled: name for name, filled in one.choices.items()} if one.by_value else {}
    if value in by_value:
        return by_value[value], None
    names = ", ".join(one.choices)
    message = f"must be one of {names}, got {shown(value)}{near(value, [*one.choices, *by_value])}"
    return None, Finding((one.name,), message, code="bad-choice")


def _text_trouble(text: str) -> str | None:
    if not text:
        return "is empty"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        return "has a line break or another control character in it"
    if text != text.strip():
        return "has white space at its start or end"
    return None


def _default(one: Input, values: Mapping[str, Any]) -> Any:
    for other, by_choice in one.default_by.items():
        if values.get(other) in by_choice:
            return _typed(one, by_choice[values[other]])
    return None if one.default is None else _typed(one, one.default)


def _typed(one: Input, value: Any) -> Any:
    if one.kind == "size":
        return Size.parse(value)
    return Path(value) if one.kind == "path" else value


def _belonging(profile: Profile, values: Mapping[str, Any], unset: Collection[str]) -> list[Finding]:
    """Warnings for inputs that belong to others (a dataset to a Classic key)."""
    findings = []
    for one in profile.inputs:
        rule = one.goes_with
        other = values.get(rule.input) if rule is not None else None
        if rule is None or other is None or rule.input in unset:
            continue
        text = other.reveal() if isinstance(other, Secret) else str(other)
        matches = re.fullmatch(rule.pattern, text) is not None
        if one.name in values and not matches:
            findings.append(Finding((one.name,), rule.alone, severity="warning", code="useless-input"))
        elif one.name not in values and matches and rule.missing:
            findings.append(Finding((rule.input,), rule.missing, severity="warning", code="missing-input"))
    return findings
