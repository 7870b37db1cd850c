"""Every code that a problem can have, and every place that makes one, read off the source: no list to keep."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

SOURCE = Path(__file__).parents[2] / "src" / "ajolo_fanout"
ROOMS = ("config", "profiles", "plan")
SECOND = {"problem", "Fault"}
"""What is called with a message and a code."""


MAKERS = {"Fault", "Problem", "problem"}
"""What is called where a problem is made."""

Site = tuple[str, int]
"""A module, as a path below the package, and a line in it."""


def sites() -> set[Site]:
    """Every place in the source that makes a problem."""
    return {
        (str(path.relative_to(SOURCE)), node.lineno)
        for room in ROOMS
        for path in (SOURCE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _name(node) in MAKERS
    }


@contextmanager
def reached() -> Iterator[set[Site]]:
    """Collects the lines of the rooms that are run, on this thread."""
    lines: set[Site] = set()
    modules = {
        str(path): str(path.relative_to(SOURCE)) for room in ROOMS for path in (SOURCE / room).rglob("*.py")
    }

    def trace(frame: FrameType, _: str, __: Any) -> Any:
        module = modules.get(frame.f_code.co_filename)
        if module is None:
            return None

        def line(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                lines.add((module, frame.f_lineno))
            return line

        return line

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def codes() -> dict[str, set[str]]:
    """Code -> the modules that give it."""
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for path in (SOURCE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for code in _given(node):
                    found.setdefault(code, set()).add(str(path.relative_to(SOURCE)))
    return found


def _given(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        if _name(node) in SECOND and len(node.args) > 1:
            yield from _texts(node.args[1])
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield from _texts(keyword.value)
    elif isinstance(node, ast.Assign) and any(
        getattr(one, "id", "") in ("code", "_CODE") for one in node.targets
    ):
        yield from _texts(node.value)
    elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "code":
        if isinstance(node.value, ast.Call):
            yield from (
                text for one in node.value.keywords if one.arg == "default" for text in _texts(one.value)
            )
    elif isinstance(node, ast.FunctionDef):
        defaults = zip(reversed(node.args.args), reversed(node.args.defaults), strict=False)
        yield from (text for one, value in defaults if one.arg == "code" for text in _texts(value))


def _name(call: ast.Call) -> str:
    func = call.func
    return func.attr if isinstance(func, ast.Attribute) else str(getattr(func, "id", ""))


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
