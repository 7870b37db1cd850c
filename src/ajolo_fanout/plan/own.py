"""Loads the processors of a user's own: what can be wrong with them is said before anything is sent."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import attrs

from ajolo_fanout.config.backend import BackendSettings
from ajolo_fanout.config.convert import structure_value
from ajolo_fanout.config.faults import Fault, near
from ajolo_fanout.config.processors import Processor
from ajolo_fanout.config.scalars import spelled
from ajolo_fanout.config.veil import veiled
from ajolo_fanout.errors import Problem
from ajolo_fanout.plan.layers import Merged
from ajolo_fanout.steps.processors.own import GROUP, Loaded, OwnSettings
from ajolo_fanout.values import Mask, Secret

__all__ = ["load_own"]

_P = inspect.Parameter
_KEYWORDS = (_P.POSITIONAL_OR_KEYWORD, _P.KEYWORD_ONLY)
_POSITIONAL = (_P.POSITIONAL_ONLY, _P.POSITIONAL_OR_KEYWORD, _P.VAR_POSITIONAL)
_VARIABLE = (_P.VAR_POSITIONAL, _P.VAR_KEYWORD)
_CODE = "bad-processor"


def load_own(
    settings: BackendSettings, merged: Merged, folder: Path, *, resolving: bool
) -> tuple[BackendSettings, list[Problem]]:
    """Import and make the processors of the user's own, each once for this backend.

    Args:
        settings: The backend's.
        merged: What they were made of.
        folder: Where relative paths start.
        resolving: False for a backend that is off, of which nothing is imported.

    Returns:
        The settings, what was loaded in its place; and what is wrong with the others.
    """
    problems: list[Problem] = []
    loaded: dict[int, Any] = {}
    for index, one in _own(settings, merged, folder) if resolving else ():
        try:
            loaded[index] = attrs.evolve(one, loaded=Loaded(_load(one)))
        except _Wrong as wrong:
            problems += [
                merged.place(("processors", index, *fault.path)).problem(
                    _sayable(fault, one.type), fault.code
                )
                for fault in wrong.faults
            ]
    processors = tuple(loaded.get(index, one) for index, one in enumerate(settings.processors))
    return attrs.evolve(settings, processors=processors), problems


def _own(settings: BackendSettings, merged: Merged, folder: Path) -> Iterator[tuple[int, OwnSettings]]:
    """The user's own with their places, also where another processor is wrong and all were left out."""
    processors: Iterable[Any] = settings.processors
    written = merged.value(("processors",))
    if not settings.processors and isinstance(written, (list, tuple)):
        processors = [
            structure_value(Processor, table, place=merged.place, problems=[], folder=folder)
            for table in written
        ]
    for index, one in enumerate(processors):
        if isinstance(one, OwnSettings):
            yield index, one


def _sayable(fault: Fault, type_: str) -> str:
    """The message of `fault`, which repeats the type where it is about that."""
    if fault.path == ("type",) and veiled(type_) != type_:
        return "this can't be loaded; it isn't repeated here, for it may be a credential"
    return fault.message


