"""Every code that a problem can have, read off the source: nobody has to keep a list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "ajolo_fanout"
ROOMS = ("config", "profiles", "plan")
SECOND = {"problem", "Fault"}
"""What is called with a message and a code."""


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
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in SECOND and len(node.args) > 1:
            yield from _texts(node.args[1])
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield from _texts(keyword.value)
    elif isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "code" for one in node.targets):
        yield from _texts(node.value)
    elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "code":
        if isinstance(node.value, ast.Call):
            yield from (
                text for one in node.value.keywords if one.arg == "default" for text in _texts(one.value)
            )
    elif isinstance(node, ast.FunctionDef):
        defaults = zip(reversed(node.args.args), reversed(node.args.defaults), strict=False)
        yield from (text for one, value in defaults if one.arg == "code" for text in _texts(value))


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
