"""The settings classes and the profiles, as reference pages and a JSON Schema."""

from __future__ import annotations

__all__: list[str] = []
