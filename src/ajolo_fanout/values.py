"""The small types that every room may use: secrets, durations, sizes, origins, options."""

from __future__ import annotations

import base64
import hmac
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NoReturn

import attrs

__all__ = [
    "BUILT_IN",
    "MASK",
    "Duration",
    "Mask",
    "Option",
    "Origin",
    "Secret",
    "Size",
    "key_of",
    "option",
    "option_of",
]

MASK = "***"
"""What stands where a secret would."""

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


class Duration(float):
    """Seconds. Written in the file as one number and a unit: `ms`, `s`, `m`, `h` or `d`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read `"2s"` or `"250ms"`.

        Raises:
            ValueError: when `text` is anything else; the message says what is expected.
        """
        return cls(_number_with_unit(text, _DURATION_UNITS, "a duration", "5s"))

    def __str__(self) -> str:
        for unit in ("d", "h", "m", "s"):
            amount = self / _DURATION_UNITS[unit]
            if amount >= 1 and amount.is_integer():
                return f"{int(amount)}{unit}"
        return f"{self * 1000:g}ms" if self < 1 else f"{float(self):g}s"

    __repr__ = __str__


class Size(int):
    """Bytes. Written in the file as one number and a unit: `B`, `KiB`, `MiB` or `GiB`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `"64MiB"`.

        Raises:
            ValueError: when `text` is anything else; the message says what is expected.
        """
        return cls(int(_number_with_unit(text, _SIZE_UNITS, "a size", "64MiB")))

    def __str__(self) -> str:
        for unit in ("GiB", "MiB", "KiB"):
            if self and self % _SIZE_UNITS[unit] == 0:
                return f"{self // _SIZE_UNITS[unit]}{unit}"
        return f"{int(self)}B"

    __repr__ = __str__


def _number_with_unit(text: str, units: dict[str, Any], what: str, example: str) -> float:
    found = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if found is None or found[2] not in units:
        raise ValueError(f'{what} is one number and a unit ({", ".join(units)}), such as "{example}"')
    return float(found[1]) * float(units[found[2]])


class Secret:
    """Text that is shown as `***` everywhere but in a request.

    `reveal()` is the one way out. A secret may come from a file, which is read again when it has changed
    and after `refresh()`; one made by `derive()` follows its parts. Equality compares what is inside, in
    constant time. A secret can't be pickled.
    """

    __slots__ = ("_derive", "_parts", "_path", "_stamp", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._path: Path | None = None
        self._stamp: tuple[int, int] | None = None
        self._parts: tuple[Secret, ...] = ()
        self._derive: Callable[..., str] | None = None

    @classmethod
    def from_file(cls, path: Path) -> Secret:
        """A secret that is the content of `path` less one final newline.

        Raises:
            OSError: when the file can't be read now. Later failures keep the last content.
            UnicodeDecodeError: when it isn't UTF-8.
        """
        secret = cls("")
        secret._path = path
        secret._read()
        return secret

    def derive(self, make: Callable[..., str], *others: Secret) -> Secret:
        """A secret computed from this one and `others`: `key.derive(lambda k: "Bearer " + k)`."""
        made = Secret("")
        made._parts = (self, *others)
        made._derive = make
        return made

    def reveal(self) -> str:
        """The text itself, for building a request."""
        if self._derive is not None:
            return self._derive(*(part.reveal() for part in self._parts))
        if self._path is not None:
            try:
                if _stamp(self._path) != self._stamp:
                    self._read()
            except (OSError, UnicodeDecodeError):
                pass  # a rotation in progress: the last content is the best there is; a 401 will tell
        return self._text

    def refresh(self) -> None:
        """Read the file again at the next `reveal()`, whatever its time says (after a 401 or 403)."""
        self._stamp = None
        for part in self._parts:
            part.refresh()

    def leaves(self) -> tuple[Secret, ...]:
        """The secrets this one is made of; itself where it is made of none."""
        return tuple(leaf for part in self._parts for leaf in part.leaves()) or (self,)

    def _read(self) -> None:
        assert self._path is not None
        self._stamp = _stamp(self._path)
        text = self._path.read_text(encoding="utf-8")
        self._text = text.removesuffix("\n").removesuffix("\r")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(("ajolo_fanout.Secret", self.reveal()))

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


class Mask:
    """Takes known secrets, and every form we make of them, out of a text.

    For what others say of our requests: a server that echoes a key in its error body. Plain, Base64 (of the
    secret and of what is derived from it), percent-encoded and JSON-escaped forms are covered. Secrets of
    fewer than four characters are left alone, for masking them would make every text unreadable.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._secrets = tuple(secrets)

    def __call__(self, text: str) -> str:
        """`text` with `***` for every secret in it."""
        for form in sorted(self._forms(), key=len, reverse=True):
            text = text.replace(form, MASK)
        return text

    def _forms(self) -> set[str]:
        forms: set[str] = set()
        for secret in self._secrets:
            for one in (secret, *secret.leaves()):
                plain = one.reveal()
                bare = plain.split(" ", 1)[-1] if " " in plain else plain  # "Bearer x" echoes as "x", too
                for text in {plain, bare}:
                    raw = text.encode("utf-8", "surrogatepass")
                    forms |= {
                        text,
                        urllib.parse.quote(text, safe=""),
                        urllib.parse.quote_plus(text),
                        json.dumps(text)[1:-1],
                        base64.b64encode(raw).decode(),
                        base64.b64encode(raw).decode().rstrip("="),
                        base64.urlsafe_b64encode(raw).decode(),
                        raw.hex(),
                    }
        return {form for form in forms if len(form) >= 4}


@attrs.frozen
class Origin:
    """Where a value in the plan came from.

    Attributes:
        kind: `"file"`, `"defaults"` (the file's `[defaults]`), `"profile"`, `"environment"` or `"built in"`.
        source: The file's name, the profile's id or the variable's name; empty for what is built in.
        line: 1-based line in `source`, where it is a file.
        column: 1-based column in `source`, where it is a file.
    """

    kind: Literal["file", "defaults", "profile", "environment", "built in"]
    source: str = ""
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        if self.kind in ("file", "defaults"):
            place = self.source if self.line is None else f"{self.source}:{self.line}"
            return f"{place} [defaults]" if self.kind == "defaults" else place
        return f"{self.kind} {self.source}".strip()


BUILT_IN = Origin("built in")
"""The origin of what nobody wrote anywhere."""


@attrs.frozen
class Option:
    """What is known of one key of the file: the source of its checks, its help and its reference page.

    Attributes:
        help: One or two sentences in the user's words, unit included.
        minimum: The least allowed value, inclusive.
        maximum: The greatest allowed value, inclusive.
        choices: The allowed strings, where it is a choice.
        example: The value as one would write it in TOML.
    """

    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    example: str = ""


_OPTION = "ajolo_fanout.option"


def option(
    help: str,  # noqa: A002 - it is the help text, and reads so at every call
    *,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    example: str = "",
) -> Any:
    """An attrs field that a user may write in the file."""
    metadata = {_OPTION: Option(help, minimum, maximum, choices, example)}
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


def key_of(field: attrs.Attribute[Any]) -> str:
    """The key of `field` in the file: its name, less the underscore that keeps it from being a keyword.

    `except_` is `except`, as PEP 8 spells names that Python has taken.
    """
    return field.name.removesuffix("_")


def option_of(field: attrs.Attribute[Any]) -> Option | None:
    """The option that stands on `field`, or None where the field is no option."""
    found = field.metadata.get(_OPTION)
    return found if isinstance(found, Option) else None