class _Wrong(Exception):  # noqa: N818 - as Fault: a finding on its way to a report
    """What is wrong with one table; paths are below it."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


def _wrong_type(message: str) -> _Wrong:
    return _Wrong(Fault(message, _CODE, ("type",)))


def _load(own: OwnSettings) -> Callable[[Any], Any]:
    module_name, _, path = _where(own.type).partition(":")
    found = _attribute(_module(module_name), module_name, path)
    if inspect.isclass(found):
        _check_keys(found, own.options)
        made = _make(found, own.options)
        if not callable(made):
            raise _wrong_type(f"{path} has no __call__(self, draft), so what it makes is no processor")
        _check_call(made)
        return made  # type: ignore[no-any-return]  # a user's own object
    if not callable(found):
        kind = "a module" if inspect.ismodule(found) else f"of type {type(found).__name__}"
        raise _wrong_type(
            f"{own.type} is {kind}; a processor is a function, or a class whose objects are called"
        )
    _check_keys(found, own.options, draft=True)
    _check_kind(found if inspect.isroutine(found) else getattr(found, "__call__", None))  # noqa: B004 - not whether
    return partial(found, **own.options) if own.options else found


# From the text to the object.


def _where(text: str) -> str:
    """`package.module:Name`, as written or as an entry point says."""
    if ":" in text:
        module, _, path = text.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *path.split("."))):
            raise _wrong_type('this is no "package.module:Name"')
        return text
    points = entry_points(group=GROUP, name=text)
    values = {point.value: point for point in points}
    if len(values) > 1:
        listed = " and ".join(sorted(map(_distribution, values.values())))
        raise _wrong_type(f'{listed} register a processor of this name; write "package.module:Name"')
    [point] = values.values()
    if not point.attr:
        raise _wrong_type(
            f"{_distribution(point)} registers a module of this name, and no function or class in it"
        )
    return f"{point.module}:{point.attr}"


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and (name == missing or name.startswith(f"{missing}.")):
            raise _wrong_type(_no_module(missing)) from None
        raise _wrong_type(f"importing {name} failed: {error}") from None
    except (Exception, SystemExit) as error:
        # Whatever a user's module does when it is imported is a mistake of the configuration to us.
        message = f": {error}" if isinstance(error, (ImportError, SyntaxError)) else ""
        raise _wrong_type(
            f"importing {name} failed with {type(error).__name__}{message}{_at(error)}"
        ) from None


def _no_module(missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    # At the top stands all that is installed, and among so many names something is always a little alike.
    hint = near(last, _modules_in(parent), cutoff=0.6 if parent else 0.8)
    if hint:
        return f"there is no module {missing}{hint}"
    where = f"in {parent}" if parent else "where Python looks (sys.path)"
    return f"there is no module {missing} {where}; is its package installed, or its folder on PYTHONPATH?"


def _modules_in(package: str) -> list[str]:
    """The names of the modules in `package`, or of all that Python would find at the top."""
    path: Iterable[str] | None = None
    if package:
        path = getattr(sys.modules.get(package), "__path__", ())
    return [one.name for one in pkgutil.iter_modules(path)]


def _attribute(module: Any, module_name: str, path: str) -> Any:
    at = module
    for name in path.split("."):
        if not hasattr(at, name):
            public = [one for one, value in vars(at).items() if callable(value) and not one.startswith("_")]
            hint = near(name, public) or f"; callable there: {', '.join(sorted(public)[:10]) or 'nothing'}"
            raise _wrong_type(f"there is no {name} in {module_name}{hint}")
        at = getattr(at, name)
    return at


# Whether the keys fit.


def _check_keys(called: Any, options: Mapping[str, Any], *, draft: bool = False) -> None:
    """Hold the table's keys against the parameters of what gets them, and a `draft` before them."""
    try:
        parameters = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):
        return  # nothing says what it takes: calling it will tell
    if draft:
        if not parameters or parameters[0].kind not in _POSITIONAL:
            raise _wrong_type("it is called with a draft, and takes none; write `def name(draft): …`")
        if parameters[0].kind is not _P.VAR_POSITIONAL:
            del parameters[0]
    takes = [one.name for one in parameters if one.kind in _KEYWORDS]
    any_key = any(one.kind is _P.VAR_KEYWORD for one in parameters)
    faults = [
        Fault(f"unknown key; {_known(key, takes)}", "unknown-key", (key,))
        for key in options
        if key not in takes and not any_key
    ]
    faults += [
        Fault(f"this processor needs the key `{one.name}`", "missing-key", (one.name,))
        for one in parameters
        if one.default is one.empty and one.name not in options and one.kind not in _VARIABLE
    ]
    if faults:
        raise _Wrong(*faults)


def _known(key: str, takes: Sequence[str]) -> str:
    hint = near(key, takes)
    if hint:
        return hint.removeprefix("; ")
    return f"this processor has {', '.join(takes)}" if takes else "this processor has no keys but `match`"


def _make(cls: Any, options: Mapping[str, Any]) -> Any:
    try:
        return cls(**options)
    except (Exception, SystemExit) as error:  # as at the import: what it says of the keys is for the user
        mask = Mask(Secret(text) for text in _texts(options))
        said = spelled(mask(str(error)), 200)
        message = (
            f"it can't be made of these keys: {type(error).__name__}{f': {said}' if said else ''}{_at(error)}"
        )
        raise _Wrong(Fault(message, _CODE)) from None


def _check_call(made: Any) -> None:
    """Whether `made` can be called with a draft and nothing else."""
    _check_kind(type(made).__call__)
    try:
        inspect.signature(made).bind(object())
    except TypeError as error:
        raise _wrong_type(f"its __call__ can't be called with a draft alone: {error}") from None
    except ValueError:
        return  # nothing says what it takes


def _check_kind(function: Any) -> None:
    """Whether calling it does its work."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _wrong_type("a processor is a plain function, and this one is `async def`")
    if inspect.isgeneratorfunction(function):
        raise _wrong_type("a processor is a plain function, and this one yields")


# Words.


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _at(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or frames[-1].filename == __file__ or frames[-1].filename.startswith("<frozen"):
        return ""
    return f" ({frames[-1].filename}:{frames[-1].lineno})"
